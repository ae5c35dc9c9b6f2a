"""An objective of somebody else: the example of the documents, as it stands there."""

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


@pytest.mark.usefixtures("one_thread")
def test_the_objective_of_the_documents_learns(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "training.md").read_text(), re.DOTALL)
    found: dict[str, Any] = {}
    exec(compile(code, "docs/training.md", "exec"), found)
    load = plugins.load
    monkeypatch.setattr(plugins, "load", lambda group, name: found["Margin"] if name == "margin" else load(group, name))
    lessons = tuple(
        replace(demonstration(question), kind="preference", rejected="#0")
        for question in islice(items.draw("sub_2", Random(1)), 24)
    )
    config = TrainingConfig.model_validate(
        {"batch_size": 8, "precision": "full",
         "objectives": {"preference": {"type": "margin", "options": {"margin": 40.0}}}}
    )  # fmt: skip
    made = train(TrainRequest(ada, lessons, config, 1e-3, 1.0, 3, str(tmp_path / "cycle-1")))
    assert made.steps == 6
    first, last = made.measures["loss preference"]
    assert last < first
