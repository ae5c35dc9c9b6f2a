from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import items
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.making import make_item
from tft.cli import main
from tft.config import CampaignConfig
from tft.config.reading import parse_config, read_yaml
from tft.drafting import draft_campaign
from tft.earlier import Earlier
from tft.errors import UserError
from tft.exams import find_suite
from tft.ledger import Ledger, Step
from tft.library import Library, shipped
from tft.records import Answered, Attempt, Sitting, Verdict, dump
from tft.running import read_campaign
from tft.watching import Log, Logged, read_log, watch

SKILLS = ("add_2", "sub_2")


def draw(skill: str, count: int, seed: int) -> list[str]:
    found: dict[str, None] = {}
    for question in items.draw(skill, random.Random(seed)):
        found[question] = None
        if len(found) == count:
            break
    return list(found)


def answers(skill: str, count: int, right: int, seed: int) -> list[tuple[str, str]]:
    """Answer questions of a skill, the first so many right."""
    return [(it, items.work(it) if place < right else "#0") for place, it in enumerate(draw(skill, count, seed))]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a finished run whose student was right 95 times of a hundred; its curriculum lies beside its config."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    beside = tmp_path_factory.mktemp("home")
    shutil.copytree(shipped() / "curricula" / "arithmetic", beside / "curricula" / "mine")
    (beside / "mine.csv").write_text("question,answer\n1+1,2\n")
    values = {
        **read_yaml(shipped() / "configs" / "smoke.yaml"), "curriculum": "mine", "cluster": "inline",
        "exams": {"max_tokens": 96, "whole": ["mine.csv"]}, "material": ["rows.jsonl"],
        "training": {"epochs": 5, "objectives": {"feedback": {"type": "distillation", "top_k": None}}},
    }  # fmt: skip
    config = parse_config(CampaignConfig, values, "smoke.yaml")
    ledger = Ledger(folder)
    skills = [{"name": it, "title": it, "role": "taught", "curriculum": "arithmetic", "examined_whole": False}
              for it in SKILLS]  # fmt: skip
    ledger.set_fact("setting", {
        "campaign": "first", "config": config.model_dump(mode="json"), "skills": skills, "beside": str(beside),
        "tutor": {"id": "abacus", "license": None}, "curriculum": {"name": "arithmetic", "license": None},
    })  # fmt: skip
    ledger.set_fact("identity", {"contents": {}})
    ledger.set_fact("held_out", [])
    ledger.set_fact("taught_before", [])
    for name in ("ada", "blaise"):
        ledger.set_fact(f"outcome/{name}", {"promoted_digest": None, "checkpoint": None})
    marked = [
        Answered(Attempt(make_item(question), text, 3), Verdict(float(text != "#0"), "", "numeric"))
        for skill in SKILLS
        for question, text in answers(skill, 100, 95, 1)
    ]
    for cycle in (0, 1):
        ledger.put(Step(f"final {cycle}", "examine", "ada", cycle, 1.0, dump(Sitting("final", tuple(marked)))))
    ledger.close()
    return folder


def log(*rows: tuple[str, str]) -> Log:
    return Log(tuple(Logged(prompt, answer, None) for prompt, answer in rows), {})


def test_a_skill_that_fell_has_drifted_and_one_that_held_has_not(run: Path) -> None:
    found = watch(run, log(*answers("add_2", 80, 76, 2), *answers("sub_2", 80, 50, 3)), "ada")
    rows = {it["skill"]: it for it in found["skills"]}
    assert found["drifted"] == ["sub_2"]
    assert rows["sub_2"]["score"] == 0.625
    assert rows["sub_2"]["examined"] == 0.95
    assert rows["sub_2"]["corrected"] < 0.001
    assert not rows["add_2"]["drifted"]
    assert found["rows"] == 160


def test_a_skill_that_rose_has_not_drifted(run: Path) -> None:
    found = watch(run, log(*answers("add_2", 400, 400, 2)), "ada")
    assert found["skills"][0]["corrected"] < 0.05
    assert found["drifted"] == []


def test_what_was_never_examined_and_what_nobody_knows_is_told_apart(run: Path) -> None:
    found = watch(run, log(*answers("add_3", 10, 5, 2), ("What is love?", "42"), ("What is love?", "no")), "ada")
    (row,) = found["skills"]
    assert (row["skill"], row["examined"], row["p"], row["drifted"]) == ("add_3", None, None, False)
    assert found["unknown"] == {"rows": 2, "examples": ["What is love?"]}


def test_thumbs_are_counted_beside_the_grades(run: Path) -> None:
    (question, work) = answers("add_2", 1, 1, 2)[0]
    rows = (Logged(question, work, True), Logged(question, "#0", False), Logged(question, "#0", True))
    (row,) = watch(run, Log(rows, {}), "ada")["skills"]
    assert (row["liked"], row["disliked"], row["n"], row["answers"]) == (2, 1, 1, 3)


