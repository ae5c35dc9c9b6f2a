from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import items
import pytest

from tft.config.cards import GraderConfig
from tft.config.suites import SuiteCard
from tft.errors import UserError
from tft.exams import Suite, open_suite, read_suite
from tft.graders import make_grader
from tft.library import Library

SKILLS = ("add_1", "add_2", "sub_2", "mul_1")
ROWS = [
    {"answer": "Two and two <<2+2=4>>4, then <<27 + 58=85>>85 in all.\n#### 85"},
    {"answer": "Nothing is calculated here."},
    {"answer": "Half: <<48/2=24>>24; <<0.5*3=1.5>>; <<1+2+3=6>>; <<123+1=124>>; <<3*4=12>>"},
]


def card(**values: Any) -> SuiteCard:
    data = {"path": "steps.jsonl", "license": "MIT", **values.pop("data", {})}
    return SuiteCard.model_validate({
        "exam": "steps",
        "caption": "single steps",
        "data": data,
        "extract": {"field": "answer", "pattern": "<<(?P<question>[^<>]*?)=(?P<reference>[^<>=]*)>>"},
        "grader": "numeric",
        "groups": {"decimals": r".*\.\d.*", "division": ".*/.*", "rest": ".*"},
        **values,
    })  # fmt: skip


def write(folder: Path, rows: list[dict[str, Any]], name: str = "steps.jsonl") -> Path:
    path = folder / name
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    return path


def read(folder: Path, rows: list[dict[str, Any]], **values: Any) -> Suite:
    write(folder, rows)
    return read_suite(card(**values), folder, items, SKILLS)


def test_every_match_in_every_row_is_an_item(tmp_path: Path) -> None:
    suite = read(tmp_path, ROWS)
    found = [(item.question, item.reference) for item in suite.items]
    assert found == [("2+2", "4"), ("27+58", "85"), ("48/2", "24"), ("0.5*3", "1.5"), ("1+2+3", "6"), ("123+1", "124"),
                     ("3*4", "12")]  # fmt: skip
    assert suite.missing is None
    assert suite.origin == "steps.jsonl"
    assert suite.digest is not None and len(suite.digest) == 64
    assert {(item.skill, item.level, item.source) for item in suite.items} == {("steps", 0, "steps.jsonl")}


def test_covered_is_what_the_curriculum_teaches_or_expects(tmp_path: Path) -> None:
    groups = {item.question: item.groups for item in read(tmp_path, ROWS).items}
    assert groups["2+2"] == ("covered", "covered: add_1")
    assert groups["27+58"] == ("covered", "covered: add_2")
    assert groups["3*4"] == ("covered", "covered: mul_1")
    # Three digits can be named, but are not among the skills.
    assert groups["123+1"] == ("uncovered", "uncovered: rest")


def test_the_first_group_that_matches_counts(tmp_path: Path) -> None:
    groups = {item.question: item.groups for item in read(tmp_path, ROWS).items}
    assert groups["48/2"] == ("uncovered", "uncovered: division")
    assert groups["0.5*3"] == ("uncovered", "uncovered: decimals")
    assert groups["1+2+3"] == ("uncovered", "uncovered: rest")


def test_a_question_in_no_group_is_only_uncovered(tmp_path: Path) -> None:
    suite = read(tmp_path, ROWS, groups={})
    assert {item.groups for item in suite.items if item.question == "48/2"} == {("uncovered",)}


def test_fingerprints_are_the_curriculum_s_own(tmp_path: Path) -> None:
    prints = {item.question: item.fingerprint for item in read(tmp_path, ROWS).items}
    assert prints["27+58"] == items.fingerprint("58 + 27")


def test_data_that_is_nowhere_is_a_reason_not_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFT_DATA", raising=False)
    suite = read_suite(card(), tmp_path, items, SKILLS)
    missing = "steps.jsonl was not found beside the suite or below $TFT_DATA"
    assert suite == Suite("steps", (), None, None, GraderConfig(type="numeric"), missing=missing)


