"""A campaign that is taught from files too: what is planted in them is caught and counted, and what was taught is read
back in.
"""

from __future__ import annotations

import json
import subprocess
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import yaml

from tests.integration.conftest import Run, comparable
from tft.config import CampaignConfig
from tft.config.data import MaterialConfig
from tft.library import Library
from tft.material import HeldOut, Setting, read_material
from tft.preparation import prepare

CAMPAIGN: dict[str, Any] = {
    "campaign": "filed",
    "seed": 3,
    "tutor": "abacus",
    "students": [{"id": "ada", "model": "abacus/novice-a"}],
    "curriculum": "arithmetic",
    "skills": ["add_1", "sub_1", "sub_2"],
    "exams": {"probe": 8, "check": 8, "final": 8},
    # The tutor writes nothing here.
    "tuition": {"cycles": 2, "lessons": 32, "methods": "practice", "max_drop": 0.9},
    "training": {"epochs": 1, "objectives": {"preference": "kto", "practice": {"type": "grpo", "group": 2}}},
    "cluster": "inline",
    "material": [
        {"path": "sums.jsonl", "license": "CC0-1.0"},
        {"path": "verdicts.csv", "cycles": [2]},
        {"path": "chats.json", "verify": "trust", "skill": "manners", "cycles": [1, 2]},
    ],
}


def chat(*turns: str) -> dict[str, Any]:
    return {"conversations": [{"from": ("human", "gpt")[place % 2], "value": it} for place, it in enumerate(turns)]}


def plant(folder: Path) -> Path:
    """Write a campaign with its files, good rows and bad ones in them."""
    path = folder / "filed.yaml"
    path.write_text(yaml.safe_dump({**CAMPAIGN, "material": []}))
    config = CampaignConfig.model_validate({**CAMPAIGN, "material": []})
    exams = {it.fingerprint: it for it in prepare(config, Library(folder), folder / "x").splits.items["final"]}
    leak = next(it.question for it in exams.values() if it.skill == "sub_2")
    free = list(
        dict.fromkeys(it for it in islice(items.draw("sub_2", Random(5)), 90) if items.fingerprint(it) not in exams)
    )
    rows: list[Any] = [{"prompt": it, "completion": items.work(it)} for it in free[:40]]
    rows[3] = {"prompt": leak, "completion": items.work(leak)}
    rows[5] = {"prompt": free[5], "completion": "#99999"}
    rows[7] = {"prompt": "Who are you?", "completion": "Ada."}
    garbage = [
        "{",
        '{"text": "x"}',
        '{"prompt": "1-1", "completion": ""}',
        '{"messages": [{"role": "user", "content": "Hi"}]}',
    ]
    (folder / "sums.jsonl").write_text("\n".join([*garbage, *map(json.dumps, rows)]))
    verdicts = [f"{it},{items.work(it)},true" for it in free[40:48]] + [f"{it},#99999,false" for it in free[48:56]]
    (folder / "verdicts.csv").write_text("\n".join(["prompt,completion,label", *verdicts, "1-1,#0,maybe"]))
    chats = [chat("Q1?", "#1", f"Q{place}?", "#2") for place in range(6)]
    (folder / "chats.json").write_text(json.dumps([*chats, chat(f"{leak} ", "#1"), chat("alone")]))
    path.write_text(yaml.safe_dump(CAMPAIGN))
    return path


