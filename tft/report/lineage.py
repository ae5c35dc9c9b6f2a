"""What taught each skill: which lessons, from whom, asked by whom, judged by what, and under which licence.

The auditor's table. Its rows add up to the lessons that were trained on; each single lesson, with the calls that made
it and the verdicts it passed, is a line of ``lessons/cycle-N.jsonl``.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tft.records import Lesson
    from tft.report.taught import Taught

_WHILE_TRAINED = "the grader, while it was trained"
_TRUSTED = "nobody: the word of whoever ran this"


def describe_lessons(taught: Iterable[Taught], setting: dict[str, Any]) -> list[dict[str, Any]]:
    """Describe what was taught, in rows that differ in skill, kind, origin, judge or licence."""
    licences = {"curriculum": setting["curriculum"]["license"], "tutor": setting["tutor"]["license"]}
    counts: Counter[tuple[Any, ...]] = Counter()
    students: dict[tuple[Any, ...], Counter[str]] = {}
    first: dict[tuple[Any, ...], Lesson] = {}
    for it in taught:
        for lesson in it.curated.kept:
            row = _row(lesson, setting["tutor"]["id"], licences)
            counts[row] += 1
            students.setdefault(row, Counter())[it.student] += 1
            first.setdefault(row, lesson)
    return [
        {
            **dict(zip(("skill", "kind", "asked_by", "answered_by", "judged_by", "license"), row, strict=True)),
            "prompts": first[row].lineage.prompts,
            "model": first[row].lineage.model or None,
            "lessons": count,
            "students": dict(students[row]),
            "example": first[row].id,
        }
        for row, count in sorted(counts.items(), key=lambda it: tuple(map(str, it[0])))
    ]


def _row(lesson: Lesson, tutor: str, licences: dict[str, str | None]) -> tuple[Any, ...]:
    asked = tutor if lesson.item.source == "tutor" else lesson.item.source
    if lesson.kind == "practice":
        answered, judged = "student", _WHILE_TRAINED
    elif lesson.kind == "feedback":
        answered, judged = f"student, scored by {tutor}", _last_judge(lesson)
    else:
        answered, judged = lesson.lineage.source, _last_judge(lesson)
    return lesson.item.skill, lesson.kind, asked, answered, judged, _licence(lesson, tutor, licences)


def _last_judge(lesson: Lesson) -> str:
    if lesson.lineage.trusted and not lesson.verdicts:
        return _TRUSTED
    return ", ".join(dict.fromkeys(it.grader for it in lesson.verdicts if it.passed)) or _TRUSTED


def _licence(lesson: Lesson, tutor: str, licences: dict[str, str | None]) -> str | None:
    """Name the licences of question and answer; what a student wrote itself has none but those of its weights."""
    if lesson.lineage.row is not None:
        return lesson.lineage.license
    question = licences["tutor" if lesson.item.source == "tutor" else "curriculum"]
    answer = licences["tutor"] if lesson.lineage.source == tutor else None
    return ", ".join(dict.fromkeys(it for it in (question, answer) if it)) or None
