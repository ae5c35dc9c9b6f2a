"""The numbers of a report, read with care: what is null, absent or not finite was not measured, never 0.

Left out on purpose: any statistics. Intervals arrive with the report; nothing is worked out again here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["rose", "fell", "unclear"]


def number(value: object) -> float | None:
    """Read a finite number; anything else was not measured.

    >>> number(0), number(None), number("3"), number(float("nan"))
    (0.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def mapping(value: object) -> dict[str, Any]:
    """Read a mapping; anything else is an empty one."""
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Measure:
    """A share of right answers with its 95 % interval."""

    score: float
    low: float | None
    high: float | None
    n: int | None
    """Items it was measured on."""

    @classmethod
    def read(cls, value: object) -> Measure | None:
        """Read ``{"score", "low", "high", "n"}``; None where there is no score."""
        found = mapping(value)
        score, n = number(found.get("score")), number(found.get("n"))
        if score is None:
            return None
        return cls(score, number(found.get("low")), number(found.get("high")), None if n is None else int(n))


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of two shares with its 95 % interval."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def read(cls, value: object) -> Change | None:
        """Read ``{"value", "low", "high"}``; None where there is no value."""
        found = mapping(value)
        difference = number(found.get("value"))
        if difference is None:
            return None
        return cls(difference, number(found.get("low")), number(found.get("high")))

    @property
    def direction(self) -> Direction:
        """Say which way it went; ``unclear`` where the interval holds 0 or was not made."""
        if self.low is not None and self.low > 0:
            return "rose"
        return "fell" if self.high is not None and self.high < 0 else "unclear"
