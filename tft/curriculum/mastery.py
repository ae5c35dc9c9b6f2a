"""What is known of a student's command of each skill: a proportion with its Wilson interval."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tft.records import Mastery, Sitting
from tft.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def estimate(sittings: Iterable[Sitting]) -> dict[str, Mastery]:
    """Pool the answers of sittings by skill."""
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for sitting in sittings:
        for answer in sitting.answers:
            asked[answer.attempt.item.skill] += 1
            right[answer.attempt.item.skill] += answer.verdict.passed
    return {skill: _mastery(skill, right[skill], n) for skill, n in asked.items()}


def _mastery(skill: str, right: int, n: int) -> Mastery:
    low, high = wilson_interval(right, n)
    return Mastery(skill, right, n, right / n, low, high)


def mastered(known: Mastery | None, threshold: float) -> bool:
    """Say whether a skill counts as mastered: its share of right answers reaches the threshold."""
    return known is not None and known.score >= threshold


def mean_score(known: Mapping[str, Mastery], skills: Iterable[str]) -> float:
    """Average the scores of skills; 0 for none."""
    scores = [known[skill].score for skill in skills if skill in known]
    return sum(scores) / len(scores) if scores else 0.0
