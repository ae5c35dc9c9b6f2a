from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.documents import ROOT
from tft.cli import main

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTIONS = "question,answer,group\n3+4,7,tables\n8+9,17,tables\n27+58,85,sums\n99+99,0,sums\n"


def examine(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["examine", "abacus/novice-a", *arguments])


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.csv").write_text(QUESTIONS)
    return tmp_path


@pytest.mark.usefixtures("mine")
def test_suites_need_no_curriculum() -> None:
    done = examine("--suite", "mine.csv", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["curriculum"], found["skills"]) == (None, {})
    suite = found["suites"]["mine.csv"]
    assert (suite["sat"], suite["grader"], suite["n"], suite["score"]) == (True, "numeric", 4, 0.75)
    assert 0 < suite["low"] < 0.75 < suite["high"] < 1
    assert (suite["groups"]["tables"]["score"], suite["groups"]["sums"]["score"]) == (1.0, 0.5)
    told = suite["calibration"]
    assert (told["base_rate"], told["n"]) == (0.75, 4)
    # It is sure of its answer to the question whose reference is wrong.
    assert 0.9 < told["confidence"] <= 1 and told["ece"] > 0.2


@pytest.mark.usefixtures("mine")
def test_a_curriculum_is_sat_where_it_is_asked_for() -> None:
    found = json.loads(examine("--suite", "mine.csv", "--curriculum", "arithmetic", "--items", "2", "--json").stdout)
    assert found["curriculum"] == "arithmetic"
    assert {it["n"] for it in found["skills"].values()} == {2}
    assert found["suites"]["mine.csv"]["n"] == 2
    assert "covered" in found["suites"]["mine.csv"]["groups"]


@pytest.mark.usefixtures("mine")
def test_the_table_shows_intervals_and_who_graded() -> None:
    printed = examine("--suite", "mine.csv").stdout
    lines = printed.splitlines()
    assert lines[1].split() == ["exam", "%", "right", "95", "%", "interval", "items", "%", "sure", "ECE"]
    assert lines[2].split()[:4] == ["mine.csv", "75.0", "30–95", "4"]
    assert "Graded by numeric, because all 4 references are numbers." in " ".join(printed.split())


@pytest.mark.usefixtures("mine")
def test_answers_may_be_longer_or_shorter() -> None:
    found = json.loads(examine("--suite", "mine.csv", "--max-tokens", "1", "--json").stdout)
    assert found["suites"]["mine.csv"]["score"] == 0.0


def test_a_file_with_other_columns_says_what_there_is(mine: Path) -> None:
    (mine / "mine.csv").write_text("frage,antwort\na,b\n")
    done = examine("--suite", "mine.csv")
    assert done.exit_code == 2
    assert "mine.csv: columns.question: has the columns frage, antwort" in done.stderr
    assert examine("--suite", "theirs.csv").exit_code == 2


def test_the_example_in_the_docs_can_be_sat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    done = examine("--suite", "docs/examples/questions.csv", "--json")
    assert done.exit_code == 0, done.output
    groups = json.loads(done.stdout)["suites"]["docs/examples/questions.csv"]["groups"]
    assert groups["one digit"]["score"] > groups["two digits"]["score"]
