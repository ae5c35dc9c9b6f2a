"""A campaign that is stopped anywhere goes on with the same command, to the same report."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Run, command, comparable, run


def stop_at(folder: Path, stage: str, how: signal.Signals, *settings: str) -> int:
    """Start a run, and stop it with a signal as soon as a step of a stage stands in its ledger."""
    process = subprocess.Popen(
        command(folder, folder.parent / "cache", *settings), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    events = folder / "events.jsonl"
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if events.is_file() and any(json.loads(line)["stage"] == stage for line in whole_lines(events)):
            os.kill(process.pid, how)
            break
        time.sleep(0.05)
    return process.wait(timeout=120)


def whole_lines(path: Path) -> list[str]:
    text = path.read_text()
    return text[: text.rfind("\n") + 1].splitlines()


@pytest.mark.parametrize("stage", ["examine", "teach", "train"])
def test_a_killed_run_continues_to_the_same_report(stage: str, tmp_path: Path, inline_run: Run) -> None:
    code = stop_at(tmp_path / "run", stage, signal.SIGKILL, "cluster=inline")
    assert code == -signal.SIGKILL
    resumed = run(tmp_path / "run", tmp_path / "cache", "cluster=inline")
    assert comparable(resumed.report) == comparable(inline_run.report)


@pytest.mark.parametrize("stage", ["teach", "curate"])
def test_an_interrupted_run_says_so_and_continues(stage: str, tmp_path: Path, inline_run: Run) -> None:
    code = stop_at(tmp_path / "run", stage, signal.SIGINT, "cluster=inline")
    assert code == 130
    resumed = run(tmp_path / "run", tmp_path / "cache", "cluster=inline")
    assert comparable(resumed.report) == comparable(inline_run.report)


def test_a_run_killed_under_ray_continues_to_the_same_report(tmp_path: Path, inline_run: Run) -> None:
    assert stop_at(tmp_path / "run", "train", signal.SIGKILL) == -signal.SIGKILL
    resumed = run(tmp_path / "run", tmp_path / "cache")
    assert comparable(resumed.report) == comparable(inline_run.report)


def test_a_finished_run_does_nothing_again(inline_run: Run) -> None:
    before, report = (inline_run.folder / "events.jsonl").read_text(), inline_run.report
    again = run(inline_run.folder, inline_run.folder.parent / "cache", "cluster=inline")
    assert (again.folder / "events.jsonl").read_text() == before
    assert again.report["seconds"] == report["seconds"]


def test_a_finished_run_needs_no_cluster(inline_run: Run) -> None:
    again = run(inline_run.folder, inline_run.folder.parent / "cache", "cluster={type: ray, address: '127.0.0.1:1'}")
    assert comparable(again.report) == comparable(inline_run.report)


def test_time_that_is_over_undoes_nothing(inline_run: Run, tmp_path: Path) -> None:
    shutil.copytree(inline_run.folder, tmp_path / "run")
    late = run(tmp_path / "run", inline_run.folder.parent / "cache", "cluster=inline", "budget.hours=0.0001")
    assert late.report["limit_reached"] is None
    assert late.report["students"] == inline_run.report["students"]


def test_another_config_is_refused_with_the_keys(inline_run: Run) -> None:
    changed = command(inline_run.folder, inline_run.folder.parent / "cache", "cluster=inline", "training.epochs=2")
    done = subprocess.run(changed, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "training.epochs" in done.stderr
    assert "--fork" in done.stderr
    assert "Traceback" not in done.stderr
