from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.statistics import (
    effective_size,
    expected_calibration_error,
    fisher,
    holm,
    independent_difference,
    mcnemar,
    mean_difference,
    normal_quantile,
    paired_difference,
    wilson_interval,
)

counts = st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
pairs = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=300)


def test_normal_quantiles_of_the_tables() -> None:
    assert normal_quantile(0.95) == pytest.approx(1.959964, abs=1e-6)
    assert normal_quantile(0.99) == pytest.approx(2.575829, abs=1e-6)


@pytest.mark.parametrize(("right", "n", "low", "high"), [
    # Newcombe 1998a, table I, method 3.
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0, 0.1611),
    (1, 29, 0.0061, 0.1718),
])  # fmt: skip
def test_wilson_agrees_with_the_published_examples(right: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@given(counts)
def test_wilson_holds_the_share_and_stays_in_bounds(count: tuple[int, int]) -> None:
    low, high = wilson_interval(*count)
    assert 0.0 <= low <= count[0] / count[1] <= high <= 1.0
    assert low < high


@given(counts)
def test_wilson_is_the_same_seen_from_the_failures(count: tuple[int, int]) -> None:
    right, n = count
    low, high = wilson_interval(right, n)
    other_low, other_high = wilson_interval(n - right, n)
    assert (low, high) == pytest.approx((1 - other_high, 1 - other_low))


@given(counts)
def test_wilson_narrows_with_more_items(count: tuple[int, int]) -> None:
    right, n = count
    low, high = wilson_interval(right, n)
    nearer_low, nearer_high = wilson_interval(4 * right, 4 * n)
    assert nearer_high - nearer_low < high - low


def test_wilson_knows_nothing_without_items_and_refuses_nonsense() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    for right, n in ((-1, 3), (4, 3)):
        with pytest.raises(ValueError, match="is not a proportion"):
            wilson_interval(right, n)


def booleans(both: int, lost: int, gained: int, neither: int) -> tuple[list[bool], list[bool]]:
    before = [True] * both + [True] * lost + [False] * gained + [False] * neither
    after = [True] * both + [False] * lost + [True] * gained + [False] * neither
    return before, after


def test_the_paired_difference_agrees_with_a_computation_by_hand() -> None:
    # 50 pairs: 36 both, 12 lost, 2 gained, 0 neither; so p1 = 48/50, p2 = 38/50.
    # φ = (36·0 − 12·2) / sqrt(48·2·38·12) = −24 / 209.227 = −0.114708.
    # Wilson: p1 in (0.865399, 0.988961), p2 in (0.625873, 0.857026).
    # low = −0.2 − sqrt(0.134127² + 2·0.114708·0.134127·0.028961 + 0.028961²) = −0.340428
    # high = −0.2 + sqrt(0.097026² + 2·0.114708·0.097026·0.094601 + 0.094601²) = −0.056930
    change, low, high = paired_difference(*booleans(36, 12, 2, 0))
    assert (change, low, high) == pytest.approx((-0.2, -0.340428, -0.056930), abs=1e-6)


@pytest.mark.parametrize(("cells", "expected"), [
    # 50 pairs, p1 = 32/50, p2 = 22/50; ad − bc = 320 − 24 = 296, less 25 for the correction.
    # φ = 271 / sqrt(32·18·22·28) = 0.454954. Wilson: p1 in (0.501410, 0.758613), p2 in (0.311622, 0.576940).
    # low = −0.2 − sqrt(0.128378² − 2φ·0.128378·0.118613 + 0.118613²)
    # high = −0.2 + sqrt(0.136940² − 2φ·0.136940·0.138590 + 0.138590²)
    ((20, 12, 2, 16), (-0.2, -0.329207, -0.056156)),
    # 128 pairs; ad − bc = 2400, less 64: φ = 2336 / sqrt(100·28·104·24) = 0.883632, and not 0.907841.
    ((100, 0, 4, 24), (0.03125, -0.004793, 0.070201)),
    # ad − bc = 9 − 8 = 1 is less than half of 12: φ = 0, as if the two were independent.
    ((3, 4, 2, 3), (-2 / 12, -0.482611, 0.206434)),
])  # fmt: skip
def test_pairs_that_agree_are_corrected_as_newcombe_does(
    cells: tuple[int, int, int, int], expected: tuple[float, float, float]
) -> None:
    assert paired_difference(*booleans(*cells)) == pytest.approx(expected, abs=1e-6)


@given(pairs)
def test_the_paired_difference_lies_in_its_interval_and_turns_with_the_order(
    answers: list[tuple[bool, bool]],
) -> None:
    before, after = [x for x, _ in answers], [y for _, y in answers]
    change, low, high = paired_difference(before, after)
    assert -1.0 <= low <= change + 1e-12 and change - 1e-12 <= high <= 1.0
    back, back_low, back_high = paired_difference(after, before)
    assert (change, low, high) == pytest.approx((-back, -back_high, -back_low), abs=1e-9)


def test_pairs_that_do_not_match_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        paired_difference([True], [])
    assert paired_difference([], []) == (0.0, -1.0, 1.0)


@pytest.mark.parametrize(("lost", "gained", "p"), [
    (0, 0, 1.0),
    (0, 1, 1.0),          # 2 · 1/2
    (0, 8, 2 / 256),      # 2 · C(8,0) / 2⁸
    (1, 9, 22 / 1024),    # 2 · (1 + 10) / 2¹⁰
    (5, 5, 1.0),          # twice the tail is over 1
])  # fmt: skip
def test_mcnemar_is_the_exact_binomial(lost: int, gained: int, p: float) -> None:
    assert mcnemar(*booleans(7, lost, gained, 3)) == pytest.approx(p)
    assert mcnemar(*booleans(0, gained, lost, 1)) == pytest.approx(p)


def test_mcnemar_does_not_underflow() -> None:
    assert 0.0 <= mcnemar(*booleans(0, 0, 3000, 0)) < 1e-300


def test_answers_to_the_same_question_are_worth_less() -> None:
    # x̄ = ½; residuals 1, −1, ½, −½ of the questions: 6 · 1.5 / 2.5.
    assert effective_size([1, 1, 0, 0, 1, 0], list("aabbcd")) == pytest.approx(3.6)
    # x̄ = ½; residuals 1, 1, −½, −½, −½, −½: 8 · 2 / 3, of 8² / (4 + 4 + 1 + 1 + 1 + 1) at most.
    assert effective_size([1, 1, 1, 1, 0, 0, 0, 0], list("aabbcdef")) == pytest.approx(16 / 3)
    # x̄ = ¼; residuals ¾·2 and −¼ six times: 8 · 1.5 / (9/4 + 6/16), which is less than 8² / (4 + 6).
    assert effective_size([1, 1, 0, 0, 0, 0, 0, 0], list("aabcdefg")) == pytest.approx(32 / 7)
    # x̄ = ¾; residuals ½, ¼ four times and −¾ twice: 8 · 1.5 / (13/8) = 7.4, but 8² / (4 + 6) at most.
    assert effective_size([1, 1, 1, 1, 1, 1, 0, 0], list("aabcdefg")) == pytest.approx(6.4)
    # Where all are right nothing varies, and each question counts by how often it is asked: 6² / (9 + 4 + 1).
    assert effective_size([1] * 6, list("aaabbc")) == pytest.approx(36 / 14)


@given(st.lists(st.tuples(st.integers(-1, 1), st.integers(0, 20)), min_size=1, max_size=100))
def test_the_effective_size_is_at_most_the_number_of_questions(answers: list[tuple[int, int]]) -> None:
    values, questions = [x for x, _ in answers], [q for _, q in answers]
    found = effective_size(values, questions)
    assert 1 - 1e-9 <= found <= len(set(questions)) + 1e-9
    assert effective_size(values, range(len(values))) == len(values)


@given(pairs, st.integers(1, 4))
def test_items_that_are_all_asked_as_often_are_worth_one_each(answers: list[tuple[bool, bool]], times: int) -> None:
    before, after = [x for x, _ in answers], [y for _, y in answers]
    questions = [*range(len(answers))] * times
    repeated = paired_difference(before * times, after * times, questions=questions)
    assert repeated == pytest.approx(paired_difference(before, after), abs=1e-9)
    assert mcnemar(before * times, after * times, questions) == pytest.approx(mcnemar(before, after))


@pytest.mark.parametrize(("changes", "p"), [
    # Weights 3, 1, 1 all to one side: 2 of 8 ways lie as far.
    ({"a": (3, 1), "b": (1, 1), "c": (1, 1)}, 2 / 8),
    # 3 − 1 − 1 = 1: every way lies as far.
    ({"a": (3, 1), "b": (1, -1), "c": (1, -1)}, 1.0),
    # 3 + 1 − 1 = 3: of ±3 ±1 ±1 two sums are 5, and four are 3.
    ({"a": (3, 1), "b": (1, 1), "c": (1, -1)}, 6 / 8),
])  # fmt: skip
def test_what_a_question_gained_goes_together(changes: dict[str, tuple[int, int]], p: float) -> None:
    rows = [(name, sign) for name, (times, sign) in changes.items() for _ in range(times)]
    before, after = [sign < 0 for _, sign in rows], [sign > 0 for _, sign in rows]
    assert mcnemar(before, after, [name for name, _ in rows]) == pytest.approx(p)
    # Taken one by one, the five would be pairs of their own.
    assert mcnemar(before, after) != pytest.approx(p) or p == 1.0


def test_calibration_by_hand() -> None:
    # Two bins of two: stated 0.2 and found 0.5; stated 0.9 and found 1.0. ½·0.3 + ½·0.1.
    error = expected_calibration_error([0.1, 0.9, 0.3, 0.9], [False, True, True, True], bins=2)
    assert error == pytest.approx(0.2)
    assert expected_calibration_error([], []) is None
    with pytest.raises(ValueError, match="confidences"):
        expected_calibration_error([0.5], [])


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=100), st.integers(1, 20))
def test_calibration_stays_in_bounds(answers: list[tuple[float, bool]], bins: int) -> None:
    error = expected_calibration_error([x for x, _ in answers], [y for _, y in answers], bins)
    assert error is not None
    assert -1e-12 <= error <= 1 + 1e-12


