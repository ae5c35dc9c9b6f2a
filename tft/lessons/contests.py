"""Preferences: of two answers to a question, one that the grader passes and one that it does not.

The student answers a question several times. Where some answers are right and some wrong, it is told apart by its own
work; where all are wrong, the tutor's answer stands against one of them, if there is one; where all are right, there is
nothing to tell. No tutor tokens are spent: the tutor's answer is that of a demonstration that was made before.
For a student whose head rates answers, its base model writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.ports import Sampling
from tft.records import Attempt, Lesson, Lineage, Offered, Rejection, Usage, digest
from tft.student import StudentRef
from tft.student.models import draft


@dataclass(frozen=True, slots=True)
class ContestRequest:
    """Questions that a student answers several times."""

    student: StudentRef
    lessons: tuple[Lesson, ...]
    """Each with an answer that the grader passes, or none."""
    attempts: int
    """Answers a question."""
    temperature: float
    grader: GraderConfig
    max_tokens: int
    seed: int


def contest(request: ContestRequest) -> Offered:
    """Let a student answer questions several times, and pair what is right with what is wrong."""
    grade = grade_attempts(request.grader)
    asked = [lesson.item for lesson in request.lessons for _ in range(request.attempts)]
    sampling = Sampling(request.max_tokens, request.temperature, request.seed)
    answers = draft(request.student, asked, sampling)
    lessons, rejections = [], []
    for place, lesson in enumerate(request.lessons):
        own = answers[place * request.attempts : (place + 1) * request.attempts]
        readable = [it for it in own if it.finished or request.grader.cut_off]
        passed = {it: grade(lesson.item, it.text, it.finished).passed for it in readable}
        right = [it for it, good in passed.items() if good]
        wrong = [it for it, good in passed.items() if not good]
        if not wrong or not (right or lesson.answer):
            reason = "all_right" if right else "all_wrong" if wrong else "attempt_unreadable"
            rejections.append(Rejection("preference", lesson.item.skill, reason, lesson.item.question))
        else:
            lessons.append(_lesson(lesson, right[0] if right else None, wrong[0], request.student))
    return Offered(tuple(lessons), tuple(rejections), Usage())


def _lesson(lesson: Lesson, right: Attempt | None, wrong: Attempt, student: StudentRef) -> Lesson:
    chosen = lesson.answer if right is None else right.text
    model = student.digest or student.base
    return replace(
        lesson,
        id=digest(["preference", lesson.item.question, chosen, wrong.text, model]),
        kind="preference",
        answer=chosen,
        rejected=wrong.text,
        cut_off=tuple(it.text for it in (right, wrong) if it is not None and not it.finished),
        attempt=None,
        critique=None,
        lineage=lesson.lineage if right is None else Lineage(source="student", model=model),
        verdicts=(),
    )
