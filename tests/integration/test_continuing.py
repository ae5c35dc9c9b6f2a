"""A campaign that continues another: its students go on, what they learned there is kept, and no exam leaks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Run, command, comparable, run
from tft.comparison import compare
from tft.ledger import Ledger

TINY = (
    "cluster=inline", "threads.tutor=1", "training.epochs=1", "exams={probe: 8, check: 8, final: 120}",
    "tuition={cycles: 1, lessons: 80, max_drop: 0.9, replay: 0.2}",
)  # fmt: skip
# They learn so slowly that every checkpoint is promoted.
ROSTER = (
    "students=[{id: ada, model: abacus/novice-a, adapter: {type: lora, r: 8}, learning_rate: 0.000001},"
    "{id: blaise, model: abacus/novice-b, adapter: full, learning_rate: 0.000001}]"
)


def go_on(earlier: Path, *settings: str) -> tuple[str, ...]:
    return (
        *TINY,
        "campaign=second",
        "seed=9",
        f"continue_from={earlier}",
        "students=null",
        "skills=[add_2,add_3]",
        *settings,
    )


def refused(folder: Path, *settings: str) -> str:
    """Try to run, and give what is said against it."""
    done = subprocess.run(command(folder, folder.parent / "cache", *settings), capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("continuing")
    return run(folder / "first", folder / "cache", *TINY, ROSTER, "campaign=first", "skills=[add_1,add_2,sub_2]")


@pytest.fixture(scope="session")
def second(first: Run) -> Run:
    folder = first.folder.parent
    return run(folder / "second", folder / "cache", *go_on(first.folder))


def steps(folder: Path, stage: str) -> list[Any]:
    ledger = Ledger(folder)
    found = list(ledger.steps(stage))
    ledger.close()
    return found


def taught(folder: Path) -> set[str]:
    return {it["item"]["fingerprint"] for step in steps(folder, "curate") for it in step.result["kept"]}


def examined(folder: Path, *, but: str = "add_1") -> set[str]:
    """Give the fingerprints of all that was examined, without the table, and without what was asked of lessons."""
    exams = [step.result for step in steps(folder, "examine") if step.result["exam"] != "trained"]
    answers = [it for exam in exams for it in exam["answers"]]
    return {it["attempt"]["item"]["fingerprint"] for it in answers if it["attempt"]["item"]["skill"] != but}


def finals(folder: Path, cycle: int, skill: str) -> dict[str, bool]:
    path = folder / "exams" / f"blaise-final-{cycle}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {it["attempt"]["item"]["question"]: it["verdict"]["score"] >= 1 for it in rows
            if it["attempt"]["item"]["skill"] == skill}  # fmt: skip


def test_students_begin_as_they_ended_on_the_items_they_sat_before(first: Run, second: Run) -> None:
    assert finals(second.folder, 0, "sub_2") == finals(first.folder, 1, "sub_2")
    assert [it["id"] for it in second.report["students"]] == ["ada", "blaise"]
    assert {it["id"]: it["adapter"] for it in second.report["students"]} == {"ada": "lora", "blaise": "full"}


def test_skills_that_are_not_in_the_new_campaign_are_kept(second: Run) -> None:
    skills = {it["name"]: it["role"] for it in second.report["skills"]}
    assert skills == {"add_2": "taught", "add_3": "taught", "add_1": "retention", "sub_2": "retention"}
    probes = [step for step in steps(second.folder, "examine") if step.result["exam"] == "probe"]
    assert {it["attempt"]["item"]["skill"] for step in probes for it in step.result["answers"]} == {"add_2", "add_3"}


def test_lessons_of_the_first_campaign_are_read_again(first: Run, second: Run) -> None:
    before = {it["id"] for step in steps(first.folder, "curate") for it in step.result["kept"]}
    again = [it for step in steps(second.folder, "curate") for it in step.result["kept"] if it["kind"] == "replay"]
    assert {it["item"]["skill"] for it in again if it["id"] in before} >= {"sub_2"}


def test_what_is_read_again_is_told_from_what_is_new(first: Run, second: Run) -> None:
    before = {it["id"] for step in steps(first.folder, "curate") for it in step.result["kept"]}
    lines = [json.loads(line) for path in sorted((second.folder / "lessons").iterdir())
             for line in path.read_text().splitlines()]  # fmt: skip
    told = {(it["kind"], it["lineage"]["source"], it["lineage"]["campaign"]) for it in lines}
    assert told == {
        ("demonstration", "abacus", "second"), ("replay", "student", "second"), ("replay", "abacus", "first"),
    }  # fmt: skip
    assert {it["id"] for it in lines if it["lineage"]["campaign"] == "first"} <= before
    assert all(it["lineage"]["license"] == "Apache-2.0" and it["lineage"]["asked_by"] for it in lines)
    counted = {name: sum(it["lessons"] for it in second.report["lineage"] if it["campaign"] == name)
               for name in ("first", "second")}  # fmt: skip
    assert counted == {name: sum(it["lineage"]["campaign"] == name for it in lines) for name in counted}
    # Both had the same tutor and the same curriculum: each is named once.
    assert [(it["what"], it["campaign"]) for it in second.report["sources"]] == [
        ("tutor", "second"), ("curriculum", "second"),
    ]  # fmt: skip


def test_no_exam_leaks_from_one_campaign_into_the_other(first: Run, second: Run) -> None:
    assert taught(second.folder) & examined(first.folder) == set()
    assert examined(second.folder) & taught(first.folder) == set()
    assert len(taught(first.folder)) > 50 and len(examined(second.folder)) > 120


def test_the_report_tells_what_a_student_was_before(first: Run, second: Run) -> None:
    assert first.report["continue_from"] is None
    assert second.report["continue_from"]["campaign"] == "first"
    assert all(it["lineage"] == [] for it in first.report["students"])
    (version,) = second.report["students"][1]["lineage"]
    assert (version["run"], version["taught"]) == ("first", ["add_2"])
    assert version["skills"]["sub_2"] == first.report["students"][1]["skills"]["sub_2"]["after"]
    assert len(version["date"]) == 10 and len(version["checkpoint"]) == 64


def test_a_third_campaign_remembers_the_first(first: Run, second: Run) -> None:
    folder = first.folder.parent / "third"
    third = run(folder, folder.parent / "cache", *go_on(second.folder, "campaign=third", "skills=[mul_2x1]"))
    history = third.report["students"][1]["lineage"]
    assert [it["run"] for it in history] == ["first", "second"]
    assert {it["name"] for it in third.report["skills"]} == {"mul_2x1", "add_1", "add_2", "add_3", "sub_2"}
    assert taught(folder) & examined(first.folder) == set()
    assert finals(folder, 0, "sub_2").keys() == finals(first.folder, 1, "sub_2").keys()


def test_a_killed_continuation_goes_on_to_the_same_report(tmp_path: Path, first: Run, second: Run) -> None:
    settings = go_on(first.folder)
    process = subprocess.Popen(
        command(tmp_path / "run", tmp_path / "cache", *settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    events = tmp_path / "run" / "events.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if events.is_file() and '"stage": "train"' in events.read_text():
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    assert process.wait(timeout=120) == -signal.SIGKILL
    resumed = run(tmp_path / "run", tmp_path / "cache", *settings)
    assert comparable(resumed.report) == comparable(second.report)


def test_a_moved_run_is_refused_and_goes_on_from_where_it_lies_now(tmp_path: Path, first: Run, second: Run) -> None:
    moved = tmp_path / "elsewhere"
    first.folder.rename(moved)
    try:
        said = refused(second.folder, *go_on(first.folder))
        assert "there is no run of this name" in said and "continue_from" in said
        again = run(second.folder, second.folder.parent / "cache", *go_on(moved))
        assert comparable(again.report)["students"] == comparable(second.report)["students"]
    finally:
        moved.rename(first.folder)


def test_a_changed_run_is_refused(tmp_path: Path, first: Run) -> None:
    copy, mine = tmp_path / "first", tmp_path / "second"
    shutil.copytree(first.folder, copy)
    settings = go_on(copy, "tuition.lessons=20")
    run(mine, first.folder.parent / "cache", *settings)
    ledger = Ledger(copy)
    ledger._base.execute("DELETE FROM steps WHERE id = (SELECT MAX(id) FROM steps WHERE stage = 'examine')")
    ledger.close()
    said = refused(mine, *settings)
    assert "continue_from" in said and "changed since" in said
    (copy / "students" / "blaise" / "final" / "model.safetensors").write_bytes(b"")
    said = refused(tmp_path / "third", *go_on(copy))
    assert "is damaged" in said and "continue_from" in said


def test_runs_of_one_history_are_compared_on_the_same_items(first: Run, second: Run) -> None:
    found = {(it["first"]["student"], it["exam"]): it for it in compare([first.folder, second.folder])["comparisons"]}
    assert found["blaise", "sub_2"]["paired"] and not found["blaise", "add_2"]["paired"]


def test_what_cannot_go_on_is_refused(tmp_path: Path, first: Run) -> None:
    said = refused(tmp_path / "run", *go_on(first.folder), "students=[{id: ada, adapter: full}]")
    assert "students.0.adapter" in said and "tft export" in said
    said = refused(tmp_path / "run", *go_on(first.folder), "students=[{id: emmy}]")
    assert "students.0.model" in said and "is required" in said
    said = refused(tmp_path / "run", *go_on(first.folder), "students=[{id: ada, model: abacus/novice-b}]")
    assert "is not the base model that ada has" in said
    Ledger(tmp_path / "begun").close()
    assert "not finished" in refused(tmp_path / "run", *go_on(tmp_path / "begun"))


def test_some_go_on_and_others_begin(tmp_path: Path, first: Run) -> None:
    roster = "students=[{id: blaise}, {id: emmy, model: abacus/novice-a}]"
    found = run(tmp_path / "run", first.folder.parent / "cache", *go_on(first.folder), roster)
    history = {it["id"]: [past["run"] for past in it["lineage"]] for it in found.report["students"]}
    assert history == {"blaise": ["first"], "emmy": []}


def test_skills_of_another_curriculum_are_drawn_and_graded_by_it(tmp_path: Path, first: Run) -> None:
    till = Path(__file__).parents[2] / "docs" / "examples" / "curricula" / "till" / "curriculum.yaml"
    settings = go_on(first.folder, f"curriculum={till}", "skills=null", "exams.final=8", "students=[{id: blaise}]")
    found = run(tmp_path / "run", first.folder.parent / "cache", *settings)
    assert {it["name"]: it["curriculum"] for it in found.report["skills"]} == {
        "add_2": "till", "sub_2": "till", "add_1": "arithmetic",
    }  # fmt: skip
    rehearsed = [it for step in steps(found.folder, "rehearse") for it in step.result["lessons"]]
    assert "add_1" in {it["item"]["skill"] for it in rehearsed}
    assert found.report["students"][0]["skills"]["add_1"]["before"]["score"] > 0.9