@pytest.mark.parametrize(("first", "second", "expected"), [
    # Newcombe 1998, table II: 56/70 against 48/80, 9/10 against 3/10, and 10/10 against 0/10.
    ((48, 80), (56, 70), (0.2, 0.0524, 0.3339)),
    ((3, 10), (9, 10), (0.6, 0.1705, 0.8090)),
    ((0, 10), (10, 10), (1.0, 0.6075, 1.0)),
])  # fmt: skip
def test_independent_differences_are_those_of_newcombe(
    first: tuple[int, int], second: tuple[int, int], expected: tuple[float, float, float]
) -> None:
    assert independent_difference(first, second) == pytest.approx(expected, abs=1e-4)
    value, low, high = independent_difference(second, first)
    assert (-value, -high, -low) == pytest.approx(expected, abs=1e-4)


def test_without_items_nothing_is_known_of_a_difference() -> None:
    assert independent_difference((0, 0), (1, 2)) == (0.0, -1.0, 1.0)


@pytest.mark.parametrize(("first", "second", "p"), [
    ((3, 4), (1, 4), 34 / 70),        # the lady tasting tea: (1 + 16 + 16 + 1) / C(8,4)
    ((0, 3), (3, 3), 2 / 20),         # both ends of C(6,3)
    ((2, 4), (2, 4), 1.0),
    ((0, 5), (0, 7), 1.0),
    ((5, 5), (2, 3), 3 / 8),          # of 7 right in 8: the wrong one is among the last three
])  # fmt: skip
def test_fisher_is_the_exact_sum(first: tuple[int, int], second: tuple[int, int], p: float) -> None:
    assert fisher(first, second) == pytest.approx(p)
    assert fisher(second, first) == pytest.approx(p)


