"""Whole campaigns on ``configs/smoke.yaml``, each run once for all tests that look at it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tft.library import shipped

SMOKE = shipped() / "configs" / "smoke.yaml"


@dataclass(frozen=True)
class Run:
    """A finished run directory."""

    folder: Path

    @property
    def report(self) -> dict[str, Any]:
        return json.loads((self.folder / "report.json").read_text())


def command(folder: Path, cache: Path, *settings: str) -> list[str]:
    """Give the command a user would type."""
    chosen = [part for setting in (f"cache={cache}", *settings) for part in ("--set", setting)]
    return [sys.executable, "-m", "tft", "run", str(SMOKE), "--out", str(folder), *chosen]


def run(folder: Path, cache: Path, *settings: str) -> Run:
    """Run the smoke campaign to its end."""
    done = subprocess.run(command(folder, cache, *settings), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return Run(folder)


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    """Leave out what DESIGN leaves out of a comparison: times, what came from a cache, and where it ran."""
    left = json.loads(json.dumps(report))
    del left["seconds"], left["time"], left["tutor"]["tokens"]["of_which_cached"]
    del left["config"]["cluster"], left["config"]["cache"]
    return left


@pytest.fixture(scope="session")
def ray_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("ray")
    return run(folder / "run", folder / "cache")


@pytest.fixture(scope="session")
def inline_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("inline")
    return run(folder / "run", folder / "cache", "cluster=inline")
