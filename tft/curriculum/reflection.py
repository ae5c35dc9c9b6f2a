"""Reflection: was the cycle worth keeping, and should there be another?

The gate compares the candidate with the last promoted checkpoint on the same check items, and skill by skill with the
best that was promoted, so that no skill slides away in small steps. A checkpoint is refused if the mean over the taught
skills fell, if a skill or a whole exam fell by more than its bound and the paired interval leaves no doubt about half
of that, or if it was taught what the exams ask. The same items are looked at in every cycle, so each look may err less
often than the one before, and all together as often as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from tft.curriculum.findings import (
    name_forgetting,
    name_forgotten_knowledge,
    name_leak,
    name_overfitting,
    name_reward_hacking,
)
from tft.curriculum.mastery import estimate, mastered, mean_score
from tft.records import Decision, Mastery, Sitting, StopReason
from tft.statistics import paired_difference

if TYPE_CHECKING:
    from tft.config.campaign import TuitionConfig
    from tft.config.cards import SkillCard

_PROGRESS = 0.01
_SURE = 0.5
"""Share of the bound that a fall must have passed for sure: a dip that may be an accident costs less than a cycle."""
_ERRORS = 0.05
"""How often a skill that did not fall that far may be said to have, over all cycles together, however many."""
_ROUNDING = 1e-9
"""0.95 − 1 is a little less than −0.05."""

_NOTHING = Sitting("watched", ())


@dataclass(frozen=True, slots=True)
class Compared:
    """Three sittings of the same items."""

    before: Sitting
    """Of the last promoted checkpoint."""
    best: Sitting
    """Of each skill, that of the promoted checkpoint that had most of it right; see :func:`keep_best`."""
    after: Sitting
    """Of the candidate."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What reflection looks at."""

    check: Compared
    history: Sequence[float]
    """Mean over the taught skills after each earlier cycle, the state before the first at its head."""
    known: Mapping[str, Mastery]
    """What would be believed of the candidate if it were promoted, by skill."""
    watched: Compared = Compared(_NOTHING, _NOTHING, _NOTHING)
    """What is watched of the whole exams, whose names stand for skills."""
    trained: Sitting = field(default_factory=lambda: Sitting("trained", ()))
    """The candidate's answers to a sample of what it was trained on."""
    leaked: Sequence[str] = ()
    """Questions of exams that it was trained on."""
    measures: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What training told of itself; see ``Checkpoint``."""


def reflect(
    student: str, cycle: int, skills: Mapping[str, SkillCard], evidence: Evidence, config: TuitionConfig
) -> Decision:
    """Promote a checkpoint or roll it back, and say whether this student is done, and why."""
    taught = [name for name, skill in skills.items() if skill.role == "taught"]
    counting = [name for name, skill in skills.items() if skill.role != "stretch"]
    check, confidence = evidence.check, 1 - _ERRORS / (cycle * (cycle + 1))
    mean_before, mean_after = (mean_score(estimate([it]), taught) for it in (check.before, check.after))
    falls = _falls(counting, check, confidence)
    exams = dict.fromkeys(it.attempt.item.skill for it in evidence.watched.after.answers)
    falls_of_exams = _falls(exams, evidence.watched, confidence, "the whole exam ")
    lost, lost_exams = _beyond(falls, config.max_drop), _beyond(falls_of_exams, config.max_drop)
    promoted = not lost and not lost_exams and not evidence.leaked and mean_after >= mean_before
    findings = (
        *name_leak(evidence.leaked),
        *name_forgetting(list(lost), {name: it.score for name, it in estimate([check.best]).items()}, config.mastery),
        *name_forgotten_knowledge(list(lost_exams)),
        *name_overfitting(evidence.trained, check.after),
        *name_reward_hacking(evidence.measures),
    )
    if evidence.leaked:
        reason = f"rolled back: {len(evidence.leaked)} lessons ask what the exams ask"
    elif promoted:
        furthest = max((*falls, *falls_of_exams), key=lambda it: it.size, default=None)
        reason = f"the mean of the taught skills went from {mean_before:.1%} to {mean_after:.1%}, and none fell "
        reason += "beyond its bound" + (f"; furthest: {furthest.told}" if furthest is not None else "")
    elif lost or lost_exams:
        reason = "rolled back: " + "; ".join((*lost.values(), *lost_exams.values()))
    else:
        reason = f"rolled back: the mean of the taught skills fell from {mean_before:.1%} to {mean_after:.1%}"
    stop: StopReason | None = None
    means = [*evidence.history, mean_after if promoted else mean_before]
    if promoted and all(mastered(evidence.known.get(name), config.mastery) for name in taught):
        stop = "mastery"
    elif len(means) > config.patience and means[-1] - means[-1 - config.patience] < _PROGRESS:
        stop = "plateau"
    return Decision(student, cycle, promoted, reason, stop, findings)


def keep_best(best: Sitting, promoted: Sitting) -> Sitting:
    """Take of each skill the sitting that had more of it right, of two of the same items; of two alike the newer."""
    was, now = (estimate([it]) for it in (best, promoted))
    pairs = ((old, new, new.attempt.item.skill) for old, new in zip(best.answers, promoted.answers, strict=True))
    return Sitting(best.exam, tuple(new if now[it].right >= was[it].right else old for old, new, it in pairs))


class _Fall(NamedTuple):
    """A fall that was no accident."""

    name: str
    size: float
    least: float
    """The end of its interval that is nearer to 0."""
    told: str


def _falls(names: Iterable[str], compared: Compared, confidence: float, kind: str = "") -> list[_Fall]:
    """List the skills that fell for sure: since the last promoted checkpoint, or since their best one."""
    found = []
    for name in names:
        before, best, after = (_marks(it, name) for it in (compared.before, compared.best, compared.after))
        for earlier, since in ((before, ""), *([(best, " from its best")] if best != before else [])):
            change, _, high = paired_difference(earlier, after, confidence)
            if high < 0:
                told = f"{kind}{name} fell by {-change:.1%}{since} (at least {-high:.1%} at {100 * confidence:.3g} %)"
                found.append(_Fall(name, -change, -high, told))
    return found


def _marks(sitting: Sitting, skill: str) -> list[bool]:
    return [it.verdict.passed for it in sitting.answers if it.attempt.item.skill == skill]


def _beyond(falls: Iterable[_Fall], most: float) -> dict[str, str]:
    """Tell of what fell beyond its bound; of two falls of one skill, of the one from its best."""
    return {it.name: it.told for it in falls if it.size > most + _ROUNDING and it.least > _SURE * most}
