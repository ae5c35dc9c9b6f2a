"""A student answers questions several times, and the grader tells its right answers from its wrong ones.

Preferences: where some are right and some wrong, it is told apart by its own work; where all are wrong, the tutor's
answer stands against one of them, if there is one; where all are right, there is nothing to tell. Self-training: a
right answer to a question that it also gets wrong is learned by heart (Yuan et al. 2023, rejection sampling). No tutor
tokens are spent: the tutor's answer is that of a demonstration that was made before. For a student whose head rates
answers, its base model writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.ports import Sampling
from tft.records import Attempt, Example, Item, Lesson, Lineage, Offered, Rejection, Usage, digest
from tft.student import StudentRef
from tft.student.models import draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


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
    lessons, rejections = [], []
    for lesson, right, wrong in _answer(request):
        if not wrong or not (right or lesson.answer):
            rejections.append(_refuse("preference", lesson, right, wrong))
        else:
            lessons.append(_pair(lesson, right[0] if right else None, wrong[0], request.student))
    return Offered(tuple(lessons), tuple(rejections), Usage())


def self_train(request: ContestRequest) -> Offered:
    """Let a student answer questions several times, and keep a right answer to each that it also gets wrong."""
    lessons, rejections = [], []
    for lesson, right, wrong in _answer(request):
        finished = [it for it in right if it.finished]
        if not finished or not wrong:
            rejections.append(_refuse("self_training", lesson, finished, wrong))
        else:
            lessons.append(_own_answer(lesson.item, finished[0].text, request.student))
    return Offered(tuple(lessons), tuple(rejections), Usage())


def _answer(request: ContestRequest) -> Iterator[tuple[Lesson, list[Attempt], list[Attempt]]]:
    """Give each question with the student's right answers and its wrong ones, those that can be graded, each once."""
    grade = grade_attempts(request.grader)
    asked = [lesson.item for lesson in request.lessons for _ in range(request.attempts)]
    answers = draft(request.student, asked, Sampling(request.max_tokens, request.temperature, request.seed))
    for place, lesson in enumerate(request.lessons):
        own = answers[place * request.attempts : (place + 1) * request.attempts]
        passed = {
            it: grade(lesson.item, it.text, it.finished).passed for it in own if it.finished or request.grader.cut_off
        }
        yield lesson, [it for it, good in passed.items() if good], [it for it, good in passed.items() if not good]


def _refuse(kind: str, lesson: Lesson, right: Sequence[Attempt], wrong: Sequence[Attempt]) -> Rejection:
    reason = "all_right" if right else "all_wrong" if wrong else "attempt_unreadable"
    return Rejection(kind, lesson.item.skill, reason, lesson.item.question)


def _own_answer(item: Item, text: str, student: StudentRef) -> Lesson:
    model = student.digest or student.base
    return Lesson(
        id=digest(["self_training", item.question, text, model]),
        kind="self_training",
        item=item,
        examples=(Example.of(item.question, text),),
        answer=text,
        lineage=Lineage(source="student", model=model),
    )


def _pair(lesson: Lesson, right: Attempt | None, wrong: Attempt, student: StudentRef) -> Lesson:
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
