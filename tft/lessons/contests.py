"""A student answers questions several times, and the grader tells its right answers from its wrong ones.

Preferences: where some are right and some wrong, two of its own are paired; where all are wrong, the tutor's
answer stands against one of them, if there is one; where all are right, there is nothing to tell. Self-training: a
right answer of its own is learned from (Yuan et al. 2023, rejection sampling), first of all to questions that it
also gets wrong. No tutor tokens are spent: the tutor's answer is that of a demonstration that was made before. For a
student whose head rates answers, its base model writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.ports import Sampling
from tft.records import Attempt, Example, Item, Lesson, Lineage, Offered, Rejection, Usage, digest, make_seed
from tft.student import StudentRef
from tft.student.models import draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_AT_ONCE = 256
"""Questions that are answered before it is seen whether more are needed."""


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
    wanted: int | None = None
    """Lessons that a student is to have of its own answers; None asks every question, and takes what comes."""


@dataclass(frozen=True, slots=True)
class Contested:
    """What a student answered to each of some questions."""

    lessons: tuple[Lesson, ...]
    answers: tuple[tuple[Attempt, ...], ...]


def contest(request: ContestRequest) -> Offered:
    """Let a student answer questions several times, and pair what is right with what is wrong."""
    lessons, rejections = [], []
    for lesson, right, wrong in _tell_apart(request):
        if not wrong or not (right or lesson.answer):
            rejections.append(_refuse("preference", lesson, right, wrong))
        else:
            lessons.append(_pair(lesson, right[0] if right else None, wrong[0], request.student))
    return Offered(tuple(lessons), tuple(rejections), Usage())


def self_train(request: ContestRequest) -> Offered:
    """Let a student answer questions several times, and keep a right answer to each that it also gets wrong.

    Where a number is wanted, it is asked on until there are so many, or no question is left; then those that it always
    gets right fill up what is missing.
    """
    sometimes: list[Lesson] = []
    always: list[Lesson] = []
    rejections = []
    for lesson, right, wrong in _tell_apart(request):
        finished = [it for it in right if it.finished]
        if not finished or (request.wanted is None and not wrong):
            rejections.append(_refuse("self_training", lesson, finished, wrong))
        else:
            (sometimes if wrong else always).append(_own_answer(lesson.item, finished[0].text, request.student))
        if len(sometimes) == request.wanted:
            break
    missing = 0 if request.wanted is None else request.wanted - len(sometimes)
    return Offered((*sometimes, *always[:missing]), tuple(rejections), Usage())


def answer(request: ContestRequest) -> Contested:
    """Let a student answer questions several times, and leave it to somebody else to tell its answers apart."""
    return Contested(request.lessons, tuple(tuple(own) for own in _answer(request)))


def _answer(request: ContestRequest) -> Iterator[list[Attempt]]:
    """Give the student's answers to each question that can be graded, each once."""
    each = request.attempts
    for start in range(0, len(request.lessons), _AT_ONCE):
        asked = [it.item for it in request.lessons[start : start + _AT_ONCE] for _ in range(each)]
        seed = request.seed if start == 0 else make_seed([request.seed, start])
        answers = draft(request.student, asked, Sampling(request.max_tokens, request.temperature, seed))
        for place in range(0, len(answers), each):
            own = {it.text: it for it in answers[place : place + each] if it.finished or request.grader.cut_off}
            yield list(own.values())


def _tell_apart(request: ContestRequest) -> Iterator[tuple[Lesson, list[Attempt], list[Attempt]]]:
    """Give each question with the student's right answers and its wrong ones."""
    grade = grade_attempts(request.grader)
    for lesson, own in zip(request.lessons, _answer(request), strict=True):
        passed = [grade(lesson.item, it.text, it.finished).passed for it in own]
        right, wrong = ([it for it, good in zip(own, passed, strict=True) if good is side] for side in (True, False))
        yield lesson, right, wrong


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
        examples=(Example.of(lesson.item.question, chosen),),
        answer=chosen,
        rejected=wrong.text,
        cut_off=tuple(it.text for it in (right, wrong) if it is not None and not it.finished),
        attempt=None,
        critique=None,
        lineage=lesson.lineage if right is None else Lineage(source="student", model=model),
        verdicts=(),
    )
