"""Curation: nothing is taught that was not verified, and nothing that is examined.

By kind: a demonstration passes the grader; in a critique the attempt fails and the better attempt passes; in a
preference the better answer passes and the worse one fails, or a judge prefers it in both orders; a verdict agrees with
the grader; what is rehearsed passed when it was answered; and where the student is to answer itself, an answer of the
tutor passes. Where the grader itself is only a model's opinion, the judge's word on a pair is enough. What material
holds that the curriculum does not know stands on the user's word, and its lineage says so. Repetitions of the same
lesson are dropped, except in replay, where they are the point. An answer that its student may not write to the end
would be learned, and then be cut off in every exam; what stands in a file is taught at any length.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders import is_opinion, make_grader
from tft.lessons.judgements import JUDGE
from tft.records import Curated, Lesson, Rejection
from tft.student import StudentRef
from tft.student.lengths import count_tokens

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
    student: StudentRef | None = None
    """Who is to learn the answers, and to write such; None where nobody is."""
    max_tokens: int = 0
    """Longest answer that this student may write."""


@dataclass(frozen=True, slots=True)
class Audited:
    """What did not pass when it was verified once more."""

    refused: tuple[str, ...]
    """Ids of the lessons."""
    rejections: tuple[Rejection, ...]


def curate(request: CurateRequest) -> Curated:
    """Keep the lessons that may be taught, each with the verdicts and filters it passed."""
    configs, held_out = request.graders, frozenset(request.held_out)
    graders = {skill: make_grader(config) for skill, config in configs.items()}
    usual = make_grader(request.grader)
    kept: list[Lesson] = []
    rejections: list[Rejection] = []
    seen: set[str] = set()
    too_long = _find_too_long(request)
    for lesson in request.lessons:
        if lesson.id in too_long:
            rejections.append(_reject(lesson, "too_long"))
            continue
        judged = lesson.rejected is not None and any(it.grader == JUDGE and it.passed for it in lesson.verdicts)
        skill = lesson.item.skill
        opinion = judged and is_opinion(configs.get(skill, request.grader))
        checked = _check(lesson, graders.get(skill, usual), held_out, seen, judged=judged, by_opinion=opinion)
        if isinstance(checked, Lesson):
            kept.append(checked)
            seen.add(checked.id)
        else:
            rejections.append(checked)
    return Curated(tuple(kept), tuple(rejections))


def audit(request: CurateRequest) -> Audited:
    """Verify lessons that were taught once more, and name those that should not have been."""
    found = curate(request)
    kept = {lesson.id for lesson in found.kept}
    return Audited(tuple({it.id: None for it in request.lessons if it.id not in kept}), found.rejections)


def _find_too_long(request: CurateRequest) -> frozenset[str]:
    """Give the ids of lessons with an answer longer than the student may write, where that counts as wrong."""
    if request.student is None:
        return frozenset()
    learned = [
        lesson
        for lesson in request.lessons
        if lesson.kind not in ("feedback", "practice")
        and lesson.lineage.row is None
        and not request.graders.get(lesson.item.skill, request.grader).cut_off
    ]
    counts = count_tokens(request.student, [lesson.answer for lesson in learned])
    return frozenset(it.id for it, count in zip(learned, counts, strict=True) if count > request.max_tokens)


def _check(
    lesson: Lesson, grader: Grader, held_out: frozenset[str], seen: set[str], *, judged: bool, by_opinion: bool
) -> Lesson | Rejection:
    # What is only practised brings no answer of its own; and some material stands on the user's word.
    trusted = lesson.lineage.trusted and lesson.item.reference is None
    unanswered = lesson.kind == "practice" or (lesson.kind == "verdict" and not lesson.answer)
    verdicts = () if trusted or unanswered or by_opinion else (grader.grade(lesson.item, lesson.answer),)
    if not all(verdict.passed for verdict in verdicts):
        return _reject(lesson, "wrong")
    if lesson.attempt is not None and grader.grade(lesson.item, lesson.attempt).passed:
        return _reject(lesson, "right_attempt")
    if lesson.rejected is not None and not (trusted or judged):
        worse = grader.grade(lesson.item, lesson.rejected)
        if worse.passed:
            return _reject(lesson, "both_right")
        # Where there is nothing else to be verified, this is what it passed.
        verdicts = verdicts if lesson.answer else (worse,)
    if lesson.item.fingerprint in held_out:
        return _reject(lesson, "leak")
    if lesson.kind != "replay" and lesson.id in seen:
        return _reject(lesson, "duplicate")
    filters = ("trust" if trusted else JUDGE if by_opinion else "grader", "decontamination", "duplicates")
    return replace(lesson, verdicts=(*lesson.verdicts, *verdicts), lineage=replace(lesson.lineage, filters=filters))


def _reject(lesson: Lesson, reason: str) -> Rejection:
    return Rejection(lesson.kind, lesson.item.skill, reason, f"{lesson.item.question} → {lesson.answer}")
