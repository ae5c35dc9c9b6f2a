"""What goes on from one campaign to the next, on its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import items
import pytest

from tests.making import demonstration, make_item
from tft.config import CampaignConfig
from tft.config.cards import GraderConfig
from tft.config.reading import parse_config
from tft.earlier import Earlier, fill_students
from tft.errors import UserError
from tft.exams import Splits, Suite
from tft.inheritance import Inheritance, _to_read_again, find_earlier
from tft.ledger import Ledger
from tft.preparation import _without_taught
from tft.records import Inherited, Version


def campaign(**tuition: Any) -> CampaignConfig:
    students = [{"id": "ada", "model": "m"}]
    values = {"campaign": "c", "tutor": "t", "students": students, "curriculum": "c", "tuition": tuition}
    return parse_config(CampaignConfig, values, "f")


def test_of_every_skill_as_many_lessons_go_on_as_a_cycle_teaches() -> None:
    sums = [demonstration(f"{it}+11") for it in range(10, 90)]
    differences = [demonstration(f"{it}-10") for it in range(10, 30)]
    own = [replace(it, kind="replay") for it in differences]
    brought = Inherited((*sums, *own, *differences), (Version("first", "2026-11-22", None, (), {}),))
    kept = _to_read_again(brought, campaign(lessons=30), "ada")
    assert [sum(it.item.skill == skill for it in kept.lessons) for skill in ("add_2", "sub_2")] == [30, 20]
    assert all(it.kind == "demonstration" for it in kept.lessons)
    # In the order in which they were shown, and the same ones every time.
    assert [it for it in brought.lessons if it in kept.lessons] == list(kept.lessons)
    assert _to_read_again(brought, campaign(lessons=30), "ada") == kept
    assert kept.versions == brought.versions


def test_a_whole_exam_leaves_out_what_was_taught_but_not_the_facts_of_tables() -> None:
    asked = tuple(make_item(it) for it in ("2+3", "27+58", "58+27", "91-17"))
    taught = frozenset({items.fingerprint("3+2"), items.fingerprint("27+58")})
    suite = Suite("suite", asked, "d", "o", GraderConfig(type="numeric"))
    splits = Splits({"final": (make_item("3+2"),)}, ("add_1",))
    left = _without_taught(suite, splits, Inheritance(taught=taught))
    assert [it.question for it in left.items] == ["2+3", "91-17"]
    assert left.left_out == 2


def plant(folder: Path) -> Path:
    ledger = Ledger(folder)
    students = [{"id": name, "model": "m", "adapter": {"type": "full"}} for name in ("ada", "blaise")]
    ledger.set_fact("setting", {"campaign": "first", "config": {"students": students}, "skills": []})
    ledger.set_fact("identity", {})
    ledger.set_fact("held_out", [])
    ledger.set_fact("taught_before", [])
    for name in ("ada", "blaise"):
        ledger.set_fact(f"outcome/{name}", {"promoted_digest": None, "checkpoint": None})
    ledger.close()
    return folder


def test_students_are_filled_in_by_their_ids(tmp_path: Path) -> None:
    plant(tmp_path / "first")
    values: dict[str, Any] = {"continue_from": "first"}
    fill_students(values, tmp_path)
    assert [it["id"] for it in values["students"]] == ["ada", "blaise"]
    values = {"continue_from": "first", "students": [{"id": "blaise", "learning_rate": 0.1}, {"id": "emmy"}, 3]}
    fill_students(values, tmp_path)
    blaise, emmy, nonsense = values["students"]
    assert (blaise["model"], blaise["learning_rate"]) == ("m", 0.1)
    assert (emmy, nonsense) == ({"id": "emmy"}, 3)


def test_a_student_goes_on_with_the_switches_of_its_template(tmp_path: Path) -> None:
    # A run of before there were any has none.
    plant(tmp_path / "first")
    config = campaign().model_copy(update={"continue_from": "first"})
    assert find_earlier(config, tmp_path) is not None
    (ada,) = config.students
    loud = config.model_copy(update={"students": (ada.model_copy(update={"template": {"loud": True}}),)})
    with pytest.raises(UserError, match=r"students\.0\.template: is not what ada has in first"):
        find_earlier(loud, tmp_path)


def test_a_campaign_that_continues_none_is_left_as_it_is(tmp_path: Path) -> None:
    values: dict[str, Any] = {"students": [{"id": "ada"}]}
    fill_students(values, tmp_path)
    assert values == {"students": [{"id": "ada"}]}


def test_the_digest_names_what_can_be_taken_over(tmp_path: Path) -> None:
    one, other = Earlier(plant(tmp_path / "first")), Earlier(plant(tmp_path / "other"))
    assert one.digest == other.digest
    ledger = Ledger(tmp_path / "other")
    ledger.set_fact("outcome/ada", {"promoted_digest": "d", "checkpoint": "students/ada/final"})
    ledger.set_fact("seconds", 99.0)
    ledger.close()
    assert Earlier(tmp_path / "other").digest != one.digest


def test_a_run_that_is_not_finished_is_refused(tmp_path: Path) -> None:
    ledger = Ledger(plant(tmp_path / "first"))
    ledger.set_fact("outcome/blaise", None)
    ledger.close()
    with pytest.raises(UserError, match="not finished"):
        Earlier(tmp_path / "first")


def test_the_schema_does_not_ask_for_what_is_taken_over() -> None:
    schema = CampaignConfig.model_json_schema()
    assert schema["required"] == ["campaign", "tutor", "curriculum"]
    assert schema["$defs"]["StudentConfig"]["required"] == ["id"]
