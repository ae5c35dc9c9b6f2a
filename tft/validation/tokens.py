"""Checks whether tutor and student write with the same tokens, where one is to learn the other's probabilities.

It reads ``tokenizer.json`` and loads no framework: only tokens that both have, under different numbers, are told here.
Whatever else differs is found when the campaign begins.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.training import DistillationConfig
from tft.errors import Problem, UserError
from tft.validation.content import engine_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.library import Library
    from tft.validation.content import Content
    from tft.validation.draft import Draft
    from tft.validation.models import Use


def check_tokens(
    draft: Draft, library: Library, content: Content, uses: Sequence[Use], problems: list[Problem]
) -> None:
    """Refuse feedback that compares tokens which mean something else on either side."""
    feedback = draft.config.training.objectives.feedback
    if draft.config.tuition.methods != "feedback" or not isinstance(feedback, DistillationConfig):
        return
    if feedback.divergence == "sampled":
        return
    engine = engine_of(draft, content)
    tutor = next((use.folder for use in uses if use.who == "tutor"), None)
    if engine is not None and engine.type == "endpoint":
        tutor = _folder(library, engine.tokenizer)
    theirs = read_vocabulary(tutor)
    students = {named.key: student for student, named in draft.students}
    for use in uses:
        if use.who not in students or theirs is None:
            continue
        own = read_vocabulary(use.folder) or {}
        if any(theirs.get(token, number) != number for token, number in own.items()):
            message = f"compares tokens, and those of {students[use.who]} are not the tutor's"
            remedy = "write feedback: {type: distillation, divergence: sampled}, which compares stretches of text"
            key = "training.objectives.feedback.divergence"
            problems.append(Problem(message, draft.file, key, feedback.divergence, remedy))


def _folder(library: Library, name: str | None) -> str | None:
    """Find a tokenizer that an endpoint's config names; None for one that is on the hub, or nowhere."""
    if name is None:
        return None
    try:
        found = library.model(name)
    except UserError:
        return None
    return found.address if found.kind != "hub" else None


def read_vocabulary(folder: str | None) -> dict[str, int] | None:
    """Read the numbers of the tokens of a model; None where they are not written in ``tokenizer.json``."""
    try:
        told = json.loads((Path(folder or "") / "tokenizer.json").read_text(encoding="utf-8"))
        listed = told["model"]["vocab"]
        named = listed if isinstance(listed, dict) else {token: place for place, (token, _) in enumerate(listed)}
        return {**named, **{it["content"]: it["id"] for it in told.get("added_tokens") or ()}}
    except (OSError, ValueError, KeyError, TypeError):
        return None
