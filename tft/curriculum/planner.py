"""The planner: from what a student can do to what it is taught, with the reason for every line.

A mastered skill gets no tuition, only a little replay; a skill whose needs are not within reach waits; the rest are
taught, more the weaker they are. Nothing right yet means demonstrations; once something is right, a share of the
lessons criticise the student's own mistakes. What a student was shown in earlier cycles it reads again in part,
mastered or not, because new lessons alone push the old ones out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.curriculum.mastery import mastered
from tft.curriculum.methods import choose_methods
from tft.records import LessonKind, Mastery, Syllabus, Tuition

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tft.config.campaign import TuitionConfig
    from tft.config.cards import SkillCard

_AFTER_ROLL_BACK = 0.5
_LATER = 0.7
"""For each cycle after the first: the rate that teaches a beginner disturbs what it has learned since."""
_SLOWEST = 0.5
_MOST_REPLAY = 0.5
_LONGER = 3
"""How much more a skill of the curriculum is rehearsed than one that only has to be kept: its answers are longer."""


def plan(
    student: str,
    cycle: int,
    skills: Mapping[str, SkillCard],
    known: Mapping[str, Mastery],
    config: TuitionConfig,
    shown: Mapping[str, int] | None = None,
    roll_backs: int = 0,
    material: Sequence[Tuition] = (),
    *,
    tutor: bool = True,
    only: LessonKind | None = None,
    kept: Collection[str] = (),
) -> Syllabus:
    """Plan one cycle of one student.

    Args:
        student: its id.
        cycle: from 1.
        skills: the curriculum's skills.
        known: mastery by skill, as probe and check found it.
        config: how much is taught, and in which ways.
        shown: lessons it had in earlier cycles, by skill.
        roll_backs: checkpoints refused in a row; each halves the learning rate and adds to the replay.
        material: lines that may be read from files, where the student is taught their skill, or no skill says when.
        tutor: whether the tutor may be asked; where its budget is spent, all that a student was shown is read again.
        only: the one kind of lesson that it can learn from; None for one that can learn from all.
        kept: skills that an earlier campaign taught or kept, tables left out; they are rehearsed as much as stored
            lessons are read.
    """
    tuition: list[Tuition] = []
    waiting: dict[str, str] = {}
    held: list[str] = []
    taught: list[str] = []
    for name, skill in skills.items():
        if mastered(known.get(name), config.mastery):
            held.append(name)
        elif skill.role == "taught":
            missing = [need for need in skill.needs if need in skills and not mastered(known.get(need), config.ready)]
            if missing:
                waiting[name] = f"needs {', '.join(missing)}"
            else:
                taught.append(name)
                tuition += choose_methods(name, known.get(name), config, tutor=tutor, only=only)
                tuition += [line for line in material if line.skill == name]
    tuition += [line for line in material if line.skill not in skills]
    if taught or tuition:
        shown = shown or {}
        if tutor:
            new = sum(line.lessons for line in tuition)
            tuition += _review(shown, held, min(1.0, config.review * (1 + roll_backs)))
        else:
            # What is read again stands for what the tutor would have written.
            tuition += _review(shown, held, 1.0)
            new = sum(line.lessons for line in tuition)
        weights = {
            name: _LONGER if skills[name].role == "taught" or name in kept else 1
            for name in skills
            if _is_rehearsed(name, skills[name].role, known.get(name), held) and not shown.get(name)
        }
        # Its own right answers alone teach nobody who learns from pairs.
        if only != "preference":
            least = {name: round(config.review * config.lessons) for name in kept}
            tuition += _rehearse(weights, held, new, config.replay * (1 + roll_backs), least)
    return Syllabus(
        student=student,
        cycle=cycle,
        tuition=tuple(tuition),
        waiting=waiting,
        mastered=tuple(held),
        learning_rate_scale=_AFTER_ROLL_BACK**roll_backs * max(_SLOWEST, _LATER ** (cycle - 1)),
    )


def _is_rehearsed(name: str, role: str, known: Mastery | None, held: Collection[str]) -> bool:
    """A skill that only has to be kept is rehearsed while anything of it is right: below mastery it needs it most."""
    if role == "retention":
        return known is not None and known.right > 0
    return name in held and role != "stretch"


def _review(shown: Mapping[str, int], held: Sequence[str], share: float) -> list[Tuition]:
    reasons = {True: "mastered: no new tuition, only what it was shown, so that it stays", False: "shown before"}
    rows = {skill: round(count * share) for skill, count in shown.items()}
    return [Tuition(skill, "replay", count, reasons[skill in held]) for skill, count in rows.items() if count]


def _rehearse(
    weights: dict[str, int], held: Sequence[str], lessons: int, share: float, least: Mapping[str, int]
) -> list[Tuition]:
    """Share rows out among skills; what an earlier campaign left has as many as it would have with stored lessons."""
    if not weights or share == 0:
        return []
    share = min(_MOST_REPLAY, share)
    rows = lessons * share / (1 - share) / sum(weights.values())
    reasons = {True: "mastered", False: "to be kept"}
    return [
        Tuition(
            skill,
            "replay",
            max(1, least.get(skill, 0), round(rows * weight)),
            f"{reasons[skill in held]}: no tuition, only rehearsal, so that it stays",
        )
        for skill, weight in weights.items()
    ]
