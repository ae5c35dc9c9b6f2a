"""Runs whose answers were planted, side by side."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from tests.making import repeated, sitting
from tft.cli import main
from tft.comparison import MEAN, compare
from tft.errors import UserError
from tft.ledger import Ledger, Step
from tft.records import Checkpoint, Sitting, dump
from tft.report.compared import print_comparison
from tft.report.rows import pairs
from tft.statistics import independent_difference

SUITE = {"name": "sums", "caption": "", "missing": None, "license": None, "digest": None, "reference": None}
SKILLS = {"add": "taught", "sub": "taught", "mul": "retention"}


def plant(
    folder: Path, students: dict[str, dict[str, str]], *, seed: int = 7, epochs: int = 4, whole: Sitting | None = None
) -> Path:
    """Write a run: of each student, marks by skill of its last final, and the whole exam it sat then; it began with
    nothing right.
    """
    ledger = Ledger(folder)
    setting: dict[str, Any] = {
        "campaign": folder.name, "seed": seed, "suites": [SUITE] if whole else [], "environment": {},
        "config": {"seed": seed, "training": {"epochs": epochs}, "cache": folder.name,
                   "students": [{"id": it, "model": "m", "adapter": {"type": "full"}} for it in students]},
        "tutor": {"id": "abacus", "license": None, "fingerprint": "f", "description": "d"},
        "curriculum": {"name": "c", "license": None, "digest": "d", "description": "d"},
        "skills": [{"name": name, "title": "", "role": role, "needs": [], "examined_whole": False}
                   for name, role in SKILLS.items()],
    }  # fmt: skip
    ledger.set_fact("setting", setting)
    ledger.set_fact("seconds", 12.0)
    for student, marks in students.items():
        ledger.set_fact(f"outcome/{student}", {"stopped_because": "cycles", "promoted_digest": "d", "checkpoint": None})
        before = {skill: "0" * len(row) for skill, row in marks.items()}
        for cycle, row in enumerate((before, marks)):
            ledger.put(Step(f"{student} {cycle}", "examine", student, cycle, 1.0, dump(sitting("final", **row))))
        if whole is not None:
            ledger.put(Step(f"{student} whole", "examine", student, 1, 1.0, dump(whole)))
        ledger.put(Step(f"{student} train", "train", student, 1, 1.0, dump(Checkpoint("p", "d", trained_tokens=500))))
    ledger.close()
    return folder


def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {it["exam"]: it for it in found["comparisons"]}


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [
        plant(tmp_path / "one", {"ada": {"add": "0" * 8 + "1" * 8, "sub": "1" * 16, "mul": "10"}}),
        plant(tmp_path / "other", {"ada": {"add": "1" * 16, "sub": "1" * 16, "mul": "111"}}, seed=8, epochs=5),
    ]


def sizes(row: dict[str, Any]) -> list[int]:
    return [row[side]["n"] for side in ("first", "second")]


def test_the_same_items_are_paired_and_others_are_not(two: list[Path]) -> None:
    found = rows(compare(two))
    assert (found["add"]["difference"], found["add"]["p"], found["add"]["paired"]) == (0.5, 2 / 256, True)
    assert (found["sub"]["p"], sizes(found["sub"])) == (1.0, [16, 16])
    assert (found["mul"]["p"], found["mul"]["paired"], sizes(found["mul"])) == (pytest.approx(2 / 5), False, [2, 3])
    assert (found[MEAN]["difference"], found[MEAN]["paired"]) == (0.25, True)
    assert [found[MEAN][side]["score"] for side in ("first", "second")] == [0.75, 1.0]


def test_a_question_that_is_asked_again_counts_in_the_score_and_once_in_the_test(tmp_path: Path) -> None:
    one = plant(tmp_path / "one", {"ada": {"add": "1"}}, whole=repeated("000000", "aaabbc"))
    other = plant(tmp_path / "other", {"ada": {"add": "1"}}, whole=repeated("111110", "aaabbc"))
    found = compare([one, other])
    row = rows(found)["sums"]
    # ±3 ±2: two of four ways lie as far as 5. The score is that of the report, row by row.
    assert (row["difference"], row["p"], row["paired"]) == (5 / 6, 0.5, True)
    reported = found["runs"][1]["students"]["ada"]["exams"]["sums"]["after"]
    assert {key: row["second"][key] for key in reported} == reported
    assert (reported["score"], reported["n"], reported["questions"]) == (5 / 6, 6, 3)

    # Of other questions: 36 / 14 answers each, so that 0 of 3 stands against 2 of 3.
    stranger = plant(tmp_path / "stranger", {"ada": {"add": "1"}}, whole=repeated("111110", "dddeef"))
    row = rows(compare([one, stranger]))["sums"]
    assert (row["paired"], row["p"]) == (False, pytest.approx(8 / 20))
    bounds = independent_difference((0, 36 / 14), (36 / 14 * 5 / 6, 36 / 14))
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(bounds)


def test_all_comparisons_are_corrected_together(two: list[Path]) -> None:
    found = rows(compare(two))
    # Of four: what changed in the mean is what changed in add, and the smaller of the two takes the other with it.
    assert found[MEAN]["p"] == pytest.approx(found["add"]["p"], abs=1e-3) and found["add"]["p"] < found["mul"]["p"]
    assert found["add"]["corrected"] == found[MEAN]["corrected"] == pytest.approx(4 * 2 / 256, abs=4e-3)
    assert found["mul"]["corrected"] == pytest.approx(2 * 2 / 5)


def test_costs_and_configs_stand_beside(two: list[Path]) -> None:
    found = compare(two)
    assert found["config"] == [{"key": "seed", "values": ["7", "8"]}, {"key": "training.epochs", "values": ["4", "5"]}]
    first = found["runs"][0]
    assert (first["run"], first["seconds"], first["students"]["ada"]["trained_tokens"]) == ("one", 12.0, 500)
    assert first["students"]["ada"]["exams"]["add"]["before"]["score"] == 0.0
    assert first["students"]["ada"]["exams"]["add"]["after"]["score"] == 0.5


def test_a_third_run_is_compared_with_the_first(two: list[Path], tmp_path: Path) -> None:
    third = plant(tmp_path / "third", {"ada": {"add": "0" * 16}})
    sides = {(it["first"]["run"], it["second"]["run"]) for it in compare([*two, third])["comparisons"]}
    assert sides == {("one", "other"), ("one", "third")}


def test_students_of_one_run_are_compared_with_each_other(tmp_path: Path) -> None:
    run = plant(tmp_path / "run", {"ada": {"add": "1111"}, "blaise": {"add": "0000"}, "emmy": {"add": "1100"}})
    found = compare([run])["comparisons"]
    pairs = {(it["first"]["student"], it["second"]["student"]): it["difference"] for it in found}
    assert pairs == {("ada", "blaise"): -1.0, ("ada", "emmy"): -0.5, ("blaise", "emmy"): 0.5}


def test_what_cannot_be_compared_is_refused(two: list[Path], tmp_path: Path) -> None:
    stranger = plant(tmp_path / "stranger", {"emmy": {"add": "1"}})
    with pytest.raises(UserError, match="nothing to compare"):
        compare([two[0], stranger])
    with pytest.raises(UserError, match="nothing to compare"):
        compare([stranger])
    Ledger(tmp_path / "begun").close()
    with pytest.raises(UserError, match="no final exam"):
        compare([two[0], tmp_path / "begun"])


def test_it_is_printed_in_eighty_columns_and_in_ascii(two: list[Path]) -> None:
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, encoding="ascii") as stream:
        print_comparison(compare(two), Console(file=stream, width=80))
        stream.flush()
        text = raw.getvalue().decode()
    assert "ada: other - one" in text
    (line,) = [it for it in text.splitlines() if it.startswith("add") and "paired" in it]
    assert line.split()[:3] == ["add", "^", "+50.0"] and "0.008" in line and "0.031" in line
    assert "training.epochs" in text and "0.0 -> 50.0" in text
    assert "corrected for all 4 of them, and below 0.05 where ^ or v stands" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_marks_follow_the_corrected_test(tmp_path: Path) -> None:
    one = plant(tmp_path / "one", {"ada": {"add": "0" * 6, "sub": "1", "mul": "1"}})
    other = plant(tmp_path / "other", {"ada": {"add": "1" * 6, "sub": "1", "mul": "1"}})
    found = compare([one, other])
    row = rows(found)["add"]
    assert row["low"] > 0 and row["p"] < 0.05 < row["corrected"]
    (pair,) = pairs(found)
    assert {it.exam: it.change.direction for it in pair.rows}["add"] == "unclear"


def test_the_command_prints_json_and_writes_a_page(two: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["compare", *map(str, two), "--json", "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["schema"] == 1
    text = page.read_text()
    assert "+50.0" in text and "<script" not in text and "://" not in text


def test_a_page_that_cannot_be_written_says_so(two: list[Path], tmp_path: Path) -> None:
    page = tmp_path / "nowhere" / "page.html"
    done = CliRunner().invoke(main, ["compare", *map(str, two), "--html", str(page)])
    assert done.exit_code != 0
    assert "cannot be written" in str(done.exception) + done.output
