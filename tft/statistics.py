"""Intervals, paired tests and calibration: pure functions on numbers, without a model in sight."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from numpy.typing import NDArray


def normal_quantile(confidence: float = 0.95) -> float:
    """Give the two-sided normal quantile of a confidence level: 1.96 for 0.95."""
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def wilson_interval(right: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Bound a proportion.

    centre ± half = (p + z²/2n ± z·sqrt(p(1−p)/n + z²/4n²)) / (1 + z²/n), from Wilson 1927.

    Args:
        right: how many of them succeeded.
        n: how many there were; a fraction where answers are worth less than one, see :func:`effective_size`.
        confidence: of the two-sided interval.

    Returns:
        The lower and the upper bound; (0, 1) for n = 0, where nothing is known.

    Raises:
        ValueError: if ``right`` is not between 0 and ``n``.

    >>> low, high = wilson_interval(9, 10)
    >>> round(low, 3), round(high, 3)
    (0.596, 0.982)
    """
    if not 0 <= right <= n:
        raise ValueError(f"{right} of {n} is not a proportion")
    if n == 0:
        return 0.0, 1.0
    z = normal_quantile(confidence)
    share = right / n
    centre = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At 0 and 1 the bound is exact; rounding must not push it past the estimate.
    low = 0.0 if right == 0 else (centre - half) / scale
    high = 1.0 if right == n else (centre + half) / scale
    return low, high


def effective_size(values: Sequence[float], questions: Sequence[Hashable]) -> float:
    """Say how many independent answers some are worth of which several answer the same question.

    n·Σ(xᵢ − x̄)² / Σ_q (Σ_{i in q} (xᵢ − x̄))²: their number over the design effect, with the variance between clusters
    (Rao and Scott 1992, Biometrics 48, 577). No more than n² / Σ n_q², which is what they are worth if the answers to
    a question are all the same (Kish 1965): near 0 and 1 too few differ for the first to be trusted.

    Args:
        values: of each answer.
        questions: which question it answers, in the same order.

    Returns:
        At most the number of questions; exactly n where all differ, and 0.0 without answers.

    >>> effective_size([1, 1, 0, 0, 1, 0], ["a", "a", "b", "b", "c", "d"])
    3.6
    """
    n, repeats = len(values), Counter(questions)
    if len(repeats) == n:
        return float(n)
    mean = sum(values) / n
    residuals: dict[Hashable, float] = dict.fromkeys(repeats, 0.0)
    for value, question in zip(values, questions, strict=True):
        residuals[question] += value - mean
    between = sum(it * it for it in residuals.values())
    alike = n * n / sum(it * it for it in repeats.values())
    return min(alike, n * sum((it - mean) ** 2 for it in values) / between) if between else alike


