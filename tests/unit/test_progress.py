from __future__ import annotations

import io
import json

import pytest

from tft import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_pipe_gets_one_line_a_stage() -> None:
    stream = io.StringIO()
    with progress.make_watch(False, stream) as watch:
        watch.began("probe", "ada", 1)
        assert stream.getvalue() == ""
        watch.ended("probe", "ada", 1, 2.34, "3 of 4 right")
        watch.ended("teach", "", 0, 0.0, "")
    first, second = stream.getvalue().splitlines()
    assert first.split() == ["0:00", "cycle", "1", "ada", "probe", "3", "of", "4", "right", "(2.3", "s)"]
    assert second.split() == ["0:00", "·", "teach"]


def test_json_is_one_object_an_event() -> None:
    stream = io.StringIO()
    with progress.make_watch(True, stream) as watch:
        watch.began("teach", "", 0)
        watch.ended("teach", "", 0, 1.23456, "9 tokens → kept")
    began, ended = map(json.loads, stream.getvalue().splitlines())
    assert began.pop("elapsed") <= ended.pop("elapsed")
    assert began == {"event": "began", "stage": "teach", "student": None, "cycle": 0}
    assert ended == {
        "event": "ended", "stage": "teach", "student": None, "cycle": 0, "seconds": 1.235, "note": "9 tokens → kept",
    }  # fmt: skip


def test_json_wins_over_a_terminal() -> None:
    stream = Terminal()
    with progress.make_watch(True, stream) as watch:
        watch.began("train", "ada", 1)
    assert json.loads(stream.getvalue())["stage"] == "train"


def test_a_terminal_shows_what_runs_and_keeps_what_is_done() -> None:
    stream = Terminal()
    with progress.make_watch(False, stream) as watch:
        watch.began("train", "ada", 1)
        watch.began("train", "blaise", 1)
        watch.ended("train", "ada", 1, 4.0, "loss [1.0] → [0.1]")
        watch.ended("plan", "ada", 2, 0.0, "teaches add_2")
    text = stream.getvalue()
    assert "loss [1.0] → [0.1]" in text
    assert "teaches add_2" in text
    assert "blaise" in text


def test_a_watch_ends_with_what_it_watches() -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), progress.make_watch(False, stream) as watch:
        watch.began("train", "ada", 1)
        raise KeyboardInterrupt
    assert isinstance(watch, progress.LiveWatch)
    assert not watch._progress.live.is_started


def test_elapsed_is_minutes_and_seconds() -> None:
    assert progress._line(125.9, "sit", "ada", 3, 0.04, "note").startswith("  2:05  cycle 3  ada")
