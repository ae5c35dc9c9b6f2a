"""Tasks of lm-eval: the same score, question by question, as its own command gives on the exported student."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import yaml
from click.testing import CliRunner

from benchmarks.documents import ROOT
from tests.making import demonstration
from tests.thinking import NOTHING, QUIET, build_thinker
from tft.cli import main
from tft.config.adapters import HeadAdapter, LoraAdapter, RewardTask
from tft.config.suites import LmEvalCard, SuiteCard
from tft.config.training import TrainingConfig
from tft.errors import UserError
from tft.exams import open_suite, read_suite
from tft.exams.harness import TaskRequest, _open, sit_task
from tft.exporting import export_student
from tft.library import Library, fingerprint_model
from tft.student import StudentRef
from tft.student.template import with_switches
from tft.training import TrainRequest, train

pytest.importorskip("lm_eval", reason="lm-eval is not installed; the extra [lm-eval] brings it")
pytestmark = pytest.mark.usefixtures("one_thread")
DOCS = 24
DATA: dict[str, Any] = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "docs.jsonl"}},
    "test_split": "test",
    "doc_to_text": "Q{{question}}\nA",
}
NUMBER = [{"function": "regex", "regex_pattern": "#(-?[0-9]+)"}, {"function": "take_first"}]
WRITTEN: dict[str, Any] = {
    **DATA,
    "task": "written",
    "output_type": "generate_until",
    "doc_to_target": "{{answer}}",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 40, "do_sample": False},
    "filter_list": [
        {
            "name": "marked",
            "filter": [{"function": "regex", "regex_pattern": "#(-?[0-9]+)"}, {"function": "take_first"}],
        }
    ],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "should_decontaminate": True,
    "doc_to_decontamination_query": "question",
}
CHOSEN: dict[str, Any] = {
    **DATA,
    "task": "chosen",
    "output_type": "multiple_choice",
    "doc_to_choice": "choices",
    "doc_to_target": "gold",
    "target_delimiter": "",
    "metric_list": [{"metric": it, "aggregation": "mean", "higher_is_better": True} for it in ("acc", "acc_norm")],
}


def write(folder: Path) -> None:
    rows = []
    for place, question in enumerate(islice(items.draw("sub_2", Random(4)), DOCS)):
        right = items.work(question)
        answer = right.rpartition("#")[2]
        choices = [right, right.replace(f"#{answer}", f"#{int(answer) + 1}"), f"#{answer}"]
        choices = choices[place % 3 :] + choices[: place % 3]
        rows.append({"question": question, "answer": answer, "choices": choices, "gold": choices.index(right)})
    (folder / "docs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for task in (WRITTEN, CHOSEN):
        (folder / f"{task['task']}.yaml").write_text(yaml.safe_dump(task))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, ada: StudentRef) -> Path:
    """Give a folder with two tasks, and a student that has half learned what they ask."""
    folder = tmp_path_factory.mktemp("lm_eval")
    write(folder)
    lessons = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 250))
    student = replace(ada, adapter=LoraAdapter(r=16))
    final = folder / "students" / "ada" / "final"
    config = TrainingConfig(epochs=3, batch_size=16, precision="full")
    train(TrainRequest(student, lessons, config, 5e-3, 1.0, 3, str(final)))
    return folder


def own_command(folder: Path, model: Path) -> dict[str, list[dict[str, Any]]]:
    """Run lm-eval's own command, and give what it logged of every question."""
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "hf", "--model_args", f"pretrained={model}",
               "--tasks", "written.yaml,chosen.yaml", "--log_samples", "--output_path", "own"]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {
        task: sorted(map(json.loads, path.read_text().splitlines()), key=lambda it: it["doc_id"])
        for task in ("written", "chosen")
        for path in (folder / "own").rglob(f"samples_{task}_*.jsonl")
    }


