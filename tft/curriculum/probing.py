"""Adaptive probing: a student is asked until the planner's decisions are known, and no further.

The planner decides by thresholds: whether a skill is mastered, whether it can be built on, which kinds of lesson it
needs. Each of them is a sequential test (Wald 1945) of threshold + zone against threshold − zone. It ends when the
evidence is 19 times as likely under one as under the other, which holds both errors near 5 % at the edges of the zone;
inside it either side will do. Where the items of the probe end first, the more likely side is taken.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tft.curriculum.evidence import weigh
from tft.curriculum.methods import KINDS_CHANGE_AT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tft.config.campaign import CampaignConfig
    from tft.curriculum.evidence import Traces
    from tft.records import Item

_ERROR = 0.05
_BOUND = math.log((1 - _ERROR) / _ERROR)
_BATCHES = 2
_SMALLEST_BATCH = 8


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the planner decides by."""

    mastery: float
    thresholds: tuple[float, ...]
    """All of them, that of mastery included."""
    zone: float
    """How far from a threshold it does not matter on which side an ability is counted."""
    batch: int = _SMALLEST_BATCH
    """Most items a skill that are asked at once: each batch costs a start of its own."""

    @classmethod
    def of(cls, config: CampaignConfig) -> Decisions:
        """Read them off a campaign's config; kinds of lesson that are pinned need no evidence."""
        tuition = config.tuition
        kinds = KINDS_CHANGE_AT if tuition.methods == "auto" else ()
        batch = max(_SMALLEST_BATCH, math.ceil(config.exams.probe / _BATCHES))
        return cls(tuition.mastery, (tuition.mastery, tuition.ready, *kinds), config.exams.zone, batch)


def undecided(right: float, wrong: float, decisions: Decisions) -> tuple[float, ...]:
    """Name the thresholds of which the evidence does not say yet on which side the ability lies.

    log likelihood ratio = right·log((t + z)/(t − z)) + wrong·log((1 − t − z)/(1 − t + z)).

    Args:
        right: right answers, by their weight.
        wrong: wrong answers, by their weight.
        decisions: the thresholds; near 0 and 1 their zone is half the way to the end, if that is less.
    """
    found = []
    for threshold in decisions.thresholds:
        zone = min(decisions.zone, threshold / 2, (1 - threshold) / 2)
        high, low = threshold + zone, threshold - zone
        ratio = right * math.log(high / low) + wrong * math.log((1 - high) / (1 - low))
        if abs(ratio) < _BOUND:
            found.append(threshold)
    return tuple(found)


def next_items(items: Iterable[Item], traces: Traces, decisions: Decisions) -> tuple[Item, ...]:
    """Choose what is asked next: of skills with an open decision, items that this student, as it is, did not answer.

    Args:
        items: of the probe, all skills.
        traces: the answers so far.
        decisions: what the planner decides by.

    Returns:
        A batch of each such skill: those never asked first, then those whose answers have aged most. Empty where
        all is decided, or nothing is left to ask.
    """
    left: dict[str, list[tuple[float, Item]]] = {}
    for item in items:
        trace = traces.get(item.skill, {}).get(item.question)
        weight = trace.weight if trace is not None else 0.0
        if weight < 1:
            left.setdefault(item.skill, []).append((weight, item))
    return tuple(
        item
        for skill, page in left.items()
        if undecided(*weigh(traces.get(skill, {}).values()), decisions)
        for _, item in sorted(page, key=lambda it: it[0])[: decisions.batch]
    )
