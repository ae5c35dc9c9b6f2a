"""The exact grader: an answer is right when it is the reference, but for case and white space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.records import Item, Verdict

if TYPE_CHECKING:
    from tft.config.cards import GraderConfig


class ExactGrader:
    """Compares text.

    Args:
        config: ``marker``: compare only what follows its last occurrence; an answer without it is wrong.
    """

    name = "exact"

    def __init__(self, config: GraderConfig) -> None:
        self._marker = config.marker

    def grade(self, item: Item, text: str) -> Verdict:
        """Grade an answer."""
        if item.reference is None:
            return Verdict(0.0, "the item has no reference answer", self.name)
        if self._marker is not None and self._marker not in text:
            return Verdict(0.0, f"no {self._marker!r} before an answer", self.name)
        answer = _fold(text.rpartition(self._marker)[2] if self._marker else text)
        if answer == _fold(item.reference):
            return Verdict(1.0, "is the reference", self.name, answer)
        return Verdict(0.0, "is not the reference", self.name, answer)


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()