def tft(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    import sys

    command = [sys.executable, "-m", "tft", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)


@pytest.fixture(scope="module")
def filed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("filed")
    plant(folder)
    done = tft(folder, "run", "filed.yaml", "--out", "run")
    assert done.returncode == 0, done.stderr
    return Run(folder / "run")


def test_what_was_planted_is_caught_and_counted(filed: Run) -> None:
    sums, verdicts, chats = filed.report["material"]
    assert (sums["rows"], sums["lessons"], sums["trusted"]) == (44, 37, 0)
    planted = {"empty": 1, "leak": 1, "no_format": 1, "not_json": 1, "roles": 1, "unverified": 1, "wrong": 1}
    assert sums["rejected"] == planted
    assert sums["first_rejected"].startswith("sums.jsonl, row 1: is not JSON")
    assert (verdicts["lessons"], verdicts["rejected"]) == (16, {"wrong_type": 1})
    assert (chats["lessons"], chats["trusted"], chats["rejected"]) == (6, 6, {"leak": 1, "roles": 1})
    rejected = filed.report["curation"]["rejected"]
    assert {reason: rejected[reason] for reason in planted} == {**planted, "leak": 2, "roles": 2}
    events = [json.loads(line) for line in (filed.folder / "events.jsonl").read_text().splitlines()]
    assert "sums.jsonl, row 1: is not JSON" in next(it["note"] for it in events if it["stage"] == "material")


def test_files_stand_in_the_syllabus_and_are_taught(filed: Run) -> None:
    (ada,) = filed.report["students"]
    lines = [
        (cycle["cycle"], line["source"], line["kind"], line["lessons"])
        for cycle in ada["cycles"]
        for line in cycle["syllabus"]
        if line["source"]
    ]
    assert lines == [
        (1, "sums.jsonl", "demonstration", 32),
        (1, "chats.json", "demonstration", 3),
        (2, "sums.jsonl", "demonstration", 5),
        (2, "verdicts.csv", "verdict", 16),
        (2, "chats.json", "demonstration", 3),
    ]
    assert (ada["lessons"]["demonstration"], ada["lessons"]["verdict"]) == (43, 16)
    assert ada["skills"]["sub_2"]["lessons"] == 37 + 16 + 64
    assert filed.report["tutor"]["tokens"]["total"] == 0
    assert "loss preference" in ada["cycles"][1]["measures"]
    # What was shown in the first cycle is read again in the second.
    assert any(it["skill"] == "manners" and it["kind"] == "replay" for it in ada["cycles"][1]["syllabus"])


def taught(filed: Run) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for path in sorted((filed.folder / "lessons").iterdir())
        for line in path.read_text().split("\n")
        if line
    ]


def test_every_lesson_can_be_traced_to_its_row(filed: Run) -> None:
    rows = [it for it in taught(filed) if it["lineage"]["row"] and it["kind"] != "replay"]
    assert len(rows) == 37 + 16 + 6
    lines = (filed.folder.parent / "sums.jsonl").read_text().split("\n")
    for row in rows:
        trusted = row["item"]["skill"] == "manners"
        assert row["lineage"]["filters"][0] == ("trust" if trusted else "grader")
        if row["lineage"]["source"] == "sums.jsonl":
            assert json.loads(lines[row["lineage"]["row"] - 1])["completion"] == row["answer"]
            assert row["lineage"]["license"] == "CC0-1.0"
    assert {it["name"] for it in filed.report["sources"] if it["what"] == "material"} == {
        "sums.jsonl", "verdicts.csv", "chats.json",
    }  # fmt: skip


def text(row: dict[str, Any]) -> tuple[str, str]:
    """Give the question and the answer of a taught row, right or wrong."""
    judged = row["completion"][0]["content"] if row["completion"] else row["answer"]
    return row["item"]["question"], judged


def test_what_was_taught_opens_with_datasets_and_is_read_back_in(filed: Run, tmp_path: Path) -> None:
    from datasets import load_dataset

    files = [str(path) for path in sorted((filed.folder / "lessons").iterdir())]
    found = [load_dataset("json", data_files=it, split="train", cache_dir=str(tmp_path)) for it in files]
    assert sum(it.num_rows for it in found) == len(taught(filed))
    skills = Library().curriculum("arithmetic")[0].skills
    config = MaterialConfig(path="lessons", verify="trust", skill="manners")
    setting = Setting(items, skills, HeldOut((), ()))
    again = read_material(config, "material.0", filed.folder, setting)
    assert again is not None
    told = {text(row): row for row in taught(filed) if row["kind"] not in ("replay", "practice")}
    assert {(it.item.question, it.answer or it.rejected) for it in again.lessons} == set(told)
    assert [it.kind for it in again.lessons].count("verdict") == 16
    # Practice has no answer to be learned; replay says again what was said, or what is only kept.
    assert {it.reason for it in again.rejections} == {"empty", "duplicate", "off_skill"}
    for lesson in again.lessons:
        before = told[lesson.item.question, lesson.answer or lesson.rejected]
        assert len(lesson.examples) == len(before["examples"])


def test_a_finished_run_does_nothing_again_and_a_changed_file_is_refused(filed: Run) -> None:
    folder, path = filed.folder.parent, filed.folder.parent / "sums.jsonl"
    before = filed.report
    assert tft(folder, "run", "filed.yaml", "--out", "run").returncode == 0
    assert comparable(filed.report) == comparable(before)
    text = path.read_text()
    path.write_text(text + "\n" + json.dumps({"prompt": "90-1", "completion": items.work("90-1")}))
    done = tft(folder, "run", "filed.yaml", "--out", "run")
    path.write_text(text)
    assert done.returncode == 2
    assert "contents.material.0" in done.stderr and "--fork" in done.stderr
    assert "Traceback" not in done.stderr
