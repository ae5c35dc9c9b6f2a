"""What a student still answers wrongly: some answers of its final exam, those of its worst skills first.

Left out on purpose: skills that are taught to nobody, which are expected to fail. All answers stand in ``exams/``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.records import Answered, Sitting

_SHOWN = 3
"""Of a student."""


def describe_failures(student: str, after: Sitting | None, roles: Mapping[str, str]) -> list[dict[str, Any]]:
    """Show some answers that the promoted checkpoint still gets wrong: one a skill before a second of any.

    Args:
        student: who answered.
        after: its final exam in the end; None while it was not sat.
        roles: of the skills, by name.
    """
    wrong: dict[str, list[Answered]] = {}
    asked: dict[str, int] = {}
    for it in after.answers if after else ():
        skill = it.attempt.item.skill
        asked[skill] = asked.get(skill, 0) + 1
        if not it.verdict.passed and roles.get(skill) != "stretch":
            wrong.setdefault(skill, []).append(it)
    worst = sorted(wrong, key=lambda skill: -len(wrong[skill]) / asked[skill])
    ranked = [(place, rank, it) for rank, skill in enumerate(worst) for place, it in enumerate(wrong[skill])]
    shown = sorted(sorted(ranked, key=lambda it: it[:2])[:_SHOWN], key=lambda it: it[1])
    return [
        {
            "student": student,
            "skill": it.attempt.item.skill,
            "wrong": len(wrong[it.attempt.item.skill]),
            "of": asked[it.attempt.item.skill],
            "question": it.attempt.item.question,
            "reference": it.attempt.item.reference,
            "answer": it.attempt.text,
            "reason": it.verdict.reason,
            "grader": it.verdict.grader,
            "confidence": it.attempt.confidence,
        }
        for _, _, it in shown
    ]
