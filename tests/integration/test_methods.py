"""Whole campaigns that are taught in other ways than by demonstrations, and two students in one classroom."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import comparable, run
from tft.ledger import Ledger
from tft.records import Sitting, load

SMALL = ("tuition.lessons=60", "tuition.cycles=1", "training.epochs=2", "tuition.max_drop=0.9", "exams.final=16")


def lessons(report: dict[str, Any], kind: str) -> list[int]:
    return [student["lessons"][kind] for student in report["students"]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_feedback_counts_what_the_tutor_scored(tmp_path: Path, cache: Path) -> None:
    done = run(tmp_path / "run", cache, "cluster=inline", "tuition.methods=feedback", *SMALL)
    tokens = done.report["tutor"]["tokens"]
    scored = [student["lessons"]["feedback_tokens"] for student in done.report["students"]]
    assert all(count > 60 for count in scored)
    assert tokens["scored"] == sum(scored)
    assert tokens["total"] == tokens["prompt"] + tokens["completion"] + tokens["scored"]
    # Whatever is in its ledger is not done again.
    again = run(tmp_path / "run", cache, "cluster=inline", "tuition.methods=feedback", *SMALL)
    assert comparable(again.report) == comparable(done.report)


def turned(folder: Path, student: dict[str, Any], most: int) -> int:
    """Count answers to the check that the grader passed after the first cycle and not before, so many a skill."""
    if not student["cycles"][0]["promoted"]:
        return 0
    ledger = Ledger(folder)
    sat = [(step.cycle, load(Sitting, step.result)) for step in ledger.steps("examine", student["id"])]
    ledger.close()
    before, after = (next(it for cycle, it in sat if (it.exam, cycle) == ("check", place)) for place in (0, 1))
    practised = {line["skill"] for line in student["cycles"][0]["syllabus"] if line["kind"] == "practice"}
    new = Counter(
        now.attempt.item.skill
        for was, now in zip(before.answers, after.answers, strict=True)
        if now.verdict.passed and not was.verdict.passed and was.attempt.text and now.attempt.item.skill in practised
    )
    return sum(min(most, count) for count in new.values())


@pytest.mark.parametrize("opinions", [0, 4])
def test_practice_asks_the_tutor_for_a_second_opinion_only(opinions: int, tmp_path: Path, cache: Path) -> None:
    options = ("cluster=inline", "tuition.methods=practice", f"tuition.second_opinion={opinions}", *SMALL,
               "tuition.replay=0", "training.objectives.practice={type: grpo, rate: 3}")  # fmt: skip
    done = run(tmp_path / "run", cache, *options)
    given = [it["second_opinion"] for student in done.report["students"] for it in student["cycles"]]
    asked = [it["asked"] for it in given if it]
    # Whoever was promoted, and came to pass something new, leaves something to ask about.
    assert asked == [count for it in done.report["students"] if (count := turned(done.folder, it, opinions))]
    assert bool(asked) == bool(done.report["tutor"]["tokens"]["total"])
    assert all(0 < count <= 4 * len(done.report["skills"]) for count in asked)
    assert all(it["earlier"] + it["later"] <= it["asked"] for it in given if it)
    assert lessons(done.report, "practice") == [60, 60]
    assert all("reward" in student["cycles"][0]["measures"] for student in done.report["students"])


def test_preferences_set_the_tutors_answers_against_those_of_the_student(tmp_path: Path, cache: Path) -> None:
    done = run(tmp_path / "run", cache, "cluster=inline", "tuition.methods=preference", *SMALL)
    assert all(count > 40 for count in lessons(done.report, "preference"))
    assert all("preferred" in student["cycles"][0]["measures"] for student in done.report["students"])
    rows = (done.folder / "lessons" / "cycle-1.jsonl").read_text().splitlines()
    pairs = [row for row in map(json.loads, rows) if row["kind"] == "preference"]
    assert {row["lineage"]["source"] for row in pairs} == {"abacus", "student"}
    assert all(row["chosen"] and row["rejected"] and row["chosen"] != row["rejected"] for row in pairs)


def test_a_classroom_in_ray_ends_as_inline(tmp_path: Path, cache: Path) -> None:
    together = (
        "students=[{id: ada, model: abacus/novice-a, adapter: lora}, {id: bea, model: abacus/novice-a, adapter: lora}, "
        "{id: blaise, model: abacus/novice-b}]",
        "training.classroom=true",
    )
    reports = [
        run(tmp_path / place, cache, f"cluster={place}", *together, *SMALL).report for place in ("ray", "inline")
    ]
    assert comparable(reports[0]) == comparable(reports[1])
    assert all(count > 0 for count in lessons(reports[0], "demonstration"))


def test_a_student_trains_itself_when_the_tutors_budget_is_spent(tmp_path: Path, cache: Path) -> None:
    settings = ("cluster=inline", "tuition.lessons=200", "tuition.cycles=2", "exams.final=16")
    done = run(tmp_path / "run", cache, *settings, "budget.tutor_tokens=30k")
    report = done.report
    assert report["tutor"]["tokens"]["total"] <= 30_000
    assert "tutor_tokens" in report["limit_reached"]
    assert report["cycles"] == 2
    last = [student["cycles"][1] for student in report["students"]]
    kinds = [{line["kind"] for line in cycle["syllabus"]} for cycle in last]
    assert all("replay" in it and "critique" not in it for it in kinds)
    assert sum(lessons(report, "self_training")) > 0
    # What was learned in the second cycle cost nothing.
    assert all(student["trained_tokens"] > 0 for student in report["students"])
    more = run(tmp_path / "run", cache, *settings, "budget.tutor_tokens=60k").report
    assert 30_000 < more["tutor"]["tokens"]["total"] <= 60_000
