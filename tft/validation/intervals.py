"""How closely so many items tell a share of right answers, and whether the gate sees with them what it is there for."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from tft.errors import Problem
from tft.statistics import wilson_interval

if TYPE_CHECKING:
    from tft.validation.draft import Draft


def tell_intervals(draft: Draft, warnings: list[Problem]) -> dict[str, str]:
    """Say for each split how wide a 95 % interval may be, and warn where it is wider than the fall it should show.

    Args:
        draft: the config.
        warnings: gets what the gate could not see.
    """
    exams, most = draft.config.exams, draft.config.tuition.max_drop
    sizes = {"probe": exams.probe, "check": exams.check, "final": exams.final}
    if exams.whole and exams.watched:
        sizes["watched"] = exams.watched
    for split in ("check", "watched"):
        if split in sizes and _half_width(sizes[split]) > most:
            enough = next(n for n in count(sizes[split]) if _half_width(n) <= most)
            message = f"tells a share to ±{100 * _half_width(sizes[split]):.1f} points at worst, so that the gate "
            message += f"cannot see every fall of tuition.max_drop, {100 * most:g} points"
            remedy = f"take {enough} items or more, or raise tuition.max_drop"
            warnings.append(Problem(message, draft.file, f"exams.{split}", str(sizes[split]), remedy))
    return {split: f"{n} items: ±{100 * _half_width(n):.1f} points at worst, at 95 %" for split, n in sizes.items()}


def _half_width(n: int) -> float:
    """Give half of the widest 95 % interval that n items can have: that of as many right as wrong."""
    low, high = wilson_interval(n // 2, n)
    return (high - low) / 2
