"""Graders say whether an attempt is right. One file a grader, named after its ``type``."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tft import plugins

if TYPE_CHECKING:
    from tft.config.cards import GraderConfig
    from tft.ports import Grader

__all__ = ["make_grader"]


def make_grader(config: GraderConfig) -> Grader:
    """Make the grader a card names.

    Raises:
        UserError: with the names that are known.
    """
    return cast("Grader", plugins.load("tft.graders", config.type)(config))
