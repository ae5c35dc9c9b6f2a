"""Runs a campaign as a user would, in a process of its own, for benchmarks that compare what became of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from tft.library import shipped

if TYPE_CHECKING:
    from pathlib import Path

QUICKSTART = shipped() / "configs" / "quickstart.yaml"
THRIFTY = shipped() / "configs" / "thrifty.yaml"


def run_campaign(config: Path, folder: Path, settings: tuple[str, ...]) -> dict[str, Any]:
    """Run a campaign to its end, or take it up where it was; give its report.

    Raises:
        SystemExit: if it does not end well, with the end of what it said.
    """
    command = [sys.executable, "-m", "tft", "run", str(config), "--out", str(folder)]
    command += [part for it in settings for part in ("--set", it)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{folder} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return found