def test_a_prompt_that_is_asked_again_says_nothing_new(run: Path) -> None:
    (question, work) = answers("add_2", 1, 1, 2)[0]
    wrong = watch(run, log(*[(question, "#0")] * 1000), "ada")
    assert (wrong["drifted"], wrong["skills"][0]["n"], wrong["skills"][0]["answers"]) == ([], 1, 1000)
    # Most of its answers decide.
    (row,) = watch(run, log((question, work), (question, work), (question, "#0")), "ada")["skills"]
    assert (row["score"], row["n"]) == (1.0, 1)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_thumbs_may_be_numbers_and_what_is_none_is_counted(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    rows = [{"prompt": f"1+{place}", "answer": "#2", "thumb": it} for place, it in enumerate((1.0, 0.0, -1.0, None))]
    match suffix:
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        case ".csv":
            path.write_text(
                "prompt,answer,thumb\n1+0,#2,1.0\n1+1,#2,0.0\n1+2,#2,-1.0\n1+3,#2,\n1+4,#2,4.5\n1+5,#2,meh\n"
            )
        case _:
            extra = [
                {"prompt": "1+4", "answer": "#2", "thumb": it} for it in (True, "Up", 5, float("nan"), "👎", "meh")
            ]
            path.write_text("\n".join(map(json.dumps, [*rows, *extra])))
    read = read_log(path)
    liked = [it.liked for it in read.rows]
    assert liked[:4] == [True, False, False, None]
    assert liked[4:] == {".csv": [None, None], ".jsonl": [True, True, None, None, False, None]}.get(suffix, [])
    assert read.dropped.get("thumb", 0) == (0 if suffix == ".parquet" else 2)


def test_a_run_that_is_not_finished_is_told_by_the_name_that_was_typed(tmp_path: Path) -> None:
    Ledger(tmp_path / "begun").close()
    with pytest.raises(UserError, match="RUN: is a run that is not finished"):
        watch(tmp_path / "begun", log(("1+1", "#2")), "ada")


def test_a_student_nobody_knows_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="ada, blaise"):
        watch(run, log(("1+1", "#2")), "emmy")


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_logs_are_read_by_the_usual_names(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    rows = [{"Question": "1+1", "response": "#2", "thumb": "up"}, {"Question": "", "response": "#2", "thumb": "down"},
            {"Question": "2+2", "response": "#5", "thumb": ""}]  # fmt: skip
    if suffix == ".csv":
        lines = ["Question,response,thumb", *(",".join(it.values()) for it in rows)]
        path.write_text("\n".join(lines))
    else:
        path.write_text("\n".join([*map(json.dumps, rows), "{"]))
    read = read_log(path)
    assert read.rows == (Logged("1+1", "#2", True), Logged("2+2", "#5", None))
    assert read.dropped["empty"] == 1
    assert read.dropped.get("not_json", 0) == (suffix == ".jsonl")


@pytest.mark.parametrize(("name", "text", "message"), [
    ("log.txt", "x", "is no log"), ("log.jsonl", '{"prompt": "1"}', "it has prompt"), ("none.jsonl", None, "is no log"),
])  # fmt: skip
def test_what_is_no_log_is_refused(tmp_path: Path, name: str, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=message):
        read_log(tmp_path / name)


def test_what_drifted_is_drafted_as_a_campaign_that_continues(run: Path, tmp_path: Path) -> None:
    found = watch(run, log(*answers("add_2", 80, 76, 2), *answers("sub_2", 80, 50, 3)), "ada")
    path = draft_campaign(found, run, tmp_path / "next.yaml")
    assert "# sub_2: 62% of 80 logged prompts are answered right, 95% were in the exam" in path.read_text()
    config = read_campaign(path)
    assert (config.campaign, config.skills, config.continue_from) == ("first-next", ("sub_2",), str(run))
    assert [it.id for it in config.students] == ["ada"]
    # All else is as it was, wherever the draft lies.
    was = CampaignConfig.model_validate(Earlier(run).setting["config"])
    for part in ("training", "tuition", "threads", "cluster", "budget", "seed"):
        assert getattr(config, part) == getattr(was, part)
    assert config.exams.max_tokens == 96
    assert config.material == () and "# Left out: the material of first" in path.read_text()
    library = Library(path.parent)
    assert library.curriculum(config.curriculum)[1].name == "mine"
    assert find_suite(library, config.exams.whole[0])[1] is not None
    assert (config.tutor.use, config.students[0].model) == ("abacus", "abacus/novice-a")
    with pytest.raises(UserError, match="already"):
        draft_campaign(found, run, path)
    with pytest.raises(UserError, match="nothing has drifted"):
        draft_campaign({**found, "drifted": []}, run, tmp_path / "other.yaml")


def test_the_command_prints_and_drafts(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows: list[dict[str, Any]] = [{"prompt": a, "answer": b} for a, b in answers("sub_2", 80, 50, 3)]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"prompt": "Hi", "answer": "Hello"}]))
    asked = ["watch", str(run), str(path), "--student", "ada"]
    done = CliRunner().invoke(main, [*asked, "--draft", str(tmp_path / "n.yaml")])
    assert done.exit_code == 0, done.output
    assert "drifted: sub_2" in done.output
    assert "1 prompt the curriculum does not know, such as: Hi" in done.output
    assert (tmp_path / "n.yaml").is_file()
    told = CliRunner().invoke(main, [*asked, "--json"])
    assert json.loads(told.output)["drifted"] == ["sub_2"]
