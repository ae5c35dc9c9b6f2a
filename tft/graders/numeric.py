"""The numeric grader: an answer is right when its number equals the number of the reference.

Numbers are compared as decimals, so ``16``, ``16.0`` and ``1.6e1`` agree, with a relative tolerance of 1e-9 for
what was rounded. Left out on purpose: fractions, units and expressions, which need a grader of their own.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from tft.records import Item, Verdict

if TYPE_CHECKING:
    from tft.config.cards import GraderConfig

_NUMBER = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
_TOLERANCE = Decimal("1e-9")
_LONGEST = 40


class NumericGrader:
    """Compares numbers.

    Args:
        config: ``marker``: the number must stand alone behind its last occurrence; None: the last number counts.
    """

    name = "numeric"

    def __init__(self, config: GraderConfig) -> None:
        self._marker = config.marker

    def grade(self, item: Item, text: str) -> Verdict:
        """Grade an answer."""
        reference = read_number(item.reference or "")
        if reference is None:
            return Verdict(0.0, "the reference is not a number", self.name)
        if self._marker is not None:
            if self._marker not in text:
                return Verdict(0.0, f"no {self._marker!r} before a number", self.name)
            answer = read_number(text.rpartition(self._marker)[2])
        else:
            found = _NUMBER.findall(text)
            answer = read_number(found[-1]) if found else None
        if answer is None:
            return Verdict(0.0, "no number", self.name)
        # As many digits as are compared; + 0.0, because −0 is 0.
        said = f"{float(answer) + 0.0:.9g}"
        if abs(answer - reference) <= _TOLERANCE * abs(reference):
            return Verdict(1.0, "equals the reference", self.name, said)
        return Verdict(0.0, "differs from the reference", self.name, said)


def read_number(text: str) -> Decimal | None:
    """Read a text that is one number; None if it is not.

    >>> read_number(" 1,250.0 ")
    Decimal('1250.0')
    """
    stripped = text.strip()
    if len(stripped) > _LONGEST or not _NUMBER.fullmatch(stripped):
        return None
    try:
        return Decimal(stripped.replace(",", ""))
    except InvalidOperation:
        return None
