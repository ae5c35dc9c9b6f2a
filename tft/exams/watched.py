"""What the gate watches of a whole exam: a sample of its questions, set apart before anything is taught.

Whoever chooses among checkpoints by questions has used them up: what is watched is never asked in the exam itself. Left
out on purpose: exams that a judge or another harness grades. They would cost every cycle what they cost once.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from tft.config.suites import InspectConfig, RubricConfig
from tft.records import Item, make_seed

if TYPE_CHECKING:
    from tft.exams.suites import Suite

BY_LM_EVAL = "lm-eval asks and grades it"
_LEFT = 10
"""How many times as many different questions an exam must have as are set apart."""


def set_apart(suite: Suite, size: int, seed: int) -> Suite:
    """Set apart what is watched of a suite, or say why nothing is.

    Args:
        suite: as it was read.
        size: questions; 0 turns this off.
        seed: of the draw.

    Returns:
        The suite without the questions that are watched, and without all that ask the same.
    """
    if not size or suite.missing is not None:
        return suite
    pages: dict[str, Item] = {}
    for item in suite.items:
        pages.setdefault(_page(item), item)
    if why := _why_not(suite, len(pages), size):
        return replace(suite, unwatched=why)
    drawn = set(random.Random(make_seed([seed, "watched", suite.name])).sample(list(pages), size))
    gone = {it.fingerprint for it in suite.items if _page(it) in drawn}
    return replace(
        suite,
        items=tuple(it for it in suite.items if _page(it) not in drawn and it.fingerprint not in gone),
        watched=tuple(item for page, item in pages.items() if page in drawn),
    )


def _page(item: Item) -> str:
    """Name what all questions share that ask the same, in the same words or in others."""
    return f"same {item.same}" if item.same else f"fingerprint {item.fingerprint}"


def _why_not(suite: Suite, different: int, size: int) -> str:
    if suite.task is not None:
        return BY_LM_EVAL
    if isinstance(suite.grader, RubricConfig):
        return "a judge grades it"
    if isinstance(suite.grader, InspectConfig):
        return "a scorer of inspect_ai grades it"
    if different < _LEFT * size:
        enough = f"{_LEFT * size:,} or more"
        return f"it has {different:,} different questions, and {size} are set apart only where there are {enough}"
    return ""
