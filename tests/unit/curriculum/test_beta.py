from __future__ import annotations

import doctest
import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tft.curriculum import beta
from tft.curriculum.beta import beta_below, beta_interval, beta_quantile

# One, and the weight of what was answered; a thousandth of an answer is less than was ever left of any.
parameters = st.floats(0.001, 500).map(lambda weight: 1 + weight) | st.just(1.0)


def test_the_examples_in_the_docstrings_hold() -> None:
    result = doctest.testmod(beta)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("n", [1, 7, 128, 1000])
@pytest.mark.parametrize("share", [0.0, 0.03, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("x", [0.001, 0.2, 0.5, 0.93, 0.999])
def test_whole_numbers_agree_with_the_binomial(n: int, share: float, x: float) -> None:
    # A beta variable of 1 + r right and 1 + n − r wrong is below x as often as n + 1 draws have more than r below x.
    r = round(n * share)
    tail = math.fsum(math.comb(n + 1, k) * x**k * (1 - x) ** (n + 1 - k) for k in range(r + 1, n + 2))
    assert beta_below(x, 1 + r, 1 + n - r) == pytest.approx(tail, abs=1e-8)


def test_beyond_the_ends_lies_nothing() -> None:
    assert (beta_below(0, 3, 2), beta_below(-1, 3, 2)) == (0, 0)
    assert (beta_below(1, 3, 2), beta_below(2, 3, 2)) == (1, 1)


@given(st.floats(0.001, 0.999), parameters, parameters)
def test_a_quantile_has_its_share_below(share: float, a: float, b: float) -> None:
    assert beta_below(beta_quantile(share, a, b), a, b) == pytest.approx(share, abs=1e-6)


@given(parameters, parameters)
def test_an_interval_holds_its_share_and_is_the_shortest(a: float, b: float) -> None:
    low, high = beta_interval(a, b)
    assert 0 <= low < high <= 1
    assert beta_below(high, a, b) - beta_below(low, a, b) == pytest.approx(0.95, abs=1e-6)
    for tail in (0.001, 0.025, 0.049):
        other = beta_quantile(0.95 + tail, a, b) - beta_quantile(tail, a, b)
        assert high - low <= other + 1e-6


@given(parameters, parameters)
def test_right_and_wrong_are_mirror_images(a: float, b: float) -> None:
    assume(a != b)
    low, high = beta_interval(a, b)
    assert beta_interval(b, a) == pytest.approx((1 - high, 1 - low), abs=1e-6)


@pytest.mark.parametrize("n", [1, 32, 5000])
def test_all_right_does_not_rule_out_perfection(n: int) -> None:
    assert beta_interval(1 + n, 1) == pytest.approx((0.05 ** (1 / (n + 1)), 1))
    assert beta_interval(1, 1 + n)[0] == 0
