"""Scores and changes of scores, with intervals and tests that know which answers are independent.

An exam may ask a question more than once, or in several wordings. A score counts every row, because that is what the
exam is; but a student answers the same question alike, so that intervals and tests count questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.graders import CUT_OFF
from tft.statistics import effective_size, mcnemar, paired_difference, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tft.records import Answered

MOSTLY_CUT_OFF = 0.5
"""Share of answers that were cut off above which a score says more of their length than of what is in them."""


def measure_score(answers: Sequence[Answered]) -> dict[str, Any]:
    """Score answers.

    Returns:
        ``score`` with its 95 % Wilson interval ``low`` and ``high``, over ``n`` rows; where they ask fewer different
        ``questions``, their number, and the interval is that of the effective size. Empty without answers.
    """
    if not answers:
        return {}
    n, questions = len(answers), _questions(answers)
    score, different = sum(it.verdict.passed for it in answers) / n, len(set(questions))
    low, high = wilson_interval(*effective_counts(answers))
    measured = {"score": score, "low": low, "high": high, "n": n}
    return measured if different == n else {**measured, "questions": different}


def measure_cut_off(answers: Sequence[Answered]) -> float | None:
    """Give the share of answers that are wrong because they were cut off before their end; None without answers."""
    return sum(it.verdict.grader == CUT_OFF.grader for it in answers) / len(answers) if answers else None


def effective_counts(answers: Sequence[Answered]) -> tuple[float, float]:
    """Say how many answers are right and how many there are, in independent answers."""
    right = [it.verdict.passed for it in answers]
    worth = effective_size(right, _questions(answers)) / len(right)
    return worth * sum(right), worth * len(right)


def measure_change(
    before: Sequence[Answered], after: Sequence[Answered], confidence: float = 0.95
) -> dict[str, float] | None:
    """Compare two sittings of the same items, in the same order.

    Returns:
        ``value``, the bounds ``low`` and ``high`` of its interval, and ``p`` of McNemar's exact test; None where one of
        the two has no answers.
    """
    if not before or not after:
        return None
    first, last = ([it.verdict.passed for it in sitting] for sitting in (before, after))
    questions = _questions(before)
    value, low, high = paired_difference(first, last, confidence, questions)
    return {"value": value, "low": low, "high": high, "p": mcnemar(first, last, questions)}


def _questions(answers: Iterable[Answered]) -> list[str]:
    """Name the question that each answers; wordings that ask the same are one."""
    return [it.attempt.item.same or it.attempt.item.question for it in answers]
