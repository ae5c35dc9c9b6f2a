from __future__ import annotations

from tests.making import sitting
from tft.report.failures import describe_failures

ROLES = {"add": "taught", "sub": "taught", "one": "retention", "far": "stretch"}


def test_the_worst_skills_come_first_each_once_before_any_comes_twice() -> None:
    sat = sitting("final", add="1101", far="0000", sub="0100", one="1111")
    shown = describe_failures("ada", sat, ROLES)
    assert [(it["skill"], it["question"], it["wrong"], it["of"]) for it in shown] == [
        ("sub", "sub 0", 3, 4), ("sub", "sub 2", 3, 4), ("add", "add 2", 1, 4),
    ]  # fmt: skip
    assert shown[0] == {
        "student": "ada", "skill": "sub", "wrong": 3, "of": 4, "question": "sub 0", "reference": "1", "answer": "0",
        "reason": "planted", "grader": "test", "confidence": None,
    }  # fmt: skip
    assert describe_failures("ada", sat, ROLES) == shown


def test_nothing_is_shown_of_an_exam_that_was_not_sat_or_is_right() -> None:
    assert describe_failures("ada", None, ROLES) == []
    assert describe_failures("ada", sitting("final", add="11", far="00"), ROLES) == []
