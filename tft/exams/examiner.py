"""The examiner: sits a student down before held-out items, without hints, and has the answers graded.

The examiner is not the tutor. Rules grade what rules can grade; answers are greedy.
"""

from __future__ import annotations

from dataclasses import dataclass

from tft.config.cards import GraderConfig
from tft.graders import make_grader
from tft.ports import Sampling
from tft.records import Answered, Item, Sitting, Verdict
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
    grader = make_grader(request.grader)
    attempts = attempt(request.student, request.items, Sampling(request.max_tokens))
    unfinished = Verdict(0.0, "cut off before its end", "length")
    return Sitting(
        request.exam,
        tuple(Answered(it, grader.grade(it.item, it.text) if it.finished else unfinished) for it in attempts),
    )
