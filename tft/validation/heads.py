"""Checks heads and reward models: what lessons will say, and what gives rewards."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.student.references import refuse_references
from tft.student.saved import REWARD_KEY, read_reward_model
from tft.validation.draft import collect

if TYPE_CHECKING:
    from tft.errors import Problem
    from tft.library import Library
    from tft.validation.content import Content
    from tft.validation.draft import Draft


def check_heads(draft: Draft, library: Library, content: Content, problems: list[Problem]) -> None:
    """Say what heads cannot learn, and what is no reward model."""
    references = [item.reference for held in content.held.values() for item in held]
    found: list[Problem] = []
    for place, student in enumerate(draft.config.students if draft.whole else ()):
        if isinstance(student.adapter, HeadAdapter):
            found += refuse_references(references, student.adapter.task, f"students.{place}.adapter.task")
    judge = draft.config.training.objectives.reward_model
    if judge is not None:
        collect(found, lambda: read_reward_model(library.path(judge.model), REWARD_KEY))
    problems += [replace(problem, file=draft.file) for problem in found]
