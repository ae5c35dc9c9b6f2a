"""The numbers of a report, read with care: what is null, absent or not finite was not measured, never 0.

Left out on purpose: any statistics. Intervals arrive with the report; nothing is worked out again here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["rose", "fell", "unclear"]
CLEAR = 0.05
"""Corrected p-value from which a change is not clear."""


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
    questions: int | None = None
    """Different questions among them; None where all differ."""

    @classmethod
    def read(cls, value: object) -> Measure | None:
        """Read ``{"score", "low", "high", "n", "questions"}``; None where there is no score."""
        found = mapping(value)
        score = number(found.get("score"))
        if score is None:
            return None
        n, questions = (
            None if it is None else int(it) for it in (number(found.get(key)) for key in ("n", "questions"))
        )
        return cls(score, number(found.get("low")), number(found.get("high")), n, questions)


@dataclass(frozen=True, slots=True)
class Change:
    """A difference of two shares with its 95 % interval."""

    value: float
    low: float | None
    high: float | None
    p: float | None = None
    """Of its test, corrected for all that is tested beside it; None where there was none."""

    @classmethod
    def read(cls, value: object) -> Change | None:
        """Read ``{"value", "low", "high", "p_holm"}``; None where there is no value."""
        found = mapping(value)
        difference = number(found.get("value"))
        if difference is None:
            return None
        return cls(difference, number(found.get("low")), number(found.get("high")), number(found.get("p_holm")))

    @property
    def direction(self) -> Direction:
        """Say which way it went.

        ``unclear`` where its test says so once it is corrected, or without a test where the interval holds 0 or was not
        made.
        """
        if self.p is not None:
            return "unclear" if self.p >= CLEAR else "rose" if self.value > 0 else "fell"
        if self.low is not None and self.low > 0:
            return "rose"
        return "fell" if self.high is not None and self.high < 0 else "unclear"
