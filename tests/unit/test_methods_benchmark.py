"""What counts as learned in the table of methods."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks.methods import judge
from benchmarks.results import FOLDER


@pytest.mark.parametrize(
    ("low", "high", "fell", "learned"),
    [
        (0.01, 0.2, False, (True, "")),
        (0.01, 0.2, True, (True, "")),
        (-0.01, 0.2, True, (True, "; by cross-entropy only")),
        (-0.01, 0.2, False, (False, "")),
        # The tutor's words become likelier, and the student is right less often.
        (-0.2, -0.1, True, (False, "; right answers surely fell")),
    ],
)
def test_who_is_surely_right_less_often_has_not_learned(
    low: float, high: float, fell: bool, learned: tuple[bool, str]
) -> None:
    assert judge(low, high, fell=fell) == learned


def test_what_is_published_is_judged_so() -> None:
    for row in json.loads((FOLDER / "methods.json").read_text())["rows"]:
        cross = re.search(r"cross-entropy ([\d.]+) → ([\d.]+)", row["note"])
        fell = cross is not None and float(cross[2]) < float(cross[1]) - 0.02
        learned, how = judge(row["low"], row["high"], fell=fell)
        (seconds,) = re.findall(r" (\d+) s;", row["note"])
        assert row["met"] is (learned and int(seconds) <= 90), row["id"]
        assert how in row["note"], row["id"]
