"""The measure of a judge, held against judges whose worth is known."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import judge
from tft.records import Usage
from tft.tutor import Answers

PAIRS = [
    {"input": f"question {number}", "output_1": "good" if label == 1 else "bad",
     "output_2": "bad" if label == 1 else "good", "label": label}
    for number, label in enumerate([1, 2, 1, 1, 2, 2])
]  # fmt: skip


class Judge:
    """Takes a side by a rule; what it says is all that a tutor's answer has."""

    def __init__(self, rule: Callable[[Mapping[str, Any]], str | None]) -> None:
        self.rule = rule

    def ask(self, role: str, requests: Sequence[Mapping[str, Any]], *_: Any) -> Answers:
        assert role == "judge"
        said = [self.rule(values) for values in requests]
        fields = [None if word is None else {"winner": word} for word in said]
        return Answers(fields, [""] * len(said), [""] * len(said), Usage(), "key")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in judge.SETS:
        (tmp_path / f"{name}.json").write_text(json.dumps(PAIRS))
    return tmp_path


@pytest.mark.parametrize(
    ("rule", "agreement", "consistent", "first", "last", "silent"),
    [
        (lambda values: "first" if values["first"] == "good" else "second", 1, 1, 0, 0, 0),
        (lambda values: "second" if values["first"] == "good" else "first", 0, 1, 0, 0, 0),
        (lambda _: "first", 0, 0, 1, 0, 0),
        (lambda _: "second", 0, 0, 0, 1, 0),
        (lambda _: "tie", 0, 1, 0, 0, 0),
        (lambda _: None, 0, 0, None, None, 1),
    ],
    ids=["right", "wrong", "always first", "always second", "always tie", "silent"],
)
def test_a_judge_is_told_by_its_worth(
    rule: Any, agreement: float, consistent: float, first: float | None, last: float | None, silent: float, data: Path
) -> None:
    rows = {row.id: row for row in judge._judges(Judge(rule), data, "it", None)}  # type: ignore[arg-type]
    assert rows["it-judge"].value == agreement
    assert rows["it-judge"].note == f"n = {len(PAIRS) * len(judge.SETS)}"
    assert rows["it-judge-consistent"].value == consistent
    assert rows["it-judge-first"].value == first
    assert rows["it-judge-last"].value == last
    assert rows["it-judge-silent"].value == silent


def test_data_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    (row,) = judge._judges(Judge(lambda _: "tie"), tmp_path / "nowhere", "it", None)  # type: ignore[arg-type]
    assert (row.value, row.note) == (None, "the data was not found; set TFT_DATA")


@pytest.mark.parametrize("options", [["--tutor"], ["--frob", "1"]])
def test_options_that_cannot_be_read_are_refused(options: list[str]) -> None:
    with pytest.raises(SystemExit, match="known: --tutor TUTOR, --items N"):
        judge._options(options)
