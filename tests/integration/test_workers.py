"""A campaign whose student is trained by two workers of Ray Train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Run, comparable, run

SMALL = (
    "students=[{id: ada, model: abacus/novice-a, adapter: {type: lora, r: 8}}]",
    "skills=[add_1, sub_1, sub_2]", "tuition.cycles=1", "tuition.lessons=60", "training.epochs=2",
)  # fmt: skip


def without_last_bits(value: Any) -> Any:
    """Round numbers, so that the last bit of a sum is no difference."""
    if isinstance(value, dict):
        return {name: without_last_bits(it) for name, it in value.items()}
    if isinstance(value, list):
        return [without_last_bits(it) for it in value]
    return pytest.approx(value, rel=1e-2, abs=1e-3) if isinstance(value, float) else value


def test_two_workers_end_with_the_report_of_one(tmp_path: Path) -> None:
    one = run(tmp_path / "one", tmp_path / "cache", "cluster=inline", *SMALL)
    two = run(tmp_path / "two", tmp_path / "cache", "training.workers=2", *SMALL)
    mine, theirs = report(one), report(two)
    assert theirs == without_last_bits(mine)
    assert theirs["students"][0]["trained_tokens"] > 0
    assert not list((two.folder / "students" / "ada").glob(".*"))


def report(run: Run) -> dict[str, Any]:
    left = comparable(run.report)
    del left["config"]["training"]["workers"]
    return left
