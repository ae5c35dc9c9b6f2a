"""What the tutor's tokens go to where they do not reach for everything: to what should gain most by them.

The gain of a lesson is how fast the student has learned the skill so far, times what is left to learn of it; a skill
that others wait for counts for them, too. Lessons that were written for another student cost nothing. Where nothing
is known of a skill yet, the lessons of one cycle are assumed to teach half of it. Skills that wait, and that
nobody was shown yet, have their share kept for them while there are cycles to come: what is learned last would
otherwise find the purse empty.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tft.config.cards import SkillCard
    from tft.curriculum.standing import Standing
    from tft.records import LessonKind, Tuition

_PAID: tuple[LessonKind, ...] = ("demonstration", "critique")
_TOO_DEAR = "the tutor's tokens go further elsewhere"
_UNLOCKS = 0.5
"""What a skill that waits adds to the gain of the one it waits for."""


def spend(
    lines: Sequence[Tuition],
    standing: Standing,
    skills: Mapping[str, SkillCard],
    waiting: Mapping[str, str],
    usual: int,
    *,
    last: bool,
) -> tuple[list[Tuition], dict[str, str]]:
    """Cut lines down to what the purse reaches for.

    Args:
        lines: what would be taught if tokens were no matter.
        standing: how the student stands.
        skills: the curriculum's.
        waiting: skills that are not taught yet.
        usual: new lessons a skill and cycle.
        last: whether no other cycle will come.

    Returns:
        The lines in their order, and skills that now wait, with the reason.
    """
    purse = standing.purse
    if purse.tokens is None or not purse.prices:
        return list(lines), {}
    mean = sum(purse.prices.values()) / len(purse.prices)
    free = dict(purse.ready)
    granted: dict[Tuition, int] = {}
    # What files bring is free.
    paid = [line for line in lines if line.kind in _PAID and not line.source]
    unseen = [] if last else [it for it in waiting if not (standing.shown.get(it) or purse.ready.get(it))]
    now = {line.skill for line in paid}
    left: float = purse.tokens * len(now) / max(1, len(now) + len(unseen))

    def price_of(line: Tuition) -> float:
        shown = purse.prices.get(line.skill, mean)
        return shown if line.kind == "demonstration" or purse.critique is None else purse.critique

    def worth(line: Tuition) -> float:
        price = price_of(line)
        return _gain(line.skill, standing, skills, waiting, usual) / max(price, 1e-9)

    for line in sorted(paid, key=worth, reverse=True):
        price = price_of(line)
        ready = min(line.lessons, free.get(line.skill, 0)) if line.kind == "demonstration" else 0
        free[line.skill] = free.get(line.skill, 0) - ready
        bought = min(line.lessons - ready, int(left / price)) if price > 0 else line.lessons - ready
        left -= bought * price
        granted[line] = ready + bought
    kept = [_cut(line, granted.get(line, line.lessons)) for line in lines]
    kept = [line for line in kept if line.lessons]
    taught = {line.skill for line in kept}
    dropped = dict.fromkeys((line.skill for line in paid if line.skill not in taught), _TOO_DEAR)
    return kept, dropped


def _cut(line: Tuition, lessons: int) -> Tuition:
    if lessons >= line.lessons:
        return line
    return replace(line, lessons=lessons, reason=f"{line.reason}; {lessons} of {line.lessons}, as far as tokens reach")


def _gain(
    skill: str, standing: Standing, skills: Mapping[str, SkillCard], waiting: Mapping[str, str], usual: int
) -> float:
    """Estimate the gain of one lesson, in points of mastery."""
    known = standing.known.get(skill)
    score = known.score if known is not None else 0.0
    speed = (score + 0.5) / (standing.shown.get(skill, 0) + usual)
    unlocked = sum(skill in skills[name].needs for name in waiting)
    return speed * (1 - score + _UNLOCKS * unlocked)
