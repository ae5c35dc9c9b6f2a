"""The examiner: sits a student down before held-out items, without hints, and has the answers graded.

The examiner is not the tutor. Rules grade what rules can grade; answers are greedy.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    graders: dict[str, GraderConfig] = field(default_factory=dict)
    """Of skills that another grader judges."""


def sit(request: SitRequest) -> Sitting:
    """Let a student answer every item, and grade the answers."""
    judged: dict[GraderConfig, list[Item]] = {}
    for item in request.items:
        judged.setdefault(request.graders.get(item.skill, request.grader), []).append(item)
    answers: dict[Item, Answered] = {}
    for config, items in judged.items():
        grade = grade_attempts(config)
        attempts = attempt(request.student, items, Sampling(request.max_tokens), config.marker)
        answers |= {it.item: Answered(it, grade(it.item, it.text, it.finished)) for it in attempts}
    return Sitting(request.exam, tuple(answers[item] for item in request.items))
