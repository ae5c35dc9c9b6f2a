from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.cards import GraderConfig
from tft.errors import UserError
from tft.graders import make_grader
from tft.graders.numeric import read_number
from tft.records import Item

near_numbers = st.text("0123456789+-.,eE# ", max_size=60)
texts = st.one_of(st.text(max_size=60), near_numbers)
below_a_billion = st.integers(-(10**9) + 1, 10**9 - 1)


def passes(text: str, reference: str | None = "12", marker: str | None = "#") -> bool:
    grader = make_grader(GraderConfig(type="numeric", marker=marker))
    return grader.grade(Item("add_2", 1, "7+5", reference, "7+5", "curriculum"), text).passed


@pytest.mark.parametrize("text", [
    "#12", "7+5=12 #12", "# 12 ", "#12\n", "#12.", "#12.0", "#+12", "#1.2e1", "##12",
    "#0012",         # the value counts, not the digits
    "#13 #12",       # the last mark counts
    "#12.000000001",  # within the tolerance
])  # fmt: skip
def test_a_number_behind_the_last_mark_is_read_by_its_value(text: str) -> None:
    assert passes(text)


@pytest.mark.parametrize("text", [
    "", "12", "12#", "#12#", "#", "#1 2", "#12 13", "#12 apples", "#12+0", "#1,2", "#-12", "#121", "#2", "#twelve",
    "#1_2", "#0x0c", "#nan", "#inf", "#1e400", "#12e9999", "#12 #13", "#" + "0" * 60 + "12", "7+5=12 #",
])  # fmt: skip
def test_anything_else_behind_the_mark_is_wrong(text: str) -> None:
    assert not passes(text)


@pytest.mark.parametrize(("text", "reference"), [
    ("12", "12"), ("the answer is 12", "12"), ("12 apples", "12"), ("first 3, then 12.", "12"), ("x = .5", "0.5"),
    ("1,250 in all", "1250"), ("it falls to -7", "-7"), ("$12", "12"), ("1.2e1", "12"),
])  # fmt: skip
def test_without_a_mark_the_last_number_counts(text: str, reference: str) -> None:
    assert passes(text, reference, marker=None)


@pytest.mark.parametrize("text", ["", "twelve", "12 or 13", "12,5 apples and 3", "1 2", "0.12"])
def test_without_a_mark_another_last_number_is_wrong(text: str) -> None:
    assert not passes(text, marker=None)


@given(texts, st.one_of(st.none(), texts), st.sampled_from(["#", "####", None]))
def test_no_text_raises(text: str, reference: str | None, marker: str | None) -> None:
    grader = make_grader(GraderConfig(type="numeric", marker=marker))
    verdict = grader.grade(Item("s", 0, "q", reference, "q", "t"), text)
    assert verdict.score in (0.0, 1.0)
    assert verdict.reason


@given(below_a_billion, st.sampled_from(["{}", "{:,}", "{}.0", "{}.", "{:e}", " {} "]))
def test_one_number_in_many_forms_is_one_number(number: int, form: str) -> None:
    # Seven digits of an exponent form are not enough for a longer number.
    written = form.format(number) if "e" not in form or abs(number) < 10**6 else str(number)
    assert passes(f"#{written}", str(number))
    assert passes(f"I say {written}", str(number), marker=None)


@given(below_a_billion, below_a_billion)
def test_whole_numbers_below_a_billion_pass_only_for_themselves(number: int, other: int) -> None:
    assert passes(f"#{other}", str(number)) == (number == other)


def test_the_tolerance_is_relative_and_nothing_is_near_zero() -> None:
    assert passes("#1000000000001", "1000000000000")
    assert not passes("#1000000002", "1000000000")
    assert not passes("#0.0000000001", "0")


@pytest.mark.parametrize("reference", [None, "", "twelve", "1/2"])
def test_an_item_without_a_number_is_said_to_be_at_fault(reference: str | None) -> None:
    grader = make_grader(GraderConfig(type="numeric", marker="#"))
    verdict = grader.grade(Item("s", 0, "q", reference, "q", "t"), "#12")
    assert (verdict.passed, verdict.reason) == (False, "the reference is not a number")


def test_a_mark_of_no_letters_is_refused_and_an_unknown_grader_answered_with_the_known() -> None:
    with pytest.raises(ValueError, match="at least 1 character"):
        GraderConfig(type="numeric", marker="")
    with pytest.raises(UserError, match="numeric"):
        make_grader(GraderConfig(type="numerc"))


def test_a_number_is_the_whole_text() -> None:
    assert read_number(" 1,250.0 ") == 1250
    assert read_number("1 250") is None
