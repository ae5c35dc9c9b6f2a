"""Lessons whose answers the student writes while it is trained: for the tutor's feedback, or for the grader's verdict.

Feedback is given on questions that the tutor has answered itself, and the grader has passed: a tutor that cannot answer
a question is not asked about it. What is only practised needs no answer but the student's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tft.errors import BudgetError
from tft.records import Lesson, Offered, Usage, digest
from tft.tutor import Allowance, Scorer, TutorRef, open_tutor

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class FeedbackRequest:
    """Lessons on which the tutor is to score a student's own tokens."""

    tutor: TutorRef
    lessons: tuple[Lesson, ...]
    passes: int
    """Answers a question that will be scored."""
    max_tokens: int
    """Longest answer of the student."""
    allowance: Allowance
    """What may be spent on the tutor."""


def promise_feedback(request: FeedbackRequest) -> Offered:
    """Make sure that what may be asked of the tutor can be paid for.

    Returns:
        The lessons; their usage is what they may cost at most.

    Raises:
        BudgetError: if the allowance may not suffice.
    """
    prompts = Scorer(open_tutor(request.tutor)).prompts([lesson.item.question for lesson in request.lessons])
    rows = len(prompts) * request.passes
    prompt, scored = sum(map(len, prompts)) * request.passes, rows * request.max_tokens
    refusal = request.allowance.refusal(prompt, scored, rows)
    if refusal is not None:
        raise BudgetError(refusal)
    return Offered(request.lessons, (), Usage(prompt=prompt, scored=scored, requests=rows))


def for_own_work(lessons: Iterable[Lesson], kind: Literal["feedback", "practice"]) -> tuple[Lesson, ...]:
    """Turn lessons into such as the student answers itself."""
    return tuple(
        replace(lesson, id=digest([kind, lesson.id]), kind=kind, attempt=None, critique=None, rejected=None)
        for lesson in lessons
    )
