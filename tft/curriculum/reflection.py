"""Reflection: was the cycle worth keeping, and should there be another?

The gate compares the candidate with the last promoted checkpoint on the same check items. A checkpoint is refused
if the mean over the taught skills fell, if a skill fell by more than its bound and the paired interval leaves no doubt
about half of that, or if it was taught what the exams ask. The same items are looked at in every cycle, so each look
may err less often than the one before, and all together as often as one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tft.curriculum.findings import name_forgetting, name_leak, name_overfitting, name_reward_hacking
from tft.curriculum.mastery import estimate, mastered, mean_score
from tft.records import Decision, Sitting, StopReason
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


@dataclass(frozen=True, slots=True)
class Evidence:
    """What reflection looks at."""

    before: Sitting
    """The check of the last promoted checkpoint."""
    after: Sitting
    """The check of the candidate."""
    history: Sequence[float]
    """Mean over the taught skills after each earlier cycle, the state before the first at its head."""
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
    kept = [name for name, skill in skills.items() if skill.role != "stretch"]
    mean_before = mean_score(estimate([evidence.before]), taught)
    known = estimate([evidence.after])
    mean_after = mean_score(known, taught)
    losses = _losses(kept, evidence, config.max_drop, 1 - _ERRORS / (cycle * (cycle + 1)))
    promoted = not losses and not evidence.leaked and mean_after >= mean_before
    before = {skill: it.score for skill, it in estimate([evidence.before]).items()}
    findings = (
        *name_leak(evidence.leaked),
        *name_forgetting(list(losses), before, config.mastery),
        *name_overfitting(evidence.trained, evidence.after),
        *name_reward_hacking(evidence.measures),
    )
    if evidence.leaked:
        reason = f"rolled back: {len(evidence.leaked)} lessons ask what the exams ask"
    elif promoted:
        reason = f"the mean of the taught skills went from {mean_before:.1%} to {mean_after:.1%}, and none fell"
    elif losses:
        reason = "rolled back: " + "; ".join(losses.values())
    else:
        reason = f"rolled back: the mean of the taught skills fell from {mean_before:.1%} to {mean_after:.1%}"
    stop: StopReason | None = None
    means = [*evidence.history, mean_after if promoted else mean_before]
    if promoted and all(mastered(known.get(name), config.mastery) for name in taught):
        stop = "mastery"
    elif len(means) > config.patience and means[-1] - means[-1 - config.patience] < _PROGRESS:
        stop = "plateau"
    return Decision(student, cycle, promoted, reason, stop, findings)


def _losses(skills: Sequence[str], evidence: Evidence, most: float, confidence: float) -> dict[str, str]:
    """Tell of the skills that fell beyond their bound."""
    found = {}
    for skill in skills:
        before, after = (
            [answer.verdict.passed for answer in sitting.answers if answer.attempt.item.skill == skill]
            for sitting in (evidence.before, evidence.after)
        )
        change, _, high = paired_difference(before, after, confidence)
        if change < -most - _ROUNDING and high < -_SURE * most:
            found[skill] = f"{skill} fell by {-change:.1%} (at least {-high:.1%} at {100 * confidence:.3g} %)"
    return found
