"""Consistency: whether a student answers a question alike, in whatever words it is put.

Who knows something knows it in other words too. One right answer in two says more of luck, or of words that were
learned by heart, than of half of the knowledge. Who is wrong in another way each time does not answer alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.statistics import wilson_interval

if TYPE_CHECKING:
    from tft.records import Answered, Sitting


def measure_consistency(sitting: Sitting | None) -> dict[str, Any]:
    """Say how many questions that were put in several wordings get the same answer in all, or a right one in all.

    What is compared is what was graded: the number, or what follows the marker. The whole attempt is compared, but for
    case and white space, where that was graded; right answers of many words, which need not be the same, are alike.

    Returns:
        ``score`` with its 95 % Wilson interval ``low`` and ``high``, over ``n`` questions, and the share that is
        ``right_in_all`` wordings; empty where no question was put in several.
    """
    wordings: dict[str, list[Answered]] = {}
    for it in sitting.answers if sitting is not None else ():
        if it.attempt.item.same:
            wordings.setdefault(it.attempt.item.same, []).append(it)
    several = [answers for answers in wordings.values() if len(answers) > 1]
    if not several:
        return {}
    right = [all(it.verdict.passed for it in answers) for answers in several]
    alike = sum(known or len(set(map(_graded, answers))) == 1 for known, answers in zip(right, several, strict=True))
    low, high = wilson_interval(alike, len(several))
    share = sum(right) / len(several)
    return {"score": alike / len(several), "low": low, "high": high, "n": len(several), "right_in_all": share}


def _graded(answered: Answered) -> str:
    return answered.verdict.answer or " ".join(answered.attempt.text.split()).casefold()
