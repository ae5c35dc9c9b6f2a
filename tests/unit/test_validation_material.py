"""Material is looked at before anything is taught: what is wrong has its key and value, what is not is counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import items
import pytest
import yaml

from tft.validation import validate

CAMPAIGN: dict[str, Any] = {
    "campaign": "mine",
    "tutor": "abacus",
    "students": [{"id": "ada", "model": "abacus/novice-a"}],
    "curriculum": "arithmetic",
    "skills": ["add_1", "add_2"],
    "exams": {"probe": 8, "check": 8, "final": 8},
}


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFT_DATA", raising=False)


def lines(path: Path, *rows: Any) -> None:
    path.write_text("\n".join(it if isinstance(it, str) else json.dumps(it) for it in rows))


def write(folder: Path, *material: Any, **changes: Any) -> Path:
    good = [{"prompt": f"{a}+{a}", "completion": items.work(f"{a}+{a}")} for a in range(10, 40)]
    lines(folder / "good.jsonl", *good)
    lines(folder / "chats.jsonl", {"prompt": "Hi", "completion": "Ho"})
    lines(folder / "verdicts.jsonl", {"prompt": "15+17", "completion": "#3", "label": False})
    lines(folder / "bad.jsonl", "{", {"text": "x"})
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({**CAMPAIGN, **changes, "material": list(material)}))
    return path


def test_sound_material_is_counted_by_what_became_of_its_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "good.jsonl", {"path": "chats.jsonl", "verify": "trust", "skill": "manners"})
    lines(tmp_path / "good.jsonl", "{", *(tmp_path / "good.jsonl").read_text().split("\n"))
    checked = validate(path)
    assert checked.problems == ()
    good, chats = checked.resolved["material"].values()
    assert (good["looked_at"], good["skills"]) == ("all 31 rows", {"add_2": good["lessons"]})
    assert good["rejected"]["not_json"] == 1
    assert good["first_rejected"].startswith("good.jsonl, row 1: is not JSON")
    assert (chats["skills"], chats["trusted"]) == ({"manners": 1}, 1)
    json.dumps(checked.as_record())


PLANTED: dict[str, tuple[Any, str, str, str]] = {
    "nowhere": ({"path": "nowhere.jsonl"}, "path", "nowhere.jsonl", "no such file"),
    "nothing good": ({"path": "bad.jsonl"}, "path", "bad.jsonl", "1 no_format, 1 not_json"),
    "another format": ({"path": "good.jsonl", "format": "alpaca"}, "path", "good.jsonl", "lacks instruction"),
    "nobody's word": ({"path": "chats.jsonl"}, "path", "chats.jsonl", "unverified"),
    "a typo": ({"path": "good.jsonl", "skill": "ad_2"}, "skill", "ad_2", "is no skill"),
    "a skill that is kept": ({"path": "good.jsonl", "skill": "add_1"}, "skill", "add_1", "never taught"),
    "no such column": ({"path": "good.jsonl", "columns": {"promt": "q"}}, "columns", "promt", "no column"),
    "no such format": ({"path": "good.jsonl", "format": "alpacca"}, "format", "alpacca", "must be"),
    "nothing at all": ({"skill": "add_2"}, "path", "None", "says nowhere"),
    "cycles that go back": ({"path": "good.jsonl", "cycles": [2, 1]}, "cycles", "[2, 1]", "must go up"),
    "no cycles": ({"path": "good.jsonl", "cycles": []}, "cycles", "[]", "must go up"),
    "a cycle that never comes": ({"path": "good.jsonl", "cycles": [1, 9]}, "cycles", "[1, 9]", "never comes"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_has_its_file_key_value_and_remedy(tmp_path: Path, name: str) -> None:
    entry, key, value, said = PLANTED[name]
    path = write(
        tmp_path, {"path": "chats.jsonl", "verify": "trust"} if name != "nobody's word" else "good.jsonl", entry
    )
    (problem,) = validate(path).problems
    assert (problem.file, problem.key, problem.value) == (str(path), f"material.1.{key}", value)
    assert said in problem.message
    assert problem.remedy


def test_verdicts_want_an_objective_that_learns_from_them(tmp_path: Path) -> None:
    path = write(tmp_path, "verdicts.jsonl")
    (problem,) = validate(path).problems
    assert (problem.key, problem.value) == ("training.objectives.preference.type", "dpo")
    assert "kto" in (problem.remedy or "")
    assert validate(path, ["training.objectives.preference=kto"]).problems == ()


def head(task: Any) -> dict[str, Any]:
    return {"id": "emmy", "model": "abacus/novice-b", "adapter": {"type": "head", "task": task}}


@pytest.mark.parametrize(("file", "task"), [
    ("good.jsonl", "reward"), ("pairs.jsonl", "classifier"), ("pairs.jsonl", "regressor"),
    ("good.jsonl", {"type": "classifier", "labels": ["sum"]}), ("chats.jsonl", "classifier"),
])  # fmt: skip
def test_what_no_head_can_learn_from_is_refused(tmp_path: Path, file: str, task: Any) -> None:
    trusted = {"path": file, "verify": "trust"} if file == "chats.jsonl" else file
    path = write(tmp_path, trusted, students=[head(task)])
    lines(tmp_path / "pairs.jsonl", {"prompt": "15+17", "chosen": items.work("15+17"), "rejected": "#3"})
    (problem,) = [it for it in validate(path).problems if (it.key or "").startswith("material")]
    assert (problem.key, problem.value) == ("material.0", file)
    assert "nothing that a head of these students can learn from" in problem.message
    # A student that writes can.
    both = write(tmp_path, trusted, students=[head(task), *CAMPAIGN["students"]])
    assert not [it for it in validate(both).problems if (it.key or "").startswith("material")]


def test_a_file_is_named_once(tmp_path: Path) -> None:
    (problem,) = validate(write(tmp_path, "good.jsonl", "good.jsonl")).problems
    assert (problem.key, problem.value) == ("material.1", "good.jsonl")


def test_of_a_large_file_only_the_beginning_is_looked_at(tmp_path: Path) -> None:
    path = write(tmp_path, "good.jsonl")
    text = (tmp_path / "good.jsonl").read_text()
    (tmp_path / "good.jsonl").write_text(text + "\n" + f"{text}\n" * 5_000)
    assert validate(path).resolved["material"]["good.jsonl"]["looked_at"] == "the first 500 rows"


@pytest.mark.parametrize(("row", "sound"), [({"prompt": "2*3", "completion": "#6"}, True), ({"text": "x"}, False)])
def test_a_beginning_without_lessons_is_no_mistake_where_it_can_be_read(
    tmp_path: Path, row: dict[str, str], sound: bool
) -> None:
    path = write(tmp_path, "good.jsonl")
    rows = [{**row, "id": place} for place in range(600)]
    lines(tmp_path / "good.jsonl", *rows)
    assert (validate(path).problems == ()) is sound


def test_an_item_source_that_raises_is_a_problem(tmp_path: Path) -> None:
    place = tmp_path / "curricula" / "mine"
    place.mkdir(parents=True)
    card = {
        "curriculum": "mine",
        "description": "d",
        "items": "items.py",
        "grader": "exact",
        "skills": {"add_2": {"title": "t"}},
    }
    (place / "curriculum.yaml").write_text(yaml.safe_dump(card))
    (place / "items.py").write_text(
        "def draw(skill, rng):\n    yield from map(str, range(10**6))\n"
        "def classify(question):\n    return 'add_2', 1, str(int(question))\n"
        "def fingerprint(question):\n    return question\n"
    )
    path = write(tmp_path, {"path": "chats.jsonl", "verify": "trust"}, curriculum="mine", skills=None)
    (problem,) = validate(path).problems
    assert problem.key == "material.0.path"
    assert "raised ValueError" in problem.message


def test_the_hub_is_not_asked(tmp_path: Path) -> None:
    path = write(tmp_path, {"path": "nowhere.jsonl", "hub": "some/sums"})
    checked = validate(path)
    assert checked.problems == ()
    told = checked.resolved["material"]["nowhere.jsonl"]["looked_at"]
    assert told == "nothing: hub:some/sums is read when the campaign begins"
