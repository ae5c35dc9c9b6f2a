"""Critiques: the tutor reads a student's own wrong attempt, says where and how it goes wrong, and mends it.

A critique becomes two examples: the question with the better answer, and the attempt with the critique, so that
the student also learns to find the mistake by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tft.records import Answered, Example, Lesson, Lineage, Message, Offered, Rejection, digest
from tft.tutor import Allowance, Tutor, TutorRef, open_tutor


@dataclass(frozen=True, slots=True)
class CritiqueRequest:
    """A student's wrong attempts."""

    tutor: TutorRef
    answered: tuple[Answered, ...]
    longest: int
    """Longest attempt that is read, in characters; a longer one is not an attempt that can be mended."""
    marker: str | None
    """What the grader wants to see before the answer; None if nothing."""
    allowance: Allowance
    """What it may spend on the tutor."""


def criticise(request: CritiqueRequest) -> Offered:
    """Let the tutor criticise wrong attempts.

    Raises:
        BudgetError: if the allowance may not suffice.
    """
    tutor = open_tutor(request.tutor)
    rejections = []
    wrong = []
    for answered in request.answered:
        attempt = answered.attempt
        if attempt.finished and 0 < len(attempt.text) <= request.longest:
            wrong.append(answered)
        else:
            rejections.append(Rejection("critique", attempt.item.skill, "attempt_unreadable", attempt.text))
    asked = [_values(it, request.marker) for it in wrong]
    answers = tutor.ask("critic", asked, 0, request.allowance)
    lessons = []
    for answered, values, fields, text, reason in zip(
        wrong, asked, answers.fields, answers.texts, answers.reasons, strict=True
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
            Example((Message("user", item.question), Message("assistant", fields["revision"]))),
            Example((Message("user", request), Message("assistant", text))),
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