class Hub:
    """A hub that answers, or does not, without a network."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self.reachable = True
        self.readable = True
        monkeypatch.delenv("TFT_DATA", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", self._info)
        monkeypatch.setattr("datasets.load_dataset", self._load)

    def _info(self, *_: Any, timeout: float) -> None:
        self.asked.append("whether it is there")
        assert timeout < 10
        if not self.reachable:
            raise ConnectionError("no route")

    def _load(self, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
        self.asked.append((arguments, options))
        if not self.readable:
            raise ValueError("no such split")
        return ROWS


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    return Hub(monkeypatch)


def read_from_hub(folder: Path) -> Suite:
    return read_suite(card(data={"hub": "some/set", "config": "main"}), folder, items, SKILLS)


def test_rows_of_the_hub_are_read_like_lines(tmp_path: Path, hub: Hub) -> None:
    suite = read_from_hub(tmp_path)
    assert hub.asked == ["whether it is there", (("some/set", "main"), {"split": "test", "revision": None})]
    assert (len(suite.items), suite.origin, suite.digest, suite.missing) == (7, "hub:some/set", None, None)


def test_a_hub_that_cannot_be_reached_is_a_reason_and_asked_only_once(tmp_path: Path, hub: Hub) -> None:
    hub.reachable = False
    suite = read_from_hub(tmp_path)
    assert suite.items == ()
    assert suite.missing is not None
    assert suite.missing.endswith("and some/set could not be read from the hub (ConnectionError)")
    assert hub.asked == ["whether it is there"]


def test_a_set_that_cannot_be_read_is_a_reason_too(tmp_path: Path, hub: Hub) -> None:
    hub.readable = False
    missing = read_from_hub(tmp_path).missing
    assert missing is not None and missing.endswith("(ValueError)")


def test_offline_only_what_was_fetched_before_is_read(
    tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert len(read_from_hub(tmp_path).items) == 7
    assert len(hub.asked) == 1


def test_what_lies_beside_the_suite_comes_before_the_hub(tmp_path: Path, hub: Hub) -> None:
    write(tmp_path, ROWS[:1])
    assert len(read_from_hub(tmp_path).items) == 2
    assert hub.asked == []


@pytest.mark.parametrize(("text", "message"), [
    (b'{"answer": "<<1+1=2>>"}\n{broken\n', "row 2 is not JSON"),
    (b"\n[1]\n", "row 2 is not an object of named fields"),
    (b'{"question": "?"}\n', "no text in the field 'answer'"),
    (b'{"answer": 7}\n', "no text in the field 'answer'"),
    (b'{"answer": "\xff"}\n', "row 1 is not UTF-8"),
])  # fmt: skip
def test_data_of_another_form_is_the_user_s_to_mend(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "steps.jsonl").write_bytes(text)
    with pytest.raises(UserError, match=message):
        read_suite(card(), tmp_path, items, SKILLS)


def test_blank_lines_and_line_separators_inside_a_string_break_no_row(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_bytes('{"answer": "a\u2028b\x85 <<1+1=2>>"}\r\n\r\n'.encode())
    assert [item.question for item in read_suite(card(), tmp_path, items, SKILLS).items] == ["1+1"]


def test_the_calculator_steps_of_gsm8k_are_those_the_docs_speak_of() -> None:
    data = os.environ.get("TFT_DATA")
    if not data or not (Path(data) / "gsm8k" / "test.jsonl").is_file():
        pytest.skip("the GSM8K test set is not shipped; put it at $TFT_DATA/gsm8k/test.jsonl")
    library = Library()
    suite_card, folder = open_suite(library, "gsm8k_calculator_steps")
    curriculum, _ = library.curriculum("arithmetic")
    expected = [name for name, skill in curriculum.skills.items() if skill.role != "stretch"]
    suite = read_suite(suite_card, folder, items, expected)
    covered = [item for item in suite.items if "covered" in item.groups]
    tables = {f"covered: {table}" for table in ("add_1", "sub_1", "mul_1")}
    single = [item for item in covered if tables & set(item.groups)]
    assert (len(suite.items), len(covered), len(single)) == (4282, 2344, 656)
    # 62 of them write their result as 16.00; what is asked is covered all the same.
    whole = [item for item in covered if (item.reference or "").isdecimal()]
    assert (len(whole), sum(item in single for item in whole)) == (2282, 629)
    grader = make_grader(suite.grader)
    assert all(grader.grade(item, items.work(item.question)).passed for item in covered)
