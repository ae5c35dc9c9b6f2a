"""Curation: nothing is taught that was not verified, and nothing that is examined.

By kind: a demonstration passes the grader; in a critique the attempt fails and the better attempt passes; in a
preference the better answer passes and the worse one fails; a verdict agrees with the grader; what is rehearsed passed
when it was answered; and where the student is to answer itself, an answer of the tutor passes. What material holds that
the curriculum does not know stands on the user's word, and its lineage says so. Repetitions of the same lesson are
dropped, except in replay, where they are the point.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders import make_grader
from tft.records import Curated, Lesson, Rejection

if TYPE_CHECKING:
    from tft.ports import Grader


@dataclass(frozen=True, slots=True)
class CurateRequest:
    """Lessons that want to be taught."""

    lessons: tuple[Lesson, ...]
    grader: GraderConfig
    held_out: tuple[str, ...]
    """Fingerprints of items that may not be taught; see ``Splits.fingerprints``."""
    graders: dict[str, GraderConfig] = field(default_factory=dict)
    """Of skills that another grader judges."""


def curate(request: CurateRequest) -> Curated:
    """Keep the lessons that may be taught, each with the verdicts and filters it passed."""
    usual, held_out = make_grader(request.grader), frozenset(request.held_out)
    graders = {skill: make_grader(config) for skill, config in request.graders.items()}
    kept: list[Lesson] = []
    rejections: list[Rejection] = []
    seen: set[str] = set()
    for lesson in request.lessons:
        checked = _check(lesson, graders.get(lesson.item.skill, usual), held_out, seen)
        if isinstance(checked, Lesson):
            kept.append(checked)
            seen.add(checked.id)
        else:
            rejections.append(checked)
    return Curated(tuple(kept), tuple(rejections))


def _check(lesson: Lesson, grader: Grader, held_out: frozenset[str], seen: set[str]) -> Lesson | Rejection:
    # What is only practised brings no answer of its own; and some material stands on the user's word.
    trusted = lesson.lineage.trusted and lesson.item.reference is None
    unanswered = lesson.kind == "practice" or (lesson.kind == "verdict" and not lesson.answer)
    verdicts = () if trusted or unanswered else (grader.grade(lesson.item, lesson.answer),)
    if not all(verdict.passed for verdict in verdicts):
        return _reject(lesson, "wrong")
    if lesson.attempt is not None and grader.grade(lesson.item, lesson.attempt).passed:
        return _reject(lesson, "right_attempt")
    if lesson.rejected is not None and not trusted and grader.grade(lesson.item, lesson.rejected).passed:
        return _reject(lesson, "both_right")
    if lesson.item.fingerprint in held_out:
        return _reject(lesson, "leak")
    if lesson.kind != "replay" and lesson.id in seen:
        return _reject(lesson, "duplicate")
    filters = ("trust" if trusted else "grader", "decontamination", "duplicates")
    return replace(lesson, verdicts=(*lesson.verdicts, *verdicts), lineage=replace(lesson.lineage, filters=filters))


def _reject(lesson: Lesson, reason: str) -> Rejection:
    return Rejection(lesson.kind, lesson.item.skill, reason, f"{lesson.item.question} → {lesson.answer}")
