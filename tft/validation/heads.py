"""Checks heads and reward models: whether a body can do what is asked of it, and what lessons will say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.student.bodies import refuse_body
from tft.student.references import refuse_references
from tft.student.saved import REWARD_KEY, read_reward_model
from tft.validation.draft import collect

if TYPE_CHECKING:
    from tft.errors import Problem
    from tft.library import Library
    from tft.validation.content import Content
    from tft.validation.draft import Draft
    from tft.validation.models import Use


def check_heads(draft: Draft, library: Library, content: Content, uses: list[Use], problems: list[Problem]) -> None:
    """Say what students cannot do with their models, and what their heads cannot learn."""
    folders = {use.who: use.folder for use in uses}
    references = [item.reference for held in content.held.values() for item in held]
    found: list[Problem] = []
    for place, student in enumerate(draft.config.students if draft.whole else ()):
        key, folder = f"students.{place}", folders.get(f"students.{place}.model")
        if folder is not None:
            found += refuse_body(folder, student.adapter, key, student.model)
        if isinstance(student.adapter, HeadAdapter):
            found += refuse_references(references, student.adapter.task, f"{key}.adapter.task")
    judge = getattr(draft.config.training.objectives.practice, "reward", None)
    if judge is not None:
        collect(found, lambda: read_reward_model(library.path(judge.model), REWARD_KEY))
    problems += [replace(problem, file=draft.file) for problem in found]
