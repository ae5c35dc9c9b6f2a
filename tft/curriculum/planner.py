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

_RATE_AFTER_ROLL_BACK = 0.5
"""Share of the learning rate that is left after each checkpoint that was refused."""
_RATE_A_CYCLE = 0.7
"""The same after each cycle: the rate that teaches a beginner disturbs what it has learned since."""
_LOWEST_RATE = 0.5
"""The least that cycles leave of it."""
_MOST_REPLAY = 0.5
"""Most of a cycle's rows that are rehearsal."""
_REVIEW_A_CYCLE_HELD = 0.5
"""For each cycle in a row in which a skill was found mastered: how much less of it is read again (Leitner 1972)."""
_WEIGHT_OF_THE_CURRICULUM = 3
"""How much more a skill of the curriculum is rehearsed than one that only has to be kept: its answers are longer."""


def plan(standing: Standing, skills: Mapping[str, SkillCard], config: TuitionConfig) -> Syllabus:
    """Plan one cycle of one student.

    Args:
        standing: how it stands.
        skills: the curriculum's skills.
        config: how much is taught, and in which ways.
    """
    known, purse = standing.known, standing.purse
    held = [name for name in skills if mastered(known.get(name), config.mastery)]
    open_ones = [name for name, skill in skills.items() if skill.role == "taught" and name not in held]
    waiting = {name: f"needs {', '.join(missing)}" for name in open_ones
               if (missing := _missing(skills[name], standing, skills, config))}  # fmt: skip
    taught = [name for name in open_ones if name not in waiting]
    tuition = [line for name in taught for line in _teach(name, standing, config)]
    tuition += [line for line in standing.material if line.skill not in skills]
    if config.methods == "auto" and not purse.spent:
        tuition, dear = spend(tuition, standing, skills, waiting, config.lessons, last=standing.cycle >= config.cycles)
        waiting |= dear
    if taught or tuition:
        again = _read_again(standing, held, config)
        # Where the tutor is spent, what is read again stands for what it would have written.
        new = sum(line.lessons for line in (*tuition, *(again if purse.spent else ())))
        tuition += again
        # Rehearsal gives right answers only; a head that rates answers needs pairs.
        if standing.only != "preference":
            tuition += _keep(standing, skills, held, new, config)
    return Syllabus(
        student=standing.student,
        cycle=standing.cycle,
        tuition=tuple(tuition),
        waiting=waiting,
        mastered=tuple(held),
        learning_rate_scale=_RATE_AFTER_ROLL_BACK**standing.roll_backs
        * max(_LOWEST_RATE, _RATE_A_CYCLE ** (standing.cycle - 1)),
    )


def _missing(skill: SkillCard, standing: Standing, skills: Mapping[str, SkillCard], config: TuitionConfig) -> list[str]:
    """List what a skill needs and the student is not ready for."""
    return [need for need in skill.needs if need in skills and not mastered(standing.known.get(need), config.ready)]


def _teach(name: str, standing: Standing, config: TuitionConfig) -> list[Tuition]:
    """Say how a skill is taught: by the tutor or by the student itself, and from material."""
    purse = standing.purse
    lines = choose_methods(
        name, standing.known.get(name), config, standing.roll_backs, tutor=not purse.spent, judged=standing.judged,
        only=standing.only, shared_out=purse.scarce,
    )  # fmt: skip
    return [*lines, *(line for line in standing.material if line.skill == name)]


def _read_again(standing: Standing, held: Sequence[str], config: TuitionConfig) -> list[Tuition]:
    """Let it read what it was shown in earlier cycles: all of it where the tutor's tokens are scarce or spent."""
    purse = standing.purse
    if purse.spent or (config.methods == "auto" and purse.scarce):
        return _review(standing, held, 1.0)
    return _review(standing, held, min(1.0, config.review * (1 + standing.roll_backs)))


def _keep(
    standing: Standing, skills: Mapping[str, SkillCard], held: Sequence[str], new: int, config: TuitionConfig
) -> list[Tuition]:
    """Let it rehearse what it knows and was not shown, so that new lessons do not push that out."""
    own = {name for name in skills if name in standing.kept or skills[name].role == "taught"}
    weights = {
        name: _WEIGHT_OF_THE_CURRICULUM if name in own else 1
        for name in skills
        if _is_rehearsed(name, skills[name].role, standing.known.get(name), held) and not standing.shown.get(name)
    }
    # A skill of the curriculum that is not shown is read as often as one that is.
    least = {name: min(config.lessons, new) for name in weights if name in own}
    return _rehearse(weights, held, new, config.replay * (1 + standing.roll_backs), least)


def _is_rehearsed(name: str, role: str, known: Mastery | None, held: Collection[str]) -> bool:
    """Whether a skill is rehearsed: one to be kept while anything of it is right, others once held; stretch never."""
    if role == "retention":
        return known is not None and known.right > 0
    return name in held and role != "stretch"


def _review(standing: Standing, held: Sequence[str], share: float) -> list[Tuition]:
    """Read again what was shown: half as much for every cycle that a skill has been held, unless one was refused."""
    lines = []
    for skill, count in standing.shown.items():
        times = 0 if standing.roll_backs else standing.held.get(skill, 0) * (skill in held)
        rows = round(count * share * _REVIEW_A_CYCLE_HELD**times)
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