def test_fisher_stays_exact_for_thousands() -> None:
    assert fisher((4000, 4282), (1000, 4282)) < 1e-300
    assert fisher((2100, 4282), (2101, 4282)) > 0.9


def test_holm_by_hand() -> None:
    # 4 · 0.005, then 3 · 0.01, then 2 · 0.03, and 0.04 is not below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_the_mean_over_groups_weighs_them_alike() -> None:
    # One group gains all of 10, the other nothing of 40: half, and the items of neither can vary.
    groups = [([False] * 10, [True] * 10), ([True] * 40, [True] * 40)]
    value, low, high, p = mean_difference(groups)
    # Wilson: 0 of 10 in (0, 0.277533), 40 of 40 in (0.912380, 1); no pair of either group varies, so φ = 0.
    # δ = 1, l = 1 − sqrt(2)·0.277533 = 0.607509, u = 1; δ = 0, l = −0.087620, u = 0.087620.
    # low = 0.5 − sqrt(0.392491² + 0.087620²) / 2, high = 0.5 + 0.087620 / 2
    assert (value, low, high) == pytest.approx((0.5, 0.298924, 0.543810), abs=1e-6)
    # Of ten signs all are the same: 2 / 2¹⁰.
    assert p == pytest.approx(2 / 1024, abs=5e-4)


def test_few_items_that_all_were_gained_leave_room_for_others() -> None:
    value, low, high, p = mean_difference([([False] * 5, [True] * 5)] * 2)
    # Wilson: 0 of 5 in (0, 0.434482); each group is at least 1 − sqrt(2)·0.434482, both joined 1 − 0.434482.
    assert (value, low, high) == pytest.approx((1.0, 0.565518, 1.0), abs=1e-6)
    assert p == pytest.approx(2 / 1024, abs=5e-4)


def test_the_mean_of_one_group_is_the_paired_difference() -> None:
    before, after = booleans(60, 15, 45, 80)
    value, low, high, p = mean_difference([(before, after)])
    assert (value, low, high) == pytest.approx(paired_difference(before, after))
    assert p == pytest.approx(mcnemar(before, after), abs=2e-4)


def test_no_group_cannot_be_compared() -> None:
    for nothing in ([], [([], [])]):
        with pytest.raises(ValueError, match="nothing"):
            mean_difference(nothing)
