from __future__ import annotations

import fcntl
from pathlib import Path
from threading import Event, Thread, Timer

import pytest

from tft.errors import PrerequisiteError
from tft.holding import hold, is_held


def test_two_processes_do_not_run_the_same_directory(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(PrerequisiteError, match="is being run by another process"), hold(tmp_path):
        pass
    with hold(tmp_path):
        pass


def test_it_is_held_only_while_somebody_runs_it(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    with hold(tmp_path):
        assert is_held(tmp_path)
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_who_looks_is_not_in_the_way_of_who_begins(tmp_path: Path) -> None:
    (tmp_path / ".lock").touch()
    with (tmp_path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        Timer(0.2, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with hold(tmp_path):
            assert is_held(tmp_path)


def test_a_run_begins_however_often_others_look(tmp_path: Path) -> None:
    ended = Event()

    def look() -> None:
        while not ended.is_set():
            is_held(tmp_path)

    threads = [Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(50):
            with hold(tmp_path):
                assert is_held(tmp_path)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
