"""The planner: from what a student can do to what it is taught, with the reason for every line.

A mastered skill gets no tuition, only a little replay; a skill whose needs are not within reach waits; the rest are
taught, more the weaker they are. Nothing right yet means demonstrations; once something is right, a share of the
lessons criticise the student's own mistakes. What a student was shown in earlier cycles it reads again in part,
mastered or not, because new lessons alone push the old ones out; a skill that stays mastered it reads ever less of.
Where the tutor's tokens do not reach for everything, they go where they are expected to gain most.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.curriculum.mastery import mastered
from tft.curriculum.methods import choose_methods
from tft.curriculum.spending import spend
from tft.records import Syllabus, Tuition

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from tft.config.campaign import TuitionConfig
    from tft.config.cards import SkillCard
    from tft.curriculum.standing import Standing
    from tft.records import Mastery

_AFTER_ROLL_BACK = 0.5
_LATER = 0.7
"""For each cycle after the first: the rate that teaches a beginner disturbs what it has learned since."""
_SLOWEST = 0.5
_MOST_REPLAY = 0.5
_RARER = 0.5
"""For each cycle in a row in which a skill was found mastered: how much less of it is read again (Leitner 1972)."""
_LONGER = 3
"""How much more a skill of the curriculum is rehearsed than one that only has to be kept: its answers are longer."""


def plan(standing: Standing, skills: Mapping[str, SkillCard], config: TuitionConfig) -> Syllabus:
    """Plan one cycle of one student.

    Args:
        standing: how it stands.
        skills: the curriculum's skills.
        config: how much is taught, and in which ways.
    """
    known, purse, only, roll_backs = standing.known, standing.purse, standing.only, standing.roll_backs
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
                tuition += choose_methods(
                    name, known.get(name), config, roll_backs, tutor=not purse.spent, judged=standing.judged, only=only,
                    shared_out=purse.scarce,
                )  # fmt: skip
                tuition += [line for line in standing.material if line.skill == name]
    tuition += [line for line in standing.material if line.skill not in skills]
    if config.methods == "auto" and not purse.spent:
        tuition, dear = spend(tuition, standing, skills, waiting, config.lessons, last=standing.cycle >= config.cycles)
        waiting |= dear
    if taught or tuition:
        if purse.spent:
            # What is read again stands for what the tutor would have written.
            tuition += _review(standing, held, 1.0)
            new = sum(line.lessons for line in tuition)
        else:
            new = sum(line.lessons for line in tuition)
            # Where tokens are scarce, what they have bought is read as often as there is time for.
            share = 1.0 if config.methods == "auto" and purse.scarce else config.review * (1 + roll_backs)
            tuition += _review(standing, held, min(1.0, share))
        weights = {
            name: _LONGER if skills[name].role == "taught" or name in standing.kept else 1
            for name in skills
            if _is_rehearsed(name, skills[name].role, known.get(name), held) and not standing.shown.get(name)
        }
        # Its own right answers alone teach nobody who learns from pairs.
        if only != "preference":
            # A skill of the curriculum that is not shown is read as often as one that is.
            floor = min(config.lessons, new)
            least = {name: floor for name in weights if name in standing.kept or skills[name].role == "taught"}
            tuition += _rehearse(weights, held, new, config.replay * (1 + roll_backs), least)
    return Syllabus(
        student=standing.student,
        cycle=standing.cycle,
        tuition=tuple(tuition),
        waiting=waiting,
        mastered=tuple(held),
        learning_rate_scale=_AFTER_ROLL_BACK**roll_backs * max(_SLOWEST, _LATER ** (standing.cycle - 1)),
    )


def _is_rehearsed(name: str, role: str, known: Mastery | None, held: Collection[str]) -> bool:
    """A skill that only has to be kept is rehearsed while anything of it is right: below mastery it needs it most."""
    if role == "retention":
        return known is not None and known.right > 0
    return name in held and role != "stretch"


def _review(standing: Standing, held: Sequence[str], share: float) -> list[Tuition]:
    """Read again what was shown: half as much for every cycle that a skill has been held, unless one was refused."""
    lines = []
    for skill, count in standing.shown.items():
        times = 0 if standing.roll_backs else standing.held.get(skill, 0) * (skill in held)
        rows = round(count * share * _RARER**times)
        if not rows:
            continue
        reason = "shown before"
        if skill in held:
            again = f" ever less, for {times} cycles now" if times > 1 else ""
            reason = f"mastered: no new tuition, only what it was shown{again}, so that it stays"
        lines.append(Tuition(skill, "replay", rows, reason))
    return lines


def _rehearse(
    weights: dict[str, int], held: Sequence[str], lessons: int, share: float, least: Mapping[str, int]
) -> list[Tuition]:
    """Share rows out among skills; one of the curriculum has as many at least as another has new lessons."""
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
