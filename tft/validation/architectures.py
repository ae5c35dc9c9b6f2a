"""Checks what the models of a config are to do against how they are built."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tft.fitting import is_encoder_decoder, refuse_adapter, refuse_tutor
from tft.validation.content import engine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.errors import Problem
    from tft.validation.content import Content
    from tft.validation.draft import Draft
    from tft.validation.models import Use


def check_architectures(draft: Draft, content: Content, uses: Sequence[Use], problems: list[Problem]) -> None:
    """Refuse what an encoder-decoder model cannot do; of a model that is not here yet, it is found when it is."""
    in_two = {use.who for use in uses if use.folder is not None and is_encoder_decoder(use.folder)}
    found = [
        refuse_adapter(student.adapter, f"students.{place}.adapter")
        for place, student in enumerate(draft.config.students if draft.whole else ())
        if f"students.{place}.model" in in_two
    ]
    engine = engine_of(draft, content)
    if "tutor" in in_two and engine is not None:
        found.append(refuse_tutor(engine, draft.config.tuition.methods))
    problems += [replace(problem, file=draft.file) for problem in found if problem is not None]
