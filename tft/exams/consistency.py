"""Consistency: whether a student answers a question alike, in whatever words it is put.

Who knows something knows it in other words too. One right answer in two says more of luck, or of words that were
learned by heart, than of half of the knowledge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.statistics import wilson_interval

if TYPE_CHECKING:
    from tft.records import Sitting


def measure_consistency(sitting: Sitting | None) -> dict[str, Any]:
    """Say how many questions that were put in several wordings are right in all of them, or in none.

    Returns:
        ``score`` with its 95 % Wilson interval ``low`` and ``high``, over ``n`` questions, and the share that is
        ``right_in_all`` wordings; empty where no question was put in several.
    """
    alike: dict[str, list[bool]] = {}
    for it in sitting.answers if sitting is not None else ():
        if it.attempt.item.same:
            alike.setdefault(it.attempt.item.same, []).append(it.verdict.passed)
    several = [marks for marks in alike.values() if len(marks) > 1]
    if not several:
        return {}
    consistent = sum(len(set(marks)) == 1 for marks in several)
    low, high = wilson_interval(consistent, len(several))
    right = sum(map(all, several)) / len(several)
    return {"score": consistent / len(several), "low": low, "high": high, "n": len(several), "right_in_all": right}
