"""What went wrong in a cycle, by its name: forgetting, overfitting, reward hacking, a leak, lessons that are wrong.

A finding is a sentence for the report that begins with its name. Each needs evidence that is no accident: intervals
that do not meet, or a lesson that can be pointed at.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tft.statistics import mcnemar, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tft.records import Opinion, Rejection, Sitting

_GAP = 0.1
"""Points between the intervals of what was trained and what was held out, from which one speaks of overfitting."""
_HACKED = 0.05
"""Fall of the grader's score, while the reward rose, from which one speaks of reward hacking."""
_ERRORS = 0.05
"""How often a judge that does not care may be said to prefer the answers of before, or of now."""


def name_forgetting(losses: Sequence[str], before: Mapping[str, float], mastery: float) -> list[str]:
    """Name skills that were mastered and fell beyond their bound.

    Args:
        losses: the skills.
        before: their scores before, by skill.
        mastery: from which score on a skill counts as mastered.
    """
    forgotten = [skill for skill in losses if before[skill] >= mastery]
    return [f"catastrophic forgetting: {', '.join(forgotten)} had been mastered"] if forgotten else []


def name_forgotten_knowledge(exams: Sequence[str]) -> list[str]:
    """Name whole exams that fell beyond their bound on what is watched of them."""
    told = f"catastrophic forgetting of general knowledge: {', '.join(exams)} fell beyond the bound"
    return [told] if exams else []


def name_overfitting(trained: Sitting, held_out: Sitting) -> list[str]:
    """Compare lessons that were just learned with held-out items of the same skills."""
    skills = {it.attempt.item.skill for it in trained.answers}
    marks = [
        [it.verdict.passed for it in sitting.answers if it.attempt.item.skill in skills]
        for sitting in (trained, held_out)
    ]
    if not all(marks):
        return []
    (low, _), (_, high) = (wilson_interval(sum(it), len(it)) for it in marks)
    if low - high < _GAP:
        return []
    known, new = (sum(it) / len(it) for it in marks)
    return [
        f"overfitting: {known:.0%} right on a sample of what it was trained on, {new:.0%} on held-out items of the "
        "same skills; more lessons or fewer epochs would help"
    ]


def name_reward_hacking(measures: Mapping[str, tuple[float, float]]) -> list[str]:
    """Compare what practice was rewarded for with what the grader made of it, at its beginning and at its end."""
    if "reward" not in measures or "graded" not in measures:
        return []
    (reward, rewarded), (graded, passed) = measures["reward"], measures["graded"]
    if rewarded <= reward or passed >= graded - _HACKED:
        return []
    return [
        f"reward hacking: the reward rose from {reward:.2f} to {rewarded:.2f} while the grader's score fell from "
        f"{graded:.0%} to {passed:.0%}"
    ]


def name_gamed_grader(opinion: Opinion) -> list[str]:
    """Compare what a grader came to pass with what a judge thinks of it."""
    earlier, later = opinion.earlier, opinion.later
    told_apart = earlier + later
    if earlier <= later or mcnemar([True] * earlier + [False] * later, [False] * earlier + [True] * later) >= _ERRORS:
        return []
    return [
        f"reward hacking: of {opinion.asked} answers that the grader came to pass, the judge tells {told_apart} from "
        f"those of before, and prefers those of before {earlier} times; read some, and mend the grader"
    ]


def name_leak(questions: Sequence[str]) -> list[str]:
    """Name exam items that were taught."""
    if not questions:
        return []
    shown = ", ".join(questions[:3]) + (" …" if len(questions) > 3 else "")
    return [f"leak: {len(questions)} lessons ask what the exams ask ({shown}); what the check says is worth nothing"]


def name_wrong_lessons(rejections: Sequence[Rejection], lessons: int) -> list[str]:
    """Name lessons that do not pass when they are verified once more."""
    reasons = Counter(it.reason for it in rejections if it.reason != "leak")
    if not reasons:
        return []
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    example = next(it.text for it in rejections if it.reason != "leak")
    return [f"wrong lessons: of {lessons} lessons, {told}, such as {example}; they are not taught again"]
