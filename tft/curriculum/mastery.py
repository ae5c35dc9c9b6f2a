"""What is known of a student's command of each skill: what one exam counted, and what all the evidence lets believe.

An exam's number is a proportion with its Wilson interval. A belief is a beta distribution: every share is as likely as
any other before the first answer (Bayes 1763), right and wrong answers are added to its two parameters, each with the
weight it still has, and when the asking stopped changes nothing. Its interval is that of highest density.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

from tft.curriculum.beta import beta_below, beta_interval, beta_quantile
from tft.curriculum.evidence import weigh
from tft.curriculum.probing import undecided
from tft.records import Mastery, Sitting
from tft.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tft.curriculum.evidence import Trace, Traces
    from tft.curriculum.probing import Decisions


def estimate(sittings: Iterable[Sitting]) -> dict[str, Mastery]:
    """Pool the answers of sittings by skill."""
    asked: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for sitting in sittings:
        for answer in sitting.answers:
            asked[answer.attempt.item.skill] += 1
            right[answer.attempt.item.skill] += answer.verdict.passed
    return {skill: _mastery(skill, right[skill], n) for skill, n in asked.items()}


def _mastery(skill: str, right: int, n: int) -> Mastery:
    low, high = wilson_interval(right, n)
    return Mastery(skill, right, n, right / n, low, high)


def believe(traces: Traces, decisions: Decisions) -> dict[str, Mastery]:
    """Say what may be believed of every skill that was ever asked, and from what evidence."""
    return {skill: _belief(skill, page.values(), decisions) for skill, page in traces.items() if page}


def _belief(skill: str, traces: Collection[Trace], decisions: Decisions) -> Mastery:
    right, wrong = weigh(traces)
    score, low, high, probability = _posterior(right, wrong, decisions.mastery)
    fresh = [trace for trace in traces if trace.weight == 1]
    return Mastery(
        skill=skill,
        right=sum(trace.right for trace in fresh),
        n=len(fresh),
        score=score,
        low=low,
        high=high,
        aged=right + wrong - len(fresh),
        asked=max(trace.cycle for trace in traces),
        probability=probability,
        undecided=undecided(right, wrong, decisions),
    )


@lru_cache(maxsize=4096)
def _posterior(right: float, wrong: float, threshold: float) -> tuple[float, float, float, float]:
    """Give median, interval and the probability of the threshold; most skills have nothing or everything right."""
    a, b = 1 + right, 1 + wrong
    return beta_quantile(0.5, a, b), *beta_interval(a, b), 1 - beta_below(threshold, a, b)


def mastered(known: Mastery | None, threshold: float) -> bool:
    """Say whether a skill counts as mastered: its share of right answers reaches the threshold.

    Of a belief the score is the median, so that this asks whether the threshold is more likely reached than not.
    """
    return known is not None and known.score >= threshold


def mean_score(known: Mapping[str, Mastery], skills: Iterable[str]) -> float:
    """Average the scores of skills; 0 for none."""
    scores = [known[skill].score for skill in skills if skill in known]
    return sum(scores) / len(scores) if scores else 0.0
