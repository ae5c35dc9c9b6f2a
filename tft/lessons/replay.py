"""Replay: what a student can do already, it does again beside the new, so that it stays. It costs no tutor tokens.

What it was shown in earlier cycles it reads again (:func:`review`). A skill it mastered without tuition it rehearses
on its own right answers (:func:`rehearse`); where such a skill has few items, they are repeated until the rows are
full.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.lessons.items import draw_items
from tft.library import load_items
from tft.ports import Sampling
from tft.records import Attempt, Example, Lesson, Lineage, Offered, Rejection, Usage, Verdict, digest
from tft.student import StudentRef
from tft.student.models import attempt

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What a student rehearses."""

    student: StudentRef
    items_path: str
    """The curriculum's item source."""
    rows: dict[str, int]
    """Lessons by skill."""
    held_out: tuple[str, ...]
    """Fingerprints of exam items, those of whole exams included."""
    grader: GraderConfig
    max_tokens: int
    seed: int


def review(lessons: Sequence[Lesson], count: int, seed: int) -> list[Lesson]:
    """Pick lessons of earlier cycles to read again, at random and without repetition."""
    picked = random.Random(f"review {seed}").sample(range(len(lessons)), min(count, len(lessons)))
    return [replace(lessons[place], kind="replay") for place in sorted(picked)]


def rehearse(request: ReplayRequest) -> Offered:
    """Draw items of mastered skills, let the student answer, and keep what the grader passes."""
    source, held_out = load_items(Path(request.items_path)), frozenset(request.held_out)
    items = [
        item
        for skill, rows in request.rows.items()
        for item in draw_items(source, skill, rows, held_out, f"replay {request.seed} {skill}")
    ]
    grade = grade_attempts(request.grader)
    right: dict[str, list[Lesson]] = {skill: [] for skill in request.rows}
    rejections = []
    for answer in attempt(request.student, items, Sampling(request.max_tokens), request.grader.marker):
        verdict = grade(answer.item, answer.text, answer.finished)
        if verdict.passed and answer.finished:
            right[answer.item.skill].append(_lesson(answer, verdict, request.student))
        else:
            rejections.append(
                Rejection("replay", answer.item.skill, "wrong", f"{answer.item.question} → {answer.text}")
            )
    # A table of facts is shorter than the rows it should fill: go round until it fills them.
    lessons = [
        found[place % len(found)] for skill, found in right.items() if found for place in range(request.rows[skill])
    ]
    return Offered(tuple(lessons), tuple(rejections), Usage())


def _lesson(answer: Attempt, verdict: Verdict, student: StudentRef) -> Lesson:
    return Lesson(
        id=digest(["replay", student.id, answer.item.question, answer.text]),
        kind="replay",
        item=answer.item,
        examples=(Example.of(answer.item.question, answer.text),),
        answer=answer.text,
        lineage=Lineage(source="student", model=student.digest or student.base),
        verdicts=(verdict,),
    )
