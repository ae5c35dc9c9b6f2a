"""What a whole campaign must keep, on real models, in both executors."""

from __future__ import annotations

import json

from datasets import load_dataset

from tests.integration.conftest import Run, comparable
from tft.ledger import Ledger
from tft.records import Beliefs, Curated, Sitting, Syllabus, load


def syllabuses(run: Run, student: str) -> list[Syllabus]:
    ledger = Ledger(run.folder)
    found = [load(Syllabus, step.result) for step in ledger.steps("plan", student)]
    ledger.close()
    return found


def test_inline_and_ray_end_with_the_same_report(ray_run: Run, inline_run: Run) -> None:
    assert comparable(ray_run.report) == comparable(inline_run.report)


def test_every_student_learns_what_it_lacked(ray_run: Run) -> None:
    gaps = {"ada": "sub_2", "blaise": "add_2"}
    for student in ray_run.report["students"]:
        change = student["skills"][gaps[student["id"]]]["change"]
        assert change["low"] > 0, (student["id"], change)


def test_syllabuses_fit_the_gaps_of_each_student(inline_run: Run) -> None:
    ada, blaise = (syllabuses(inline_run, student)[0] for student in ("ada", "blaise"))
    assert {line.skill for line in ada.tuition if line.kind != "replay"} == {"sub_2"}
    assert {line.skill for line in blaise.tuition if line.kind != "replay"} == {"add_2"}
    assert {line.skill for line in ada.tuition if line.kind == "replay"} == {"add_1", "sub_1", "add_2"}
    assert {line.skill for line in blaise.tuition if line.kind == "replay"} == {"add_1", "sub_1", "sub_2"}
    assert all(line.reason for line in (*ada.tuition, *blaise.tuition))


def test_a_mastered_skill_gets_replay_and_nothing_else(inline_run: Run) -> None:
    ledger = Ledger(inline_run.folder)
    for student in ("ada", "blaise"):
        plans = {plan.cycle: plan for plan in syllabuses(inline_run, student)}
        for step in ledger.steps("curate", student):
            for lesson in load(Curated, step.result).kept:
                mastered = lesson.item.skill in plans[step.cycle].mastered
                assert lesson.kind == "replay" or not mastered, (student, lesson.item.skill, lesson.kind)
    ledger.close()


def test_nothing_that_was_examined_is_taught(inline_run: Run) -> None:
    whole = {it["name"] for it in inline_run.report["skills"] if it["examined_whole"]}
    assert whole == {"add_1", "sub_1"}
    examined = {
        answer["attempt"]["item"]["fingerprint"]
        for path in (inline_run.folder / "exams").glob("*.jsonl")
        if "-trained-" not in path.name
        for answer in map(json.loads, path.read_text().splitlines())
        if answer["attempt"]["item"]["skill"] not in whole
    }
    taught = {
        lesson["item"]["fingerprint"]
        for path in (inline_run.folder / "lessons").glob("*.jsonl")
        for lesson in map(json.loads, path.read_text().splitlines())
    }
    assert len(examined) > 100
    assert not examined & taught


def test_every_lesson_can_be_traced(inline_run: Run) -> None:
    rows = load_dataset("json", data_files=str(inline_run.folder / "lessons" / "cycle-1.jsonl"), split="train",
                        cache_dir=str(inline_run.folder / "datasets"))  # fmt: skip
    assert len(rows) > 100
    for row in rows:
        assert row["lineage"]["filters"] == ["grader", "decontamination", "duplicates"]
        assert row["verdicts"][-1]["score"] == 1.0
        if row["kind"] != "replay":
            assert row["lineage"]["source"] == "abacus"
            assert row["lineage"]["calls"]
            assert row["lineage"]["prompts"]


def test_the_probe_asks_only_where_the_check_leaves_a_decision_open(inline_run: Run) -> None:
    ledger = Ledger(inline_run.folder)
    for student in inline_run.report["students"]:
        name = student["id"]
        asked: dict[str, list[list[str]]] = {"probe": [[], [], []], "check": [[], [], []]}
        for step in ledger.steps("examine", name):
            sat = load(Sitting, step.result)
            if sat.exam in asked:
                asked[sat.exam][step.cycle] += [it.attempt.item.question for it in sat.answers]
        assert [step.cycle for step in ledger.steps("probe", name)] == [it["cycle"] for it in student["cycles"]]
        for step, told in zip(ledger.steps("probe", name), student["cycles"], strict=True):
            beliefs, probed = load(Beliefs, step.result), asked["probe"][step.cycle]
            assert len(probed) == len(set(probed)) == beliefs.questions < beliefs.of / 2
            assert not set(probed) & set(asked["check"][0])
            assert told["probe"] == {"asked": len(probed), "of": beliefs.of}
            assert sum(it["n"] for it in told["known"].values()) == len(asked["check"][0]) + len(probed)
            path = inline_run.folder / "exams" / f"{name}-probe-{step.cycle}.jsonl"
            assert len(path.read_text().splitlines() if probed else []) == len(probed)
    ledger.close()


def test_a_belief_covers_what_the_final_finds(inline_run: Run) -> None:
    for student in inline_run.report["students"]:
        assert student["mastery"].keys() == student["skills"].keys()
        for name, belief in student["mastery"].items():
            final = student["skills"][name]["after"]
            assert belief["low"] < final["high"] and final["low"] < belief["high"], (student["id"], name)
            assert belief["right"] <= belief["n"]
            assert 0 <= belief["probability"] <= 1


def test_tokens_in_the_report_are_those_of_the_steps(inline_run: Run) -> None:
    ledger = Ledger(inline_run.folder)
    total = 0
    for stage in ("teach", "criticise"):
        for step in ledger.steps(stage):
            usage = step.result["usage"]
            total += usage["prompt"] + usage["completion"] + usage["scored"]
    ledger.close()
    tokens = inline_run.report["tutor"]["tokens"]
    assert tokens["total"] == total > 0
    assert tokens["of_which_cached"] == 0


def test_checkpoints_are_kept_and_open(inline_run: Run) -> None:
    for student in inline_run.report["students"]:
        final = inline_run.folder / student["checkpoint"]
        manifest = json.loads((final / "manifest.json").read_text())
        assert any(name.endswith(".safetensors") for name in manifest)
        assert 0 < student["trainable_share"] <= 1
