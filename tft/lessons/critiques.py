"""Critiques: the tutor reads a student's own wrong attempt, says where and how it goes wrong, and mends it.

A critique becomes two examples: the question with the better answer, and the attempt with the critique, so that
the student also learns to find the mistake by itself. Beside them stand right attempts, with the word that they are
right, which no tutor has to say: a student that reads only wrong ones learns that every attempt is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tft.records import Answered, Example, Lesson, Lineage, Offered, Rejection, digest
from tft.tutor import Allowance, Tutor, TutorRef, open_tutor

RIGHT = "right"
"""What is said of a right attempt. It has not the form of a critique, and so asks for no other answer."""


@dataclass(frozen=True, slots=True)
class CritiqueRequest:
    """A student's attempts."""

    tutor: TutorRef
    answered: tuple[Answered, ...]
    """Those that are wrong are criticised, those that are right confirmed."""
    longest: int
    """Longest attempt that is read, in characters; a longer one is not an attempt that can be mended."""
    marker: str | None
    """What the grader wants to see before the answer; None if nothing."""
    allowance: Allowance
    """What it may spend on the tutor."""


def criticise(request: CritiqueRequest) -> Offered:
    """Let the tutor criticise wrong attempts, as far as the allowance reaches, and confirm right ones.

    Raises:
        BudgetError: if it does not suffice for one.
    """
    tutor = open_tutor(request.tutor)
    wrong: list[Answered] = []
    right: list[Answered] = []
    rejections = []
    for answered in request.answered:
        attempt = answered.attempt
        if attempt.finished and 0 < len(attempt.text) <= request.longest:
            (right if answered.verdict.passed else wrong).append(answered)
        else:
            rejections.append(Rejection("critique", attempt.item.skill, "attempt_unreadable", attempt.text))
    asked = [_values(it, request.marker) for it in wrong]
    asked = asked[: max(1, tutor.reach("critic", asked, request.allowance))]
    answers = tutor.ask("critic", asked, 0, request.allowance)
    lessons = [
        _confirm(answered, tutor.render("critic", _values(answered, request.marker)), tutor) for answered in right
    ]
    for answered, values, fields, text, reason in zip(
        wrong[: len(asked)], asked, answers.fields, answers.texts, answers.reasons, strict=True
    ):
        if fields is None:
            rejections.append(Rejection("critique", answered.attempt.item.skill, reason, text))
        else:
            said = tutor.render("critic", values)
            lessons.append(_lesson(answered, fields, (said, text.strip()), tutor, answers.key))
    return Offered(tuple(lessons), tuple(rejections), answers.usage)


def _values(answered: Answered, marker: str | None) -> dict[str, Any]:
    return {"question": answered.attempt.item.question, "attempt": answered.attempt.text, "marker": marker}


def _lesson(answered: Answered, fields: dict[str, str], said: tuple[str, str], tutor: Tutor, call: str) -> Lesson:
    item, attempt = answered.attempt.item, answered.attempt.text
    request, text = said
    return Lesson(
        id=digest(["critique", item.question, attempt, text, tutor.fingerprint]),
        kind="critique",
        item=item,
        examples=(
            Example.of(item.question, fields["revision"]),
            Example.of(request, text),
        ),
        answer=fields["revision"],
        attempt=attempt,
        critique=fields["critique"],
        lineage=Lineage(
            source=tutor.card.tutor,
            model=tutor.fingerprint,
            prompts={"critic": tutor.version("critic")},
            calls=(call,),
        ),
        verdicts=(answered.verdict,),
    )


def _confirm(answered: Answered, request: str, tutor: Tutor) -> Lesson:
    item, attempt = answered.attempt.item, answered.attempt.text
    return Lesson(
        id=digest(["confirmation", item.question, attempt, request]),
        kind="confirmation",
        item=item,
        examples=(Example.of(request, RIGHT),),
        answer=attempt,
        lineage=Lineage(source="student", model="", prompts={"critic": tutor.version("critic")}),
        verdicts=(answered.verdict,),
    )
