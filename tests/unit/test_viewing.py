from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.making import setting, sitting
from tft.errors import PrerequisiteError
from tft.holding import hold
from tft.ledger import Ledger, Step
from tft.records import dump
from tft.viewing import Viewer

SETTING = setting("watched")


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


def test_a_fact_alone_is_news(viewer: Viewer, ledger: Ledger) -> None:
    for cycle, marks in ((0, "00"), (1, "10")):
        ledger.put(Step(f"{cycle}", "examine", "ada", cycle, 1.0, dump(sitting("final", add=marks))))
    before = json.loads(read(viewer, "report.json")), json.loads(read(viewer, "state"))
    ledger.set_fact("outcome/ada", {"stopped_because": "cycles", "promoted_digest": "d", "checkpoint": "c"})
    after = json.loads(read(viewer, "report.json")), json.loads(read(viewer, "state"))
    assert [it["students"][0]["skills"]["add"]["after"].get("score") for it, _ in (before, after)] == [None, 0.5]
    assert before[1]["state"] != after[1]["state"]
    assert json.loads(read(viewer, "state")) == after[1]


def test_it_asks_again_only_while_the_campaign_runs(viewer: Viewer, tmp_path: Path) -> None:
    assert "<script" not in read(viewer) and "still running" not in read(viewer)
    assert json.loads(read(viewer, "state"))["running"] is False
    with hold(tmp_path):
        state = json.loads(read(viewer, "state"))
        assert state["running"] is True
        page = read(viewer)
        assert f'<html lang="en" data-state="{state["state"]}">' in page
        assert page.count("<script>") == 1 and "refresh" not in page and "still running" in page
    assert "<script" not in read(viewer)


def test_a_browser_may_run_the_pages_own_script_and_no_other(viewer: Viewer, tmp_path: Path) -> None:
    with hold(tmp_path):
        page = read(viewer)
    script = page.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'; connect-src 'self'" in page


def test_it_serves_nothing_else(viewer: Viewer) -> None:
    for path in ("ledger.sqlite", "../secret", "config.yaml"):
        with pytest.raises(HTTPError, match="404"):
            read(viewer, path)


def test_a_port_that_is_taken_is_refused(viewer: Viewer, tmp_path: Path) -> None:
    port = int(viewer.address.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(PrerequisiteError, match="--port"):
        Viewer(tmp_path, port)
