"""Checks what the models of a config are to do against how they are built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.adapters import LoraAdapter
from tft.errors import Problem
from tft.fitting import read_build, read_dropout, refuse_shards, refuse_student, refuse_switches, refuse_tutor
from tft.library import is_file
from tft.validation.content import engine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.validation.content import Content
    from tft.validation.draft import Draft
    from tft.validation.models import Use


def check_architectures(draft: Draft, content: Content, uses: Sequence[Use], problems: list[Problem]) -> None:
    """Refuse what a model cannot do because of how it is built; of one that is not here yet, it is found when it is."""
    folders = {use.who: use.folder for use in uses if use.folder is not None}
    builds = {who: read_build(folder) for who, folder in folders.items()}
    found: list[Problem] = []
    for place, student in enumerate(draft.config.students if draft.whole else ()):
        key = f"students.{place}"
        if f"{key}.model" in builds:
            found += refuse_student(builds[f"{key}.model"], student.adapter, key, student.model)
            found += refuse_shards(builds[f"{key}.model"], draft.config.training.parallel, key, student.model)
            # Of a model on the hub, the cache may hold the config alone.
            if is_file(Path(folders[f"{key}.model"]) / "tokenizer_config.json"):
                found += refuse_switches(student, folders[f"{key}.model"], key)
    engine = engine_of(draft, content)
    if "tutor" in builds and engine is not None:
        found += refuse_tutor(builds["tutor"], engine, draft.config.tuition.methods)
    problems += [replace(problem, file=draft.file) for problem in found]


def warn_of_classroom(draft: Draft, uses: Sequence[Use], warnings: list[Problem]) -> None:
    """Say which LoRA students have no seat in the classroom, because their base leaves things out by chance."""
    if not draft.whole or not draft.config.training.classroom:
        return
    folders = {use.who: use.folder for use in uses}
    for place, student in enumerate(draft.config.students):
        key = f"students.{place}.model"
        folder = folders.get(key)
        dropout = read_dropout(folder) if folder is not None else 0.0
        if dropout and isinstance(student.adapter, LoraAdapter):
            message = f"has dropout of {dropout:g}, so {student.id} is trained alone and not in the classroom"
            remedy = "leave it so, or set its dropout to 0 in the config.json of a copy"
            warnings.append(Problem(message, draft.file, key, student.model, remedy))
