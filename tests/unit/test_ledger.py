from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tft.errors import PrerequisiteError, StageError
from tft.ledger import Ledger, Step

STEP = Step("k1", "examine", "ada", 1, 0.5, {"answers": ["#85", "ü"], "sat": True})
texts = st.text(st.characters(exclude_categories=("Cs",)))
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "run")
    yield opened
    opened.close()


def test_a_step_that_was_written_is_there_and_no_other(ledger: Ledger) -> None:
    assert ledger.get("k1") is None
    ledger.put(STEP)
    assert ledger.get("k1") == STEP
    assert ledger.get("k2") is None


def test_another_session_finds_what_the_first_left(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    first.put(STEP)
    first.set_fact("seconds", 12.5)
    # No close: the session may have died.
    second = Ledger(tmp_path)
    assert second.get("k1") == STEP
    assert second.fact("seconds") == 12.5
    second.put(replace(STEP, key="k2", result=[2]))
    second.close()
    assert [step.key for step in first.steps("examine")] == ["k1", "k2"]
    first.close()


@settings(max_examples=25)
@given(values)
def test_any_json_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    ledger = Ledger(tmp_path_factory.mktemp("run"))
    ledger.put(replace(STEP, result=value))
    step = ledger.get("k1")
    ledger.close()
    assert step is not None
    assert step.result == value


def test_a_key_is_written_once(ledger: Ledger) -> None:
    ledger.put(STEP)
    with pytest.raises(StageError, match="cannot be written"):
        ledger.put(replace(STEP, result="another"))
    assert ledger.get("k1") == STEP
    assert len(list(ledger.steps("examine"))) == 1


@pytest.mark.parametrize("where", [0, 0.5, 1])
def test_a_flipped_bit_is_refused_not_used(ledger: Ledger, tmp_path: Path, where: float) -> None:
    ledger.put(replace(STEP, result=["long enough"] * 50))
    ledger.put(replace(STEP, key="k2"))
    base = sqlite3.connect(tmp_path / "run" / "ledger.sqlite", isolation_level=None)
    (blob,) = base.execute("SELECT result FROM steps WHERE key = 'k1'").fetchone()
    changed = bytearray(blob)
    changed[round(where * (len(blob) - 1))] ^= 1
    base.execute("UPDATE steps SET result = ? WHERE key = 'k1'", (bytes(changed),))
    base.close()
    with pytest.raises(StageError, match=r"damaged: the result of examine \(student ada, cycle 1\)"):
        ledger.get("k1")
    with pytest.raises(StageError, match="damaged"):
        list(ledger.steps("examine"))
    assert ledger.get("k2") is not None


def test_steps_are_read_in_the_order_they_were_written(ledger: Ledger) -> None:
    for number, (stage, student, cycle) in enumerate(
        [("train", "ada", 2), ("train", "ada", 1), ("train", "blaise", 1), ("teach", "", 0)]
    ):
        ledger.put(Step(f"k{number}", stage, student, cycle, 1.5, number))
    assert [step.result for step in ledger.steps("train")] == [0, 1, 2]
    assert [step.result for step in ledger.steps("train", "ada")] == [0, 1]
    assert [step.result for step in ledger.steps("train", cycle=1)] == [1, 2]
    assert [step.result for step in ledger.steps("train", "ada", 1)] == [1]
    assert list(ledger.steps("examine")) == []
    assert ledger.busy_seconds() == {"train": 4.5, "teach": 1.5}


def test_facts_can_be_mended(ledger: Ledger) -> None:
    assert ledger.fact("seconds") is None
    ledger.set_fact("seconds", 1)
    ledger.set_fact("seconds", [2, {"a": None}])
    assert ledger.fact("seconds") == [2, {"a": None}]


def test_events_say_the_same_a_line_a_step(ledger: Ledger, tmp_path: Path) -> None:
    ledger.put(STEP, "3 of 4 right", {"ada/examine/check/all": 0.75})
    ledger.event("note", text="ü")
    first, second = map(json.loads, (tmp_path / "run" / "events.jsonl").read_text(encoding="utf-8").splitlines())
    assert first.pop("written") > 0
    assert first == {
        "event": "step", "key": "k1", "stage": "examine", "student": "ada", "cycle": 1, "seconds": 0.5,
        "note": "3 of 4 right", "metrics": {"ada/examine/check/all": 0.75},
    }  # fmt: skip
    assert second == {"event": "note", "text": "ü"}


@pytest.mark.parametrize("torn", [b'{"event": "st', b'{"event": "note", "text": "' + b"x" * 10_000])
@pytest.mark.parametrize("before", [0, 1])
def test_a_line_that_was_cut_short_is_taken_away(ledger: Ledger, tmp_path: Path, torn: bytes, before: int) -> None:
    events = tmp_path / "run" / "events.jsonl"
    for _ in range(before):
        ledger.event("note", text="whole")
    with events.open("ab") as file:
        file.write(torn)
    ledger.event("note", text="next")
    lines = [json.loads(line)["text"] for line in events.read_bytes().splitlines()]
    assert lines == ["whole"] * before + ["next"]


def test_a_folder_that_cannot_be_made_is_a_prerequisite(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(PrerequisiteError, match=r"cannot be used: .*--out"):
            Ledger(folder)


@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")
@pytest.mark.parametrize("text", ["in the way of a folder", "not a database, whatever its name may say" * 20])
def test_a_ledger_that_is_none_is_a_prerequisite(tmp_path: Path, text: str) -> None:
    if "folder" in text:
        (tmp_path / "ledger.sqlite").mkdir()
    else:
        (tmp_path / "ledger.sqlite").write_text(text)
    with pytest.raises(PrerequisiteError, match="cannot be used"):
        Ledger(tmp_path)


def test_a_step_that_cannot_be_written_ends_the_stage(ledger: Ledger, tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / "run" / "ledger.sqlite", isolation_level=None)
    base.execute("DROP TABLE steps")
    base.close()
    with pytest.raises(StageError, match="run the same command again"):
        ledger.put(STEP)


def test_events_that_cannot_be_written_end_it_too(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "run" / "events.jsonl").mkdir()
    with pytest.raises(StageError, match="run the same command again"):
        ledger.put(STEP)
    # What was done is not done twice.
    assert ledger.get("k1") == STEP


def test_digests_name_what_a_stage_came_to(ledger: Ledger) -> None:
    assert (ledger.digests("examine"), ledger.last_day()) == ([], "")
    ledger.put(replace(STEP, key="k2"))
    ledger.put(replace(STEP, seconds=9.0))
    (one, same), (two, again) = ledger.digests("examine")
    assert (one, two) == ("k1", "k2") and same == again
    assert len(ledger.last_day().split("-")) == 3
