from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.campaign import Price
from tft.records import Usage
from tft.tutor import Allowance
from tft.tutor.allowance import cost_of

PRICE = Price(prompt=0.5, completion=2.0)
counts = st.integers(0, 10**9)


@pytest.mark.parametrize(("allowance", "limit"), [
    (Allowance(tokens=149), "may use 150 tokens, 149 are left"),
    (Allowance(requests=2), "3 requests are to be made, 2 are left"),
    (Allowance(money=0.000149, price=PRICE), "may cost 0.00015, 0.000149 are left"),
])  # fmt: skip
def test_a_call_that_could_pass_a_limit_is_refused_with_its_name(allowance: Allowance, limit: str) -> None:
    assert limit in (allowance.refusal(100, 50, 3) or "")


def test_a_call_that_fits_is_not_refused() -> None:
    assert Allowance(150, 3, 0.00015, PRICE).refusal(100, 50, 3) is None
    assert Allowance().refusal(10**12, 10**12, 10**12) is None


@given(counts, counts, counts)
def test_what_is_left_is_the_limit_without_what_was_used(prompt: int, completion: int, requests: int) -> None:
    used = Usage(prompt=prompt, completion=completion, cached=prompt, requests=requests)
    left = Allowance(10, 10, 10.0, PRICE).after(used)
    assert (left.tokens, left.requests) == (10 - prompt - completion, 10 - requests)
    assert left.money == pytest.approx(10 - cost_of(prompt, completion, PRICE))
    assert Allowance().after(used) == Allowance()


def test_half_an_allowance_is_half_of_every_limit() -> None:
    assert Allowance(101, 7, 3.0, PRICE).half() == Allowance(50, 3, 1.5, PRICE)
    assert Allowance().half() == Allowance()


@pytest.mark.parametrize("allowance", [Allowance(tokens=10**9), Allowance(requests=1), Allowance(money=1.0)])
def test_only_an_allowance_without_a_limit_is_endless(allowance: Allowance) -> None:
    assert not allowance.endless
    assert Allowance(price=PRICE).endless