def test_the_score_is_that_of_its_own_command(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    theirs = own_command(place, export_student(Library(), place, "ada", place / "merged", adapter=False))
    done = CliRunner().invoke(main, ["examine", str(place / "students/ada/final"), "--suite", "lm-eval:written.yaml",
                                     "--suite", "lm-eval:chosen.yaml", "--json"])  # fmt: skip
    assert done.exit_code == 0, done.output
    ours = json.loads(done.stdout)["suites"]
    for task, metric in (("written", "exact_match"), ("chosen", "acc")):
        scores = [it[metric] for it in theirs[task]]
        assert len(scores) == DOCS and 0 < sum(scores) < DOCS
        found = ours[f"lm-eval:{task}.yaml"]
        assert (found["score"], found["n"], found["grader"]) == (sum(scores) / DOCS, DOCS, "lm-eval")
    assert ours["lm-eval:written.yaml"]["calibration"] is None
    assert ours["lm-eval:chosen.yaml"]["calibration"]["base_rate"] == ours["lm-eval:chosen.yaml"]["score"]


def test_a_sitting_has_a_verdict_a_question(place: Path, ada: StudentRef) -> None:
    card, folder = open_suite(Library(place), "lm-eval:chosen.yaml")
    suite = read_suite(card, folder, items, ["sub_2"], most=5)
    assert suite.task is not None
    found = sit_task(TaskRequest(ada, suite.name, suite.items, suite.task))
    rows = [json.loads(line) for line in (place / "docs.jsonl").read_text().splitlines()][:5]
    assert [it.attempt.item.reference for it in found.answers] == [row["choices"][row["gold"]] for row in rows]
    for answer, row in zip(found.answers, rows, strict=True):
        assert answer.verdict.passed == (answer.attempt.text == row["choices"][row["gold"]])
        assert answer.attempt.confidence is not None and 1 / 3 <= answer.attempt.confidence <= 1
        assert answer.verdict.reason.startswith("acc is ") and answer.verdict.grader == "lm-eval"


def test_a_student_is_asked_with_the_switches_of_its_template(ada: StudentRef, novice: Path, tmp_path: Path) -> None:
    folder = str(build_thinker(tmp_path / "thinker", novice))
    quiet = with_switches(replace(ada, base_path=folder, base=fingerprint_model(folder)), QUIET)
    assert _open(quiet, 1).apply_chat_template([{"role": "user", "content": "7+5"}]) == f"Q7+5\nA{NOTHING}"


def test_the_example_in_the_docs_can_be_sat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    suite = "lm-eval:docs/examples/tasks/sums.yaml"
    done = CliRunner().invoke(main, ["examine", "abacus/novice-a", "--suite", suite, "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["suites"][suite]
    assert found["n"] == 8 and 0 < found["score"] < 1


def test_questions_are_held_out_in_the_words_that_the_task_names(place: Path) -> None:
    suite = read_suite(*open_suite(Library(place), "lm-eval:written.yaml"), items, ["sub_2"])
    rows = [json.loads(line) for line in (place / "docs.jsonl").read_text().splitlines()]
    assert [it.fingerprint for it in suite.items] == [items.fingerprint(row["question"]) for row in rows]
    assert {it.groups for it in suite.items} == {("covered", "covered: sub_2")}
    again = read_suite(*open_suite(Library(place), "lm-eval:written.yaml"), items, ["sub_2"])
    assert (suite.digest, suite.task) == (again.digest, again.task)


def test_what_cannot_be_sat_says_why(place: Path, ada: StudentRef, tmp_path: Path) -> None:
    bleu = {**WRITTEN, "metric_list": [{"metric": "bleu", "aggregation": "bleu", "higher_is_better": True}]}
    (place / "bleu.yaml").write_text(yaml.safe_dump(bleu))
    suite = read_suite(*open_suite(Library(place), "lm-eval:bleu.yaml"), most=2)
    assert suite.task is not None
    found = sit_task(TaskRequest(ada, "bleu", suite.items, suite.task))
    assert (found.sat, found.answers) == (False, ())
    assert found.reason == "no metric of written says right or wrong of every question: bleu"
    headed = replace(ada, adapter=HeadAdapter(task=RewardTask()))
    found = sit_task(TaskRequest(headed, "written", suite.items, suite.task))
    assert found.reason == "lm-eval cannot run this student: a head is no language model"
    lost = {**WRITTEN, "dataset_kwargs": {"data_files": {"test": "nowhere.jsonl"}}}
    (tmp_path / "lost.yaml").write_text(yaml.safe_dump(lost))
    missing = read_suite(*open_suite(Library(tmp_path), "lm-eval:lost.yaml")).missing
    assert missing is not None and missing.startswith("lm-eval cannot reach the data of lost.yaml (FileNotFoundError")
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump({**WRITTEN, "output_type": "sing"}))
    with pytest.raises(UserError, match="lm-eval cannot load it: ValueError"):
        read_suite(*open_suite(Library(tmp_path), "lm-eval:bad.yaml"))
    with pytest.raises(UserError, match="no such task file"):
        read_suite(SuiteCard(exam="e", caption="c", lm_eval=LmEvalCard(task="nowhere.yaml")), tmp_path)
