"""A campaign that is examined on what somebody brought: files of questions, a rubric, and a task of lm-eval; the gate
watches the file that has questions enough.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import items
import pytest
import yaml

from tests.endpoint import serve
from tests.integration.conftest import Run, comparable
from tft.ports import Generation
from tft.records import Message

OWN = "sums/mine.csv"
WIDE = "sums/wide.csv"
TASK = "lm-eval:task.yaml"
QUESTIONS = [f"{a}+{b}" for a, b in ((12, 13), (27, 58), (31, 45), (68, 29), (44, 17), (3, 4))]
WITH_LM_EVAL = find_spec("lm_eval") is not None
TASK_CARD: dict[str, Any] = {
    "task": "sums", "dataset_path": "csv", "dataset_kwargs": {"data_files": {"test": "sums/task.csv"}},
    "test_split": "test", "output_type": "generate_until", "doc_to_text": "Q{{question}}\nA",
    "doc_to_target": "{{answer}}", "generation_kwargs": {"until": ["\n"], "max_gen_toks": 40},
    "filter_list": [{"name": "n", "filter": [{"function": "regex", "regex_pattern": "#([0-9]+)"},
                                             {"function": "take_first"}]}],
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}  # fmt: skip


class Judge:
    """Lets pass what ends in 85, marked; a fake, because no model that is small enough can read a rubric."""

    def generate(self, prompts: Sequence[Sequence[Message]], *_: object) -> list[Generation]:
        passed = ["#85" in it[0].content for it in prompts]
        said = [json.dumps({"reason": "It says so.", "verdict": "pass" if it else "fail"}) for it in passed]
        return [Generation(it, 9, 9, True, None) for it in said]


def tft(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tft", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("exams")
    (made / "sums").mkdir()
    (made / "evals").mkdir()
    rows = [f"{it},{items.classify(it)[2]},{'small' if it == '3+4' else 'large'}" for it in QUESTIONS]  # type: ignore[index]
    (made / "sums" / "task.csv").write_text("\n".join(["question,answer,group", *rows]))
    (made / OWN).write_text("\n".join(["question,answer,group", *rows, ",7,small"]))
    wide = [f"{f'{a}+{b}'},{a + b}" for a in range(20, 30) for b in range(40, 56)]
    # Each once more, the other way round.
    wide += [f"{f'{b}+{a}'},{a + b}" for a in range(20, 30) for b in range(40, 56)]
    (made / WIDE).write_text("\n".join(["question,answer", *wide]))
    (made / "task.yaml").write_text(yaml.safe_dump(TASK_CARD))
    with serve(Judge(), quirks=["no_schema"]) as server:  # type: ignore[arg-type]
        judge = {"model": "judge", "engine": {"type": "endpoint", "url": server.url}}
        card = {"exam": "marked", "caption": "Whether it is marked.", "data": {"path": f"../{OWN}"},
                "grader": {"type": "rubric", "rubric": "The answer is marked.", "judge": judge}}  # fmt: skip
        (made / "evals" / "marked.yaml").write_text(yaml.safe_dump(card))
        campaign = {
            "campaign": "brought", "seed": 3, "tutor": "abacus", "curriculum": "arithmetic",
            "students": [{"id": "ada", "model": "abacus/novice-a"}], "skills": ["add_1", "sub_2"],
            "exams": {"probe": 8, "check": 8, "final": 8, "whole": [OWN, "marked", *([TASK] if WITH_LM_EVAL else [])]},
            "tuition": {"cycles": 1, "lessons": 160, "methods": "demonstration", "max_drop": 0.9},
            "training": {"epochs": 4}, "cluster": "inline",
        }  # fmt: skip
        (made / "brought.yaml").write_text(yaml.safe_dump(campaign))
        yield made


@pytest.fixture(scope="module")
def brought(folder: Path) -> Run:
    done = tft(folder, "run", "brought.yaml")
    assert done.returncode == 0, done.stderr
    return Run(folder / "runs" / "brought")


def test_a_file_of_questions_is_sat_before_and_after(brought: Run) -> None:
    (student,) = brought.report["students"]
    found = student["whole"][OWN]
    assert found["sat"] and found["before"]["n"] == found["after"]["n"] == len(QUESTIONS)
    assert found["groups"]["small"]["before"]["n"] == 1
    assert "Graded by numeric, because all 6 references are numbers. 1 rows were left out (1 empty)" in found["caption"]
    rows = (brought.folder / "exams" / "ada-sums-mine.csv-1.jsonl").read_text().splitlines()
    assert [json.loads(it)["attempt"]["item"]["question"] for it in rows] == QUESTIONS


def test_a_judge_grades_with_reasons(brought: Run) -> None:
    found = brought.report["students"][0]["whole"]["marked"]
    assert found["sat"] and found["before"]["n"] == len(QUESTIONS)
    rows = (brought.folder / "exams" / "ada-marked-0.jsonl").read_text().splitlines()
    verdicts = [json.loads(it)["verdict"] for it in rows]
    assert {it["reason"] for it in verdicts} == {"It says so."}
    assert sum(it["score"] for it in verdicts) == found["before"]["score"] * len(QUESTIONS) > 0


@pytest.mark.skipif(not WITH_LM_EVAL, reason="lm-eval is not installed; the extra [lm-eval] brings it")
def test_a_task_of_lm_eval_is_sat_like_any_exam(folder: Path, brought: Run) -> None:
    student = brought.report["students"][0]
    found = student["whole"][TASK]
    assert found["sat"] and found["before"]["n"] == found["after"]["n"] == len(QUESTIONS)
    # What is put as a conversation here is put as the same text there.
    assert found["before"]["score"] == student["whole"][OWN]["before"]["score"]
    done = tft(folder, "examine", f"{brought.folder}/{student['checkpoint']}", "--suite", TASK, "--json")
    assert json.loads(done.stdout)["suites"][TASK]["score"] == found["after"]["score"]


def test_what_the_gate_cannot_watch_is_told(folder: Path, brought: Run) -> None:
    page = (brought.folder / "report.html").read_text(encoding="utf-8")
    assert f"The gate watched nothing of {OWN}: it has 6 different questions" in page
    assert "The gate watched nothing of marked: a judge grades it" in page
    assert brought.report["students"][0]["cycles"][0]["watched"] == {}
    suites = json.loads(tft(folder, "validate", "brought.yaml", "--json").stdout)["resolved"]["suites"]
    assert "6 different questions" in suites[OWN]["unwatched"]


def watch(folder: Path, out: str, cycles: int) -> Run:
    """Teach a student differences until it has forgotten the sums that nobody rehearses."""
    settings = (f"exams.whole=[{WIDE}]", "exams.watched=16", f"tuition.cycles={cycles}")
    chosen = [part for it in settings for part in ("--set", it)]
    done = tft(folder, "run", "brought.yaml", "--out", out, *chosen)
    assert done.returncode == 0, done.stderr
    return Run(folder / out)


@pytest.fixture(scope="module")
def watched(folder: Path) -> Run:
    return watch(folder, "watched", 2)


def questions(run: Run, exam: str, cycle: int) -> list[str]:
    rows = (run.folder / "exams" / f"ada-{exam}-{cycle}.jsonl").read_text().splitlines()
    return [json.loads(it)["attempt"]["item"]["question"] for it in rows]


def test_what_is_watched_is_asked_in_no_exam_and_in_no_lesson(watched: Run) -> None:
    (student,) = watched.report["students"]
    asked, sat = questions(watched, "watched", 0), questions(watched, "sums-wide.csv", 0)
    assert asked == questions(watched, "watched", 1) == questions(watched, "watched", 2)
    prints = {items.fingerprint(it) for it in asked}
    assert len(asked) == len(prints) == 16
    # Each sum is there both ways round.
    assert len(sat) == 2 * (10 * 16 - 16) == student["whole"][WIDE]["before"]["n"]
    assert not prints & {items.fingerprint(it) for it in sat}
    rows = [it for path in (watched.folder / "lessons").glob("*.jsonl") for it in path.read_text().splitlines()]
    assert rows and not prints & {json.loads(it)["item"]["fingerprint"] for it in rows}


def test_a_whole_exam_that_was_forgotten_rolls_a_cycle_back(watched: Run) -> None:
    (student,) = watched.report["students"]
    first, second = student["cycles"]
    assert first["promoted"] is False
    assert f"the whole exam {WIDE} fell by" in first["decision"]
    assert f"catastrophic forgetting of general knowledge: {WIDE} fell beyond the bound" in first["findings"]
    change = first["watched"][WIDE]["change"]
    assert (
        change["value"] == first["watched"][WIDE]["after"]["score"] - first["watched"][WIDE]["before"]["score"] < -0.5
    )
    # What was refused is no measure of what comes.
    assert second["watched"][WIDE]["before"] == first["watched"][WIDE]["before"]
    page = (watched.folder / "report.html").read_text(encoding="utf-8")
    assert "16 of its questions were set apart for the gate." in page
    assert f'<span class="label">Watched</span> <code>{WIDE}</code>' in page


def test_a_campaign_that_is_watched_goes_on_to_the_same_report(folder: Path, watched: Run) -> None:
    watch(folder, "parts", 1)
    assert watch(folder, "parts", 2).report["students"] == watched.report["students"]


def test_the_same_command_does_nothing_again(folder: Path, brought: Run) -> None:
    before = brought.report
    done = tft(folder, "run", "brought.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert comparable(brought.report) == comparable(before)
