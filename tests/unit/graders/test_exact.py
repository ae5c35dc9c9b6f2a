from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.config.cards import GraderConfig
from tft.graders import make_grader
from tft.records import Item, Verdict


def grade(text: str, reference: str | None = "Ada Lovelace", marker: str | None = None) -> Verdict:
    grader = make_grader(GraderConfig(type="exact", marker=marker))
    return grader.grade(Item("names", 1, "who?", reference, "who?", "curriculum"), text)


@pytest.mark.parametrize("text", ["Ada Lovelace", "ada lovelace", "  ADA \n LOVELACE "])
def test_case_and_white_space_do_not_matter(text: str) -> None:
    assert grade(text).passed


@pytest.mark.parametrize("text", ["", "Ada", "AdaLovelace", "Ada Lovelace.", "It was Ada Lovelace"])
def test_everything_else_does(text: str) -> None:
    assert not grade(text).passed


@pytest.mark.parametrize(("text", "right"), [
    ("it was Byron? no #Ada Lovelace", True),
    ("#Byron #Ada Lovelace", True),
    ("#Ada Lovelace #Byron", False),
    ("#Ada Lovelace#", False),
    ("Ada Lovelace#", False),
    ("Ada Lovelace", False),
])  # fmt: skip
def test_what_follows_the_last_mark_counts(text: str, right: bool) -> None:
    assert grade(text, marker="#").passed == right


def test_a_mark_makes_digits_of_another_form_wrong() -> None:
    assert grade("#12", "12", "#").passed
    for text in ("#0012", "#1 2", "#12.0"):
        assert not grade(text, "12", "#").passed


def test_without_a_reference_nothing_is_right() -> None:
    assert grade("", None).reason == "the item has no reference answer"
    assert not grade("", None).passed


@given(st.text(), st.one_of(st.none(), st.text()), st.sampled_from(["#", "answer:", None]))
def test_no_text_raises(text: str, reference: str | None, marker: str | None) -> None:
    assert grade(text, reference, marker).score in (0.0, 1.0)


@given(st.text(), st.text())
def test_a_reference_is_right_behind_its_mark_whatever_stands_before(text: str, before: str) -> None:
    assert grade(text, text).passed
    assert grade(f"{before}\0{text}", text, "\0").passed == ("\0" not in text)
