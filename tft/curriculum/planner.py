"""The planner: from what a student can do to what it is taught, with the reason for every line.

A mastered skill gets no tuition, only a little replay; a skill whose needs are not mastered waits; the rest are
taught, more the weaker they are. Nothing right yet means demonstrations; once something is right, a share of the
lessons criticise the student's own mistakes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tft.curriculum.mastery import mastered
from tft.records import LessonKind, Mastery, Syllabus, Tuition

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.config.campaign import TuitionConfig
    from tft.config.cards import SkillCard

_SOME_RIGHT = 0.1
_LEAST_SHARE = 0.25
_AFTER_ROLL_BACK = 0.5
_LATER = 0.5
"""After the first cycle: the rate that teaches a beginner disturbs what it has learned since."""
_MOST_REPLAY = 0.5
_FRESH = 3
"""How much more a skill of the curriculum is rehearsed than one that was known before: it is younger and longer."""


def plan(
    student: str,
    cycle: int,
    skills: Mapping[str, SkillCard],
    known: Mapping[str, Mastery],
    config: TuitionConfig,
    roll_backs: int = 0,
) -> Syllabus:
    """Plan one cycle of one student.

    Args:
        student: its id.
        cycle: from 1.
        skills: the curriculum's skills.
        known: mastery by skill, as probe and check found it.
        config: how much is taught, and in which ways.
        roll_backs: checkpoints refused in a row; each halves the learning rate and adds to the replay.
    """
    tuition: list[Tuition] = []
    waiting: dict[str, str] = {}
    held: list[str] = []
    for name, skill in skills.items():
        if mastered(known.get(name), config.mastery):
            held.append(name)
        elif skill.role == "taught":
            missing = [need for need in skill.needs if need in skills and not mastered(known.get(need), config.mastery)]
            if missing:
                waiting[name] = f"needs {', '.join(missing)}"
            else:
                tuition += _teach(name, known.get(name), config)
    replayed = [name for name in held if skills[name].role != "stretch"]
    if tuition:
        weights = {name: _FRESH if skills[name].role == "taught" else 1 for name in replayed}
        tuition += _rehearse(weights, sum(line.lessons for line in tuition), config.replay, roll_backs)
    return Syllabus(
        student=student,
        cycle=cycle,
        tuition=tuple(tuition),
        waiting=waiting,
        mastered=tuple(held),
        learning_rate_scale=_AFTER_ROLL_BACK**roll_backs * (_LATER if cycle > 1 else 1.0),
    )


def _teach(skill: str, known: Mastery | None, config: TuitionConfig) -> list[Tuition]:
    score = known.score if known is not None else 0.0
    evidence = f"{known.right} of {known.n} right" if known is not None else "never asked"
    lessons = math.ceil(config.lessons * max(_LEAST_SHARE, min(1.0, 2 * (1 - score))))
    kinds: dict[LessonKind, tuple[int, str]] = {}
    if config.methods == "critique":
        kinds["critique"] = (lessons, "critiques are pinned by tuition.methods")
    elif config.methods == "demonstration":
        kinds["demonstration"] = (lessons, "demonstrations are pinned by tuition.methods")
    elif score < _SOME_RIGHT:
        kinds["demonstration"] = (lessons, "too little right to build on, so it is shown how")
    else:
        critiques = round(lessons * config.critiques)
        kinds["demonstration"] = (lessons - critiques, "not yet safe, so more worked answers")
        kinds["critique"] = (critiques, "some right, so its own mistakes can teach it")
    return [Tuition(skill, kind, count, f"{evidence}: {reason}") for kind, (count, reason) in kinds.items() if count]


def _rehearse(weights: dict[str, int], lessons: int, share: float, roll_backs: int) -> list[Tuition]:
    if not weights or share == 0:
        return []
    share = min(_MOST_REPLAY, share * (1 + roll_backs))
    rows = lessons * share / (1 - share) / sum(weights.values())
    reason = "mastered: no tuition, only rehearsal, so that it stays"
    return [Tuition(skill, "replay", max(1, round(rows * weight)), reason) for skill, weight in weights.items()]
