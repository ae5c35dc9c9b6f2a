from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.documents import ROOT
from tests.making import demonstration
from tft.cli import main
from tft.config.campaign import ExamsConfig
from tft.exams import make_splits
from tft.exams.examiner import SitRequest, sit
from tft.ledger import Ledger, Step
from tft.library import Library, fingerprint_model, load_items
from tft.records import Curated, Sitting, dump

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


def asked(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Write down which items of the curriculum are asked."""
    found: set[str] = set()

    def noted(request: SitRequest) -> Sitting:
        found.update(it.fingerprint for it in request.items)
        return sit(request)

    monkeypatch.setattr("tft.examination.sit", noted)
    return found


@pytest.fixture
def taught_run(mine: Path, novice: Path) -> tuple[Path, set[str]]:
    """Give a student of a run that is not finished, and what it was taught: items that it would be asked."""
    card, folder = Library().curriculum("arithmetic")
    source = load_items((folder / card.items).resolve())
    splits = make_splits({"sub_2": card.skills["sub_2"]}, source, ExamsConfig(probe=8, check=8, final=8), 0)
    lessons = tuple(demonstration(it.question) for it in splits.items["final"])
    student = mine / "runs" / "first" / "students" / "ada" / "cycle-1"
    shutil.copytree(novice, student)
    ledger = Ledger(mine / "runs" / "first")
    ledger.set_fact("setting", {"campaign": "first"})
    other = fingerprint_model(str(novice.with_name("novice-b")))
    ledger.set_fact("identity", {"contents": {"tutor.model": other, "students.ada.model": "base"}})
    ledger.put(Step("curate", "curate", "ada", 1, 1.0, dump(Curated(lessons, ()))))
    ledger.close()
    return student, {it.item.fingerprint for it in lessons}


def test_a_student_of_a_run_is_not_asked_what_it_was_taught(
    taught_run: tuple[Path, set[str]], mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, taught = taught_run
    found = asked(monkeypatch)
    (mine / "mine.csv").write_text(QUESTIONS + f"{next(iter(taught))},0,sums\n")
    command = ["examine", str(student), "--curriculum", "arithmetic", "--items", "96"]
    command += ["--suite", "mine.csv", "--max-tokens", "1"]
    done = CliRunner().invoke(main, [*command, "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(found) > 50 and taught and not found & taught
    assert told["taught"] == {"known": True, "run": "first"}
    assert "add_1" in told["examined_whole"]
    assert (told["suites"]["mine.csv"]["left_out"], told["suites"]["mine.csv"]["n"]) == (1, 4)
    said = CliRunner().invoke(main, command).stdout
    assert "Nothing that first taught was asked, but for what is examined whole: add_1" in " ".join(said.split())


@pytest.mark.usefixtures("mine")
def test_of_other_models_nobody_knows_what_they_were_taught() -> None:
    assert json.loads(examine("--suite", "mine.csv", "--json").stdout)["taught"] == {"known": False, "run": None}
    assert "What this model was taught is not known here" in examine("--suite", "mine.csv").stdout


@pytest.mark.parametrize(("judge", "who"), [("novice-a", "ada/cycle-1"), ("novice-b", "the tutor of first")])
def test_neither_the_model_nor_its_tutor_grades(
    taught_run: tuple[Path, set[str]], mine: Path, novice: Path, judge: str, who: str
) -> None:
    (mine / "manners.yaml").write_text(
        "exam: manners\ncaption: Manners.\ndata: {path: mine.csv}\n"
        f"grader: {{type: rubric, rubric: It greets., judge: {{model: {novice.with_name(judge)}}}}}\n"
    )
    done = CliRunner().invoke(main, ["examine", str(taught_run[0]), "--suite", "manners.yaml"])
    assert done.exit_code == 2, done.output
    assert who in done.stderr and "which may not examine" in done.stderr


def test_too_few_items_are_told_by_the_key_that_was_typed() -> None:
    done = examine("--curriculum", "arithmetic", "--items", "100000")
    assert done.exit_code == 2
    assert "--items" in done.stderr and "exams.final" not in done.stderr
