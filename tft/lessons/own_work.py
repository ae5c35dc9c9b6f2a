"""Lessons whose answers the student writes while it is trained: for the tutor's feedback, or for the grader's verdict.

Feedback is given on questions that the tutor has answered itself, and the grader has passed: a tutor that cannot answer
a question is not asked about it. What is only practised needs no answer but the student's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tft.errors import BudgetError
from tft.records import Lesson, Offered, Rejection, Usage, digest
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
    scorer = Scorer(open_tutor(request.tutor))
    kept, rejections, used = [], [], Usage()
    prompts = scorer.prompts([lesson.item.question for lesson in request.lessons])
    for lesson, prompt in zip(request.lessons, prompts, strict=True):
        # A part of the answers may be the tutor's own, which nobody holds to the student's length.
        longest = max(request.max_tokens, scorer.count(lesson.answer))
        if scorer.context is not None and len(prompt) + longest > scorer.context:
            rejections.append(Rejection("feedback", lesson.item.skill, "too_long", lesson.item.question))
            continue
        prompts_asked = {**lesson.lineage.prompts, "scorer": scorer.version}
        kept.append(replace(lesson, lineage=replace(lesson.lineage, prompts=prompts_asked)))
        used += Usage(prompt=len(prompt) * request.passes, scored=longest * request.passes, requests=request.passes)
    refusal = request.allowance.refusal(used.prompt, used.scored, used.requests)
    if refusal is not None:
        raise BudgetError(refusal)
    return Offered(tuple(kept), tuple(rejections), used)


def for_own_work(lessons: Iterable[Lesson], kind: Literal["feedback", "practice"]) -> tuple[Lesson, ...]:
    """Turn lessons into such as the student answers itself."""
    return tuple(
        replace(lesson, id=digest([kind, lesson.id]), kind=kind, attempt=None, critique=None, rejected=None)
        for lesson in lessons
    )
