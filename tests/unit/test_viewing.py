from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.making import sitting
from tft.errors import PrerequisiteError
from tft.ledger import Ledger, Step
from tft.records import dump
from tft.viewing import Viewer, is_running

SETTING = {
    "campaign": "watched", "seed": 7,
    "tutor": {"id": "abacus", "license": "MIT", "fingerprint": "f", "description": "d"},
    "curriculum": {"name": "arithmetic", "license": "MIT", "digest": "d", "description": "d"}, "suites": [],
    "skills": [{"name": "add", "title": "adding", "role": "taught"}], "environment": {},
    "config": {"students": [{"id": "ada", "model": "novice", "adapter": {"type": "full"}}]},
}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    ledger.set_fact("setting", SETTING)
    yield ledger
    ledger.close()


@pytest.fixture
def viewer(ledger: Ledger, tmp_path: Path) -> Iterator[Viewer]:  # noqa: ARG001
    viewer = Viewer(tmp_path)
    thread = Thread(target=viewer.serve)
    thread.start()
    yield viewer
    viewer.close()
    thread.join()


def read(viewer: Viewer, path: str = "") -> str:
    with urlopen(viewer.address + path, timeout=10) as answer:
        assert answer.headers["Cache-Control"] == "no-store"
        return str(answer.read().decode())


def test_the_page_grows_with_the_ledger(viewer: Viewer, ledger: Ledger) -> None:
    assert viewer.address.startswith("http://127.0.0.1:")
    assert "watched" in read(viewer)
    before = json.loads(read(viewer, "report.json"))
    ledger.put(Step("key", "examine", "ada", 0, 1.0, dump(sitting("final", add="10"))))
    after = json.loads(read(viewer, "report.json?again"))
    scores = [it["students"][0]["skills"]["add"]["before"].get("score") for it in (before, after)]
    assert scores == [None, 0.5]


def test_it_asks_again_only_while_the_campaign_runs(viewer: Viewer, tmp_path: Path) -> None:
    assert not is_running(tmp_path)
    assert 'http-equiv="refresh"' not in read(viewer)
    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert is_running(tmp_path)
        assert '<meta http-equiv="refresh" content="5">' in read(viewer)
    assert not is_running(tmp_path)


def test_it_serves_nothing_else(viewer: Viewer) -> None:
    for path in ("ledger.sqlite", "../secret", "config.yaml"):
        with pytest.raises(HTTPError, match="404"):
            read(viewer, path)


def test_a_port_that_is_taken_is_refused(viewer: Viewer, tmp_path: Path) -> None:
    port = int(viewer.address.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(PrerequisiteError, match="--port"):
        Viewer(tmp_path, port)
