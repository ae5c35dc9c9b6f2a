"""A campaign whose tutor is on a real vLLM: it teaches, and what was answered once is not asked again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.remote import needs_vllm
from tft.library import shipped

ENGINE = {"type": "vllm", "dtype": "float32", "eager": True, "sequences": 64, "cpu_cache_gib": 1, "block_size": 32}

pytestmark = needs_vllm


def run(folder: Path, name: str) -> dict[str, Any]:
    config = yaml.safe_load((shipped() / "configs" / "smoke.yaml").read_text())
    config["tutor"] = {"use": "abacus", "engine": ENGINE}
    config["students"] = config["students"][1:]
    config["tuition"] = {"cycles": 1, "lessons": 64}
    config["training"] = {"epochs": 1}
    config["cache"] = str(folder / "cache")
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(config))
    command = [sys.executable, "-m", "tft", "run", str(path), "--out", str(folder / name)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads((folder / name / "report.json").read_text())
    return report


def test_it_teaches_and_is_not_asked_twice(tmp_path: Path) -> None:
    first, again = run(tmp_path, "first"), run(tmp_path, "again")
    assert first["tutor"]["engine"] == "vllm"
    assert first["students"][0]["lessons"]["demonstration"] > 32
    assert first["tutor"]["tokens"]["of_which_cached"] == 0
    assert again["tutor"]["tokens"]["of_which_cached"] == again["tutor"]["tokens"]["total"] > 0
    # The same answers, the same report, but for the time it took and where the answers came from.
    for report in (first, again):
        for key in ("seconds", "time"):
            del report[key]
        del report["tutor"]["tokens"]["of_which_cached"]
    assert again["students"] == first["students"]
    assert again["curation"] == first["curation"]
