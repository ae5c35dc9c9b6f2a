from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from tests.chat import build_chat_model
from tft.cli import main
from tft.config import CampaignConfig
from tft.config.campaign import JudgeConfig, TransformersEngineConfig
from tft.config.suites import RubricConfig, SuiteCard
from tft.errors import UserError
from tft.exams import Suite, read_suite
from tft.exams.judges import appoint, refuse_judges
from tft.exams.whole import stage_of
from tft.library import Library, fingerprint_model, shipped
from tft.ports import Generation
from tft.preparation import prepare
from tft.records import Message, Sitting
from tft.student import StudentRef

pytestmark = pytest.mark.usefixtures("one_thread")
CARD: dict[str, Any] = {
    "exam": "steps",
    "caption": "c",
    "data": {"path": "mine.csv"},
    "grader": {"type": "rubric", "rubric": "It shows its steps.", "judge": {"model": "judge", "max_tokens": 16}},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with questions that have no answers, and a judge with random weights."""
    folder = tmp_path_factory.mktemp("judged")
    (folder / "mine.csv").write_text("question\n27+58\n3+4\n8+9\n")
    (folder / "evals").mkdir()
    (folder / "evals" / "steps.yaml").write_text(json.dumps({**CARD, "data": {"path": "../mine.csv"}}))
    (folder / "steps.txt").write_text("It shows its steps.\n")
    build_chat_model(folder / "judge")
    return folder


def suite(folder: Path, **grader: Any) -> Suite:
    chosen = {key: it for key, it in {**CARD["grader"], **grader}.items() if it is not None}
    return read_suite(SuiteCard.model_validate({**CARD, "grader": chosen}), folder)


class Judge:
    """Lets pass what has a mark in it; a fake, because no model that is small enough can read a rubric."""

    context = None

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [1 for _ in prompts]

    def generate(self, prompts: Sequence[tuple[Message, ...]], _: object) -> list[Generation]:
        answers = [it[0].content.rpartition("Question: ")[2] for it in prompts]
        said = [json.dumps({"reason": "read", "verdict": "pass" if "27+58" in it else "fail"}) for it in answers]
        return [Generation(it, 9, 9, True, None) for it in said]


def sit(found: Suite, student: StudentRef, max_tokens: int = 32) -> Sitting:
    stage, request = stage_of(found, student, max_tokens)
    return stage(request)


def test_a_rubric_needs_no_right_answers_and_its_judge_is_found_by_name(place: Path) -> None:
    found = appoint(suite(place), Library(place), None)
    assert [it.reference for it in found.items] == [None] * 3
    assert found.judge is not None
    assert found.judge.fingerprint == fingerprint_model(str(place / "judge"))
    assert (found.judge.max_tokens, found.judge.repairs) == (16, 1)
    (place / "other.csv").write_text("question,answer\n1+1,2\n")
    rule = read_suite(SuiteCard.model_validate({**CARD, "grader": "exact", "data": {"path": "other.csv"}}), place)
    assert appoint(rule, Library(place), None) == rule


def test_a_rubric_may_be_a_file_and_the_examiner_grades_where_no_judge_is_named(place: Path) -> None:
    found = suite(place, rubric=None, rubric_file="steps.txt", judge=None)
    assert isinstance(found.grader, RubricConfig) and found.grader.rubric == "It shows its steps.\n"
    examiner = JudgeConfig(model="abacus/weights")
    assert appoint(found, Library(place), examiner).judge is not None
    with pytest.raises(UserError, match="nobody is named to grade by its rubric"):
        appoint(found, Library(place), None)
    with pytest.raises(UserError, match="cannot be read"):
        suite(place, rubric=None, rubric_file="nowhere.txt")


def test_verdicts_come_from_the_judge_and_what_is_cut_off_fails(
    place: Path, ada: StudentRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tft.exams.examiner.open_judge", lambda _: Judge())
    found = appoint(suite(place), Library(place), None)
    sat = sit(found, ada)
    assert sat.sat and [it.verdict.passed for it in sat.answers] == [True, False, False]
    assert {(it.verdict.reason, it.verdict.grader) for it in sat.answers} == {("read", "rubric")}
    cut = sit(found, ada, max_tokens=1)
    assert {it.verdict.grader for it in cut.answers} == {"length"}
    assert sit(appoint(suite(place, cut_off=True), Library(place), None), ada, 1).answers[0].verdict.passed


def test_a_judge_that_gives_no_verdict_at_all_is_no_exam(place: Path, ada: StudentRef) -> None:
    found = appoint(suite(place), Library(place), None)
    first = sit(found, ada)
    assert (first.sat, first.answers) == (False, ())
    assert first.reason is not None and first.reason.startswith("of 3 answers: the judge gave no verdict (")
    assert sit(found, ada) == first


def test_a_model_is_examined_by_a_rubric_without_a_campaign(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr("tft.exams.examiner.open_judge", lambda _: Judge())
    done = CliRunner().invoke(main, ["examine", "abacus/novice-a", "--suite", "steps", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["suites"]["steps"]
    assert (found["score"], found["n"], found["grader"]) == (1 / 3, 3, "rubric")


def test_neither_tutor_nor_student_may_judge_under_any_name(place: Path) -> None:
    found = appoint(suite(place), Library(place), None)
    refuse_judges([found], {"the tutor": "other", "student ada": "another"})
    assert found.judge is not None
    with pytest.raises(UserError, match="is the same model as student ada, which may not examine"):
        refuse_judges([found], {"the tutor": "other", "student ada": found.judge.fingerprint})


def test_a_campaign_refuses_a_judge_with_the_weights_of_its_tutor(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    config = CampaignConfig.model_validate({
        "campaign": "mine", "tutor": "abacus", "students": [{"id": "ada", "model": "abacus/novice-a"}],
        "curriculum": "arithmetic", "skills": ["add_1", "add_2"], "exams": {"whole": ["steps"]},
    })  # fmt: skip
    prepared = prepare(config, Library(tmp_path), tmp_path / "run")
    assert prepared.contents["exams.whole.steps.judge"] == fingerprint_model(str(tmp_path / "judge"))
    shutil.rmtree(tmp_path / "judge")
    shutil.copytree(shipped() / "tutors" / "abacus" / "weights", tmp_path / "judge")
    with pytest.raises(UserError, match=r"steps: grader\.judge\.model: is the same model as the tutor"):
        prepare(config, Library(tmp_path), tmp_path / "run")


def test_the_engine_of_a_judge_may_be_any(place: Path) -> None:
    endpoint = {"type": "endpoint", "url": "http://127.0.0.1:9/v1", "model": "theirs"}
    judge = appoint(suite(place, judge={"model": "m", "engine": endpoint}), Library(place), None).judge
    assert judge is not None and (judge.model_path, judge.fingerprint) == ("theirs", "theirs")
    told = suite(place, judge={"model": "m", "engine": {**endpoint, "tokenizer": "abacus/novice-a"}})
    known = appoint(told, Library(place), None).judge
    assert known is not None and known.engine.tokenizer == str(shipped() / "tutors" / "abacus" / "novice-a")  # type: ignore[union-attr]
    assert JudgeConfig.model_validate({"model": "m", "engine": "transformers"}).engine == TransformersEngineConfig()
    assert replace(judge, engine=TransformersEngineConfig()) != judge


@pytest.mark.parametrize(("grader", "message"), [
    ({"type": "rubric"}, "write either rubric or rubric_file|is there once"),
    ({"type": "rubric", "rubric": "r", "rubric_file": "f"}, "is there once"),
    ({"type": "exact", "rubric": "r"}, "Extra inputs"),
])  # fmt: skip
def test_a_rubric_is_written_once(grader: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SuiteCard.model_validate({**CARD, "grader": grader})
