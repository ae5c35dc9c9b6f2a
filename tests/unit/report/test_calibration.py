from __future__ import annotations

import pytest

from tests.making import make_item
from tft.records import Answered, Attempt, Sitting, Verdict
from tft.report.calibration import calibrate


def sit(*answers: tuple[float | None, bool]) -> Sitting:
    return Sitting("final", tuple(
        Answered(Attempt(make_item("1+1"), "2", 1, confidence), Verdict(float(right), "", "numeric"))
        for confidence, right in answers
    ))  # fmt: skip


def test_a_student_that_knows_what_it_knows_gains_by_staying_silent() -> None:
    found = calibrate(sit(*[(0.9, True)] * 10, *[(0.2, False)] * 10))
    assert (found["base_rate"], found["n"]) == (0.5, 20)
    assert found["ece"] == pytest.approx(0.15)
    assert [(it["answered"], it["right"]) for it in found["abstention"]] == [
        (1.0, 0.5), (0.9, 10 / 18), (0.75, 10 / 15), (0.5, 1.0),
    ]  # fmt: skip
    assert [it["from_confidence"] for it in found["abstention"]] == [0.2, 0.2, 0.2, 0.9]
    assert all(it["low"] <= it["right"] <= it["high"] for it in found["abstention"])


def test_one_that_is_as_sure_of_what_is_wrong_gains_nothing() -> None:
    found = calibrate(sit(*[(0.9, False), (0.9, True)] * 10))
    assert {it["right"] for it in found["abstention"]} <= {0.5, 9 / 18, 7 / 15, 8 / 15}


def test_what_has_no_confidence_is_not_measured() -> None:
    nothing = {"ece": None, "base_rate": None, "n": 0, "abstention": []}
    assert calibrate(None) == calibrate(sit((None, True))) == nothing
    assert calibrate(sit((None, True), (0.5, True)))["n"] == 1
