"""Objectives of somebody else: the examples of the documents, as they stand there."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import items
import pytest

from tests.making import demonstration
from tft import plugins
from tft.config.training import TrainingConfig
from tft.training import TrainRequest, train

if TYPE_CHECKING:
    from tft.student import StudentRef

ROOT = Path(__file__).parents[3]


@pytest.fixture
def _documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the examples be found by their names in lower case."""
    found: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), re.DOTALL):
        exec(compile(code, "docs/training.md", "exec"), found)
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda group, name: found.get(name.capitalize()) or load(group, name))


@pytest.mark.usefixtures("one_thread", "_documented")
def test_the_objective_for_pairs_learns_as_often_as_it_is_told(ada: StudentRef, tmp_path: Path) -> None:
    lessons = tuple(
        replace(demonstration(question), kind="preference", rejected="#0")
        for question in islice(items.draw("sub_2", Random(1)), 24)
    )
    config = TrainingConfig.model_validate(
        {"batch_size": 8, "precision": "full",
         "objectives": {"preference": {"type": "margin", "epochs": 2, "options": {"margin": 40.0}}}}
    )  # fmt: skip
    made = train(TrainRequest(ada, lessons, config, 1e-3, 1.0, 3, str(tmp_path / "cycle-1")))
    assert made.steps == 12
    first, last = made.measures["loss preference"]
    assert last < first


@pytest.mark.usefixtures("one_thread", "_documented")
def test_the_objective_for_answers_learns_and_tells_of_itself(ada: StudentRef, tmp_path: Path) -> None:
    lessons = tuple(map(demonstration, islice(items.draw("sub_2", Random(1)), 24)))
    config = TrainingConfig.model_validate(
        {"batch_size": 8, "epochs": 3, "precision": "full", "objectives": {"answers": "focal"}}
    )
    made = train(TrainRequest(ada, lessons, config, 1e-3, 1.0, 3, str(tmp_path / "cycle-1")))
    first, last = made.measures["loss answers"]
    assert last < first
    assert made.measures["unsure"][1] < made.measures["unsure"][0]
