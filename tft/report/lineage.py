"""What taught each skill: which lessons, from whom, asked by whom, judged by what, and under which licence.

The auditor's table. Its rows add up to the lessons that were trained on; each single lesson, with the calls that made
it and the verdicts it passed, is a line of ``lessons/cycle-N.jsonl``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tft.origins import Origins

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tft.records import Lesson
    from tft.report.taught import Taught

_WHILE_TRAINED = "the grader, while it was trained"
_TRUSTED = "nobody: the word of whoever ran this"
_TRUSTED_IN_PART = "in part nobody: the word of whoever ran this"
_NOBODY = "nobody"


def describe_lessons(taught: Iterable[Taught], setting: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe what was taught, in rows that differ in campaign, skill, kind, origin, judge or licence."""
    origins = Origins.of(setting)
    counts: Counter[tuple[Any, ...]] = Counter()
    students: dict[tuple[Any, ...], Counter[str]] = {}
    first: dict[tuple[Any, ...], Lesson] = {}
    for it in taught:
        for lesson in it.curated.kept:
            row = _row(origins.attribute(lesson), setting["tutor"]["id"])
            counts[row] += 1
            students.setdefault(row, Counter())[it.student] += 1
            first.setdefault(row, lesson)
    keys = ("skill", "kind", "campaign", "asked_by", "answered_by", "judged_by", "license")
    return [
        {
            **dict(zip(keys, row, strict=True)),
            "prompts": first[row].lineage.prompts,
            "model": first[row].lineage.model or None,
            "lessons": count,
            "students": dict(students[row]),
            "example": first[row].id,
        }
        for row, count in sorted(counts.items(), key=lambda it: tuple(map(str, it[0])))
    ]


def _row(lesson: Lesson, tutor: str) -> tuple[Any, ...]:
    lineage = lesson.lineage
    if lesson.kind == "practice":
        answered, judged = "student", _WHILE_TRAINED
    elif lesson.kind == "feedback":
        answered, judged = f"student, scored by {tutor}", _judges(lesson)
    else:
        answered, judged = lineage.source, _judges(lesson)
    return lesson.item.skill, lesson.kind, lineage.campaign, lineage.asked_by, answered, judged, lineage.license


def _judges(lesson: Lesson) -> str:
    """Name who judged it: who passed its answer or, where it only says what is wrong, who failed that."""
    found = dict.fromkeys(it.grader for it in lesson.verdicts if it.passed is bool(lesson.answer))
    if lesson.lineage.trusted:
        return f"{', '.join(found)}; {_TRUSTED_IN_PART}" if found else _TRUSTED
    return ", ".join(found) or _NOBODY
