"""Graders say whether an attempt is right. One file a grader, named after its ``type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tft import plugins
from tft.records import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.config.cards import GraderConfig
    from tft.ports import Grader
    from tft.records import Item

__all__ = ["CUT_OFF", "grade_attempts", "make_grader"]

CUT_OFF = Verdict(0.0, "cut off before its end", "length")
"""On what the length limit ended."""


def make_grader(config: GraderConfig) -> Grader:
    """Make the grader a card names.

    Raises:
        UserError: with the names that are known.
    """
    return cast("Grader", plugins.load("tft.graders", config.type)(config))


def grade_attempts(config: GraderConfig) -> Callable[[Item, str, bool], Verdict]:
    """Make what grades attempts: an item, a text, and whether it came to its end; one that did not is wrong as it is.

    Raises:
        UserError: with the names that are known.
    """
    grader = make_grader(config)

    def grade(item: Item, text: str, finished: bool) -> Verdict:
        return grader.grade(item, text) if finished or config.cut_off else CUT_OFF

    return grade
