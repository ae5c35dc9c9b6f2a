from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.making import make_item
from tft.records import Answered, Attempt, Sitting, Verdict
from tft.report.calibration import calibrate


def sit(*answers: tuple[float | None, bool]) -> Sitting:
    return Sitting("final", tuple(
        Answered(Attempt(make_item("1+1"), "2", 1, confidence), Verdict(float(right), "", "numeric"))
        for confidence, right in answers
    ))  # fmt: skip


ROLES = {"add_1": "retention", "add_2": "taught"}


def with_roles(sitting: Sitting) -> dict[str, Any]:
    return calibrate(sitting, ROLES)


def test_a_student_that_knows_what_it_knows_gains_by_staying_silent() -> None:
    found = with_roles(sit(*[(0.9, True)] * 10, *[(0.2, False)] * 10))
    assert (found["base_rate"], found["n"]) == (0.5, 20)
    assert found["ece"] == pytest.approx(0.15)
    assert [(it["answered"], it["right"]) for it in found["abstention"]] == [
        (1.0, 0.5), (0.9, 10 / 18), (0.75, 10 / 15), (0.5, 1.0),
    ]  # fmt: skip
    assert [it["from_confidence"] for it in found["abstention"]] == [0.2, 0.2, 0.2, 0.9]
    assert all(it["low"] <= it["right"] <= it["high"] for it in found["abstention"])


def test_one_that_is_as_sure_of_what_is_wrong_gains_nothing() -> None:
    found = with_roles(sit(*[(0.9, False), (0.9, True)] * 10))
    assert {it["right"] for it in found["abstention"]} <= {0.5, 9 / 18, 7 / 15, 8 / 15}


def test_what_has_no_confidence_is_not_measured() -> None:
    nothing = {"ece": None, "confidence": None, "base_rate": None, "n": 0, "by_role": {}, "abstention": []}
    assert calibrate(None, ROLES) == with_roles(sit((None, True))) == nothing
    assert with_roles(sit((None, True), (0.5, True)))["n"] == 1


def test_what_was_never_taught_is_told_apart() -> None:
    one, other = sit(*[(0.9, True)] * 9, (0.9, False)), sit(*[(0.8, False)] * 10)
    stretch = [replace(it, attempt=replace(it.attempt, item=make_item("1234+1"))) for it in other.answers]
    found = calibrate(Sitting("final", (*one.answers, *stretch)), {"add_1": "retention", "add_4": "stretch"})
    assert found["by_role"]["retention"]["ece"] < 0.2 < 0.4 < found["ece"]
    assert found["by_role"]["stretch"] == {
        "ece": pytest.approx(0.8),
        "confidence": pytest.approx(0.8),
        "base_rate": 0.0,
        "n": 10,
    }
