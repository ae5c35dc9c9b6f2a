from __future__ import annotations

import doctest

import pytest

from tft.report import html, measures, rows, words
from tft.report.measures import Change, Measure


@pytest.mark.parametrize("module", [html, measures, rows, words])
def test_the_examples_in_the_docstrings_hold(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize(
    ("share", "digits", "text"),
    [
        (1.0, 0, "100"),
        (0.0, 1, "0.0"),
        (0.996, 0, "99.6"),
        (0.0004, 1, "0.04"),
        (0.9999, 1, "99.99"),
        (-0.0, 1, "0.0"),
    ],
)
def test_rounding_never_makes_all_or_nothing(share: float, digits: int, text: str) -> None:
    assert words.percent(share, digits) == f"{text}{words.NBSP}%"


@pytest.mark.parametrize(
    ("change", "direction"),
    [
        (Change(0.1, 0.02, 0.2), "rose"),
        (Change(-0.1, -0.2, -0.02), "fell"),
        (Change(0.1, 0.0, 0.2), "unclear"),
        (Change(0.1, None, None), "unclear"),
        (Change(0.1, 0.02, 0.2, 0.051), "unclear"),
        (Change(0.1, -0.02, 0.2, 0.049), "rose"),
        (Change(-0.1, -0.2, 0.02, 0.049), "fell"),
    ],
)
def test_a_change_is_clear_by_its_corrected_test_and_without_one_when_its_interval_leaves_out_zero(
    change: Change, direction: str
) -> None:
    assert change.direction == direction


@pytest.mark.parametrize("value", [None, {}, {"score": None}, {"score": "0.3"}, {"score": float("nan")}, [], True])
def test_no_score_is_no_measure(value: object) -> None:
    assert Measure.read(value) is None


@pytest.mark.parametrize(
    ("drop", "said"),
    [
        ({"skill": "add_1", "value": -0.01, "low": -0.03, "high": 0.0}, "nothing it knew before fell"),
        ({"skill": "add_1", "value": 0.03, "low": -0.01, "high": 0.05}, "fell by more than 3.0 points"),
        ({"skill": "add_1", "value": 0.03, "low": 0.01, "high": 0.05}, "it lost 3.0 points on add_1"),
        ({"skill": None, "value": None, "low": None, "high": None}, "was not measured"),
        (None, "was not measured"),
    ],
)
def test_the_outcome_is_honest_about_losses(drop: object, said: str) -> None:
    student = {"id": "ada", "final_mean": {"before": 0.1, "after": 0.9}, "retention": {"worst_drop": drop}}
    assert said in words.outcome(student, 1)
    assert words.outcome(student, 1).startswith(f"ada went from 10{words.NBSP}% to 90{words.NBSP}% on 1 taught skill;")


def test_an_outcome_without_final_exam_names_no_score() -> None:
    assert words.outcome({"id": "ada"}, 5).startswith("ada has no final exam to compare;")