def paired_difference(
    before: Sequence[bool],
    after: Sequence[bool],
    confidence: float = 0.95,
    questions: Sequence[Hashable] | None = None,
) -> tuple[float, float, float]:
    """Bound the change of a proportion that was measured twice on the same items.

    Newcombe 1998 (Statistics in Medicine 17, 2635), method 10: the Wilson intervals of both proportions, joined with
    the correlation φ of the pairs. Where the pairs agree more often than by chance, ad > bc, the numerator of φ is
    max(ad − bc − n/2, 0), so that few pairs are not taken for bound to each other. Where items repeat a question, the
    four counts are scaled to the effective size of the differences.

    Args:
        before: whether each item was right the first time.
        after: whether it was right the second time, in the same order.
        confidence: of the two-sided interval.
        questions: which question each item asks; None where all differ.

    Returns:
        after − before, its lower and its upper bound; (0, −1, 1) when there are no items.

    Raises:
        ValueError: if the two differ in length.

    >>> change, low, high = paired_difference([False] * 8 + [True] * 2, [True] * 9 + [False])
    >>> round(change, 2), low < change < high
    (0.7, True)
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} answers before cannot be paired with {len(after)} after")
    if not before:
        return 0.0, -1.0, 1.0
    n, both = len(before), sum(1 for x, y in zip(before, after, strict=True) if x and y)
    differences = [int(y) - int(x) for x, y in zip(before, after, strict=True)]
    lost, gained = differences.count(-1), differences.count(1)
    neither = n - both - lost - gained
    worth = 1.0 if questions is None else effective_size(differences, questions) / n
    p1, p2 = (both + lost) / n, (both + gained) / n
    l1, u1 = wilson_interval(worth * (both + lost), worth * n, confidence)
    l2, u2 = wilson_interval(worth * (both + gained), worth * n, confidence)
    margins = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    bound = both * neither - lost * gained
    phi = (max(bound - n / 2 / worth, 0.0) if bound > 0 else bound) / math.sqrt(margins) if margins else 0.0
    below, above = p2 - l2, u2 - p2
    low = p2 - p1 - math.sqrt(max(0.0, below**2 - 2 * phi * below * (u1 - p1) + (u1 - p1) ** 2))
    high = p2 - p1 + math.sqrt(max(0.0, above**2 - 2 * phi * above * (p1 - l1) + (p1 - l1) ** 2))
    return p2 - p1, max(-1.0, low), min(1.0, high)


def mcnemar(before: Sequence[bool], after: Sequence[bool], questions: Sequence[Hashable] | None = None) -> float:
    """Test whether two sittings of the same items differ.

    The exact two-sided binomial test on the pairs that changed (McNemar 1947). Where items repeat a question, what it
    gained and lost goes together: the exact distribution of Σ ± |d_q|, every question falling to either side alike
    (Fisher 1935), which for questions that are asked once is the same test.

    Args:
        before: whether each item was right the first time.
        after: whether it was right the second time, in the same order.
        questions: which question each item asks; None where all differ.

    Returns:
        The p-value; 1.0 where no pair changed.

    >>> round(mcnemar([False] * 8 + [True] * 2, [True] * 8 + [True] * 2), 4)
    0.0078
    """
    changes: Counter[Hashable] = Counter()
    for question, x, y in zip(range(len(before)) if questions is None else questions, before, after, strict=True):
        changes[question] += int(y) - int(x)
    sizes = Counter(abs(it) for it in changes.values() if it)
    likely = _sums(sizes)
    farthest = sum(size * many for size, many in sizes.items())
    tail = likely[: farthest - abs(sum(changes.values())) + 1].sum()
    return min(1.0, float(2 * tail))


def _sums(sizes: Mapping[int, int]) -> NDArray[np.floating]:
    """Give the probability of each sum of sizes whose signs are drawn, the lowest first; by size how many there are."""
    likely: NDArray[np.floating] = np.ones(1)
    for size, many in sizes.items():
        steps, ways = np.zeros(2 * size * many + 1), 1
        for k in range(many + 1):
            # Integers stay exact where 0.5 ** many would underflow.
            steps[2 * size * k] = ways / 2**many
            ways = ways * (many - k) // (k + 1)
        likely = np.convolve(likely, steps)
    return likely


def expected_calibration_error(confidences: Sequence[float], right: Sequence[bool], bins: int = 10) -> float | None:
    """Measure how far stated confidence lies from accuracy.

    Σ over bins of equal mass of (n_b / n) · |accuracy_b − mean confidence_b| (Nguyen and O'Connor 2015).

    Returns:
        The error in [0, 1]; None without answers.

    >>> expected_calibration_error([0.5] * 4, [True, False, True, False], bins=1)
    0.0
    """
    if len(confidences) != len(right):
        raise ValueError(f"{len(confidences)} confidences for {len(right)} answers")
    n = len(confidences)
    if n == 0:
        return None
    order = sorted(range(n), key=lambda index: (confidences[index], index))
    error = 0.0
    for number in range(bins):
        members = order[number * n // bins : (number + 1) * n // bins]
        if members:
            stated = sum(confidences[index] for index in members) / len(members)
            found = sum(right[index] for index in members) / len(members)
            error += len(members) / n * abs(found - stated)
    return error


def measure_calibration(stated: Sequence[tuple[float, bool]]) -> dict[str, float | int | None]:
    """Compare how sure somebody was with how often that was right.

    Args:
        stated: confidence, and whether it was right, an answer.

    Returns:
        ``ece``, mean ``confidence``, ``base_rate`` of right answers and ``n``; all but ``n`` None without any.
    """
    if not stated:
        return {"ece": None, "confidence": None, "base_rate": None, "n": 0}
    confidences, right = [it for it, _ in stated], [it for _, it in stated]
    return {
        "ece": expected_calibration_error(confidences, right),
        "confidence": sum(confidences) / len(confidences),
        "base_rate": sum(right) / len(right),
        "n": len(right),
    }


def independent_difference(
    first: tuple[float, float], second: tuple[float, float], confidence: float = 0.95
) -> tuple[float, float, float]:
    """Bound the difference of two proportions that were measured on different items.

    Newcombe 1998 (Statistics in Medicine 17, 873), method 10: the Wilson intervals of both, joined as if independent.

    Args:
        first: right answers, and how many there were.
        second: the same of the other.
        confidence: of the two-sided interval.

    Returns:
        second − first, its lower and its upper bound; (0, −1, 1) where one of them has no items.

    >>> difference, low, high = independent_difference((48, 80), (56, 70))
    >>> round(difference, 4), round(low, 4), round(high, 4)
    (0.2, 0.0524, 0.3339)
    """
    if not first[1] or not second[1]:
        return 0.0, -1.0, 1.0
    p1, p2 = first[0] / first[1], second[0] / second[1]
    (l1, u1), (l2, u2) = wilson_interval(*first, confidence), wilson_interval(*second, confidence)
    return p2 - p1, p2 - p1 - math.hypot(p2 - l2, u1 - p1), p2 - p1 + math.hypot(u2 - p2, p1 - l1)


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Test whether two proportions differ that were measured on different items.

    Fisher's exact two-sided test: the tables with the same margins that are no likelier than this one.

    Args:
        first: right answers, and how many there were.
        second: the same of the other.

    >>> round(fisher((1, 10), (7, 10)), 4)
    0.0198
    """
    (a, n1), (b, n2) = first, second
    right = a + b
    weight, weights = math.comb(n2, right - max(0, right - n2)) * math.comb(n1, max(0, right - n2)), []
    # Integers stay exact, and each table follows from the one before.
    for k in range(max(0, right - n2), min(n1, right) + 1):
        weights.append(weight)
        weight = weight * (n1 - k) * (right - k) // ((k + 1) * (n2 - right + k + 1))
    seen = weights[a - max(0, right - n2)]
    return float(Fraction(sum(it for it in weights if it <= seen), sum(weights)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for how many there are, so that at 0.05 one family in twenty holds a false finding.

    Holm 1979: the k-th smallest of m times m − k + 1, and never below one that is smaller.

    >>> [round(it, 2) for it in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    corrected, least = [1.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda it: p_values[it])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = least
    return corrected


def mean_difference(
    groups: Sequence[tuple[Sequence[bool], Sequence[bool]]], draws: int = 100_000
) -> tuple[float, float, float, float]:
    """Bound the difference of two means over groups of items that both have sat, every group weighing the same.

    The intervals of the groups, joined as those of independent differences (Zou and Donner 2008, Statistics in
    Medicine 27, 1693): Δ − sqrt(Σ(δ_g − l_g)²)/G and Δ + sqrt(Σ(u_g − δ_g)²)/G. The p-value is that of a permutation
    test: pairs that changed fall to either side alike, drawn with a fixed seed (Phipson and Smyth 2010).

    Args:
        groups: for each, the answers of the first and of the second to the same items.
        draws: how often the pairs that changed are turned at random.

    Returns:
        second − first, the bounds of its 95 % interval, and a two-sided p-value, no less than 1 / (draws + 1).

    Raises:
        ValueError: if there is no group, or an empty one.

    >>> mean_difference([([True, False], [True, False])])[3]
    1.0
    """
    if not groups or not all(first for first, _ in groups):
        raise ValueError("there is nothing to compare")
    rng, turned = np.random.default_rng(0), np.zeros(draws)
    bounds = [paired_difference(first, second) for first, second in groups]
    for first, second in groups:
        changed = sum(1 for x, y in zip(first, second, strict=True) if x != y)
        turned += (2 * rng.binomial(changed, 0.5, draws) - changed) / len(first) / len(groups)
    value = sum(it for it, _, _ in bounds) / len(groups)
    below = math.hypot(*(it - low for it, low, _ in bounds)) / len(groups)
    above = math.hypot(*(high - it for it, _, high in bounds)) / len(groups)
    # What is equal but for rounding is as far away.
    as_far = np.count_nonzero(np.abs(turned) >= abs(value) - 1e-9)
    return value, max(-1.0, value - below), min(1.0, value + above), float((as_far + 1) / (draws + 1))
