"""Graders say whether an attempt is right. One file a grader, named after its ``type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tft import plugins
from tft.errors import StageError
from tft.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.config.campaign import TuitionConfig
    from tft.config.cards import GraderConfig
    from tft.ports import Grader
    from tft.records import Item

__all__ = ["CUT_OFF", "grade_attempts", "is_judged", "is_opinion", "make_grader"]

CUT_OFF = Verdict(0.0, "cut off before its end", "length")
"""On what the length limit ended."""


def make_grader(config: GraderConfig) -> Grader:
    """Make the grader a card names.

    Raises:
        UserError: with the names that are known.
    """
    return cast("Grader", plugins.load("tft.graders", config.type)(config))


def is_opinion(config: GraderConfig) -> bool:
    """Whether a grader's word is a model's opinion, and not a fact: its class then says ``opinion = True``.

    Raises:
        UserError: with the names that are known.
    """
    return bool(getattr(plugins.load("tft.graders", config.type), "opinion", False))


def is_judged(tuition: TuitionConfig, grader: GraderConfig) -> bool:
    """Whether pairs are told apart by the tutor's judge.

    Raises:
        UserError: if there is no such grader.
    """
    if tuition.methods not in ("auto", "preference") or tuition.pairs == "grader":
        return False
    return tuition.pairs == "judge" or is_opinion(grader)


def grade_attempts(config: GraderConfig) -> Callable[[Item, str, bool], Verdict]:
    """Make what grades attempts: an item, a text, and whether it came to its end; one that did not is wrong as it is.

    Raises:
        UserError: with the names that are known.
        StageError: while grading, if somebody else's grader gives something else than a verdict.
    """
    grader = make_grader(config)

    def grade(item: Item, text: str, finished: bool) -> Verdict:
        if not (finished or config.cut_off):
            return CUT_OFF
        verdict = grader.grade(item, text)
        if not isinstance(verdict, Verdict):
            raise StageError(f"the grader {config.type} gave {verdict!r}, and no verdict, for {text[:80]!r}")
        return verdict

    return grade
