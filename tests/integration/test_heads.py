"""Whole campaigns of students with heads: one that chooses, one that is rewarded by it, and one that cannot write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.encoders import build_encoder
from tests.integration.conftest import Run, comparable
from tests.learning import move
from tft.engines.transformers import load_model
from tft.library import shipped

ARITHMETIC = (shipped() / "curricula" / "arithmetic" / "items.py").read_text()
# What is asked for is plain to see in an answer: that it ends with an even digit, or whose operation it is.
EVEN = """
_classify = classify
def classify(question):
    found = _classify(question)
    return found and (*found[:2], '{"matches": "[02468]$"}')
"""
OPERATION = """
_classify = classify
def classify(question):
    found = _classify(question)
    return found and (*found[:2], '{"matches": "[%s]"}' % parse(question).operator)
"""
CAMPAIGN: dict[str, Any] = {
    "seed": 3,
    "exams": {"probe": 16, "check": 32, "final": 80, "max_tokens": 20},
    "tuition": {"cycles": 1, "mastery": 0.99, "max_drop": 0.5},
    "threads": {"tutor": 1, "student": 1},
    "cluster": "inline",
}


def begin(folder: Path, name: str, twist: str, skills: list[str], **settings: Any) -> Run:
    """Write a curriculum and a campaign, and run it."""
    place = folder / "curricula" / name
    place.mkdir(parents=True, exist_ok=True)
    card = {"curriculum": name, "description": "d", "items": "items.py", "grader": "constraints",
            "skills": {skill: {"title": f"two-digit {skill[:3]}", "levels": 2} for skill in skills}}  # fmt: skip
    (place / "curriculum.yaml").write_text(yaml.safe_dump(card))
    (place / "items.py").write_text(ARITHMETIC + twist)
    path = folder / f"{settings['campaign']}.yaml"
    path.write_text(yaml.safe_dump({**CAMPAIGN, **settings, "curriculum": name}))
    run = folder / "runs" / settings["campaign"]
    done = subprocess.run([sys.executable, "-m", "tft", "run", str(path), "--out", str(run)],
                          capture_output=True, text=True, timeout=600, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return Run(run)


@pytest.fixture(scope="module")
def folder(novice: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a place with a student that is not sure of anything, and a tutor that is asked for nothing."""
    made = tmp_path_factory.mktemp("heads")
    model, tokenizer = load_model(novice, training=True)
    move(model, 0.08)
    for part in (model, tokenizer):
        part.save_pretrained(made / "unsure")
    build_encoder(made / "bert")
    card = {"tutor": "silent", "description": "d", "model": f"path:{novice}", "roles": {}}
    (made / "tutors" / "silent").mkdir(parents=True)
    (made / "tutors" / "silent" / "tutor.yaml").write_text(yaml.safe_dump(card))
    return made


@pytest.fixture(scope="module")
def chooser(folder: Path) -> Run:
    """Let a head learn which answers are even."""
    adapter = {"type": "head", "task": {"type": "reward", "best_of": 4}, "body": {"type": "lora", "r": 8}}
    return begin(
        folder, "even", EVEN, ["add_2"], campaign="chooser", tutor="silent",
        students=[{"id": "rm", "model": "unsure", "adapter": adapter}],
        tuition={**CAMPAIGN["tuition"], "methods": "preference", "lessons": 200},
        training={"epochs": 3, "batch_size": 16},
    )  # fmt: skip


def test_a_head_chooses_better_than_chance(chooser: Run) -> None:
    (student,) = chooser.report["students"]
    skill = student["skills"]["add_2"]
    assert student["promoted_cycle"] == 1
    assert skill["after"]["score"] > skill["before"]["score"] + 0.1
    assert student["lessons"]["preference"] > 50
    first, last = student["cycles"][0]["measures"]["preferred"]
    assert last > first


def test_a_student_practises_for_its_rewards(folder: Path, chooser: Run) -> None:
    settings: dict[str, Any] = {
        "campaign": "rewarded", "tutor": "silent", "students": [{"id": "ada", "model": "unsure"}],
        "tuition": {**CAMPAIGN["tuition"], "methods": "practice", "lessons": 64},
        "training": {"batch_size": 64, "objectives": {
            "practice": {"type": "grpo", "reward": {"model": str(chooser.folder / "students" / "rm" / "final")}}}},
    }  # fmt: skip
    done = begin(folder, "even", EVEN, ["add_2"], **settings)
    measures = done.report["students"][0]["cycles"][0]["measures"]
    assert measures["reward"][1] > measures["reward"][0]
    assert all(0 <= it <= 1 for it in measures["graded"])
    assert measures["graded"][1] > measures["graded"][0]
    # Whatever is in its ledger is not done again.
    again = begin(folder, "even", EVEN, ["add_2"], **settings)
    assert comparable(again.report) == comparable(done.report)


def test_an_encoder_is_taught_and_examined_like_any_student(folder: Path) -> None:
    adapter = {"type": "head", "task": "classifier", "body": "full"}
    done = begin(
        folder, "operation", OPERATION, ["add_2", "sub_2"], campaign="reader", tutor="abacus",
        students=[{"id": "bea", "model": "bert", "adapter": adapter}],
        tuition={**CAMPAIGN["tuition"], "lessons": 80}, training={"epochs": 6, "batch_size": 8},
    )  # fmt: skip
    (student,) = done.report["students"]
    for skill in student["skills"].values():
        assert skill["before"]["score"] == 0
        assert skill["after"]["score"] > 0.9
    assert student["calibration"]["ece"] is not None
    assert student["lessons"]["critique"] == 0
