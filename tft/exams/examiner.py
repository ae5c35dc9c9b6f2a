"""The examiner: sits a student down before held-out items, without hints, and has the answers graded.

The examiner is not the tutor. Rules grade what rules can grade; answers are greedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.ports import Sampling
from tft.records import Answered, Item, Sitting
from tft.student import StudentRef
from tft.student.models import attempt


@dataclass(frozen=True, slots=True)
class SitRequest:
    """One student, one exam."""

    student: StudentRef
    exam: str
    items: tuple[Item, ...]
    grader: GraderConfig
    max_tokens: int


def sit(request: SitRequest) -> Sitting:
    """Let a student answer every item, and grade the answers."""
    grade = grade_attempts(request.grader)
    attempts = attempt(request.student, request.items, Sampling(request.max_tokens), request.grader.marker)
    return Sitting(request.exam, tuple(Answered(it, grade(it.item, it.text, it.finished)) for it in attempts))
