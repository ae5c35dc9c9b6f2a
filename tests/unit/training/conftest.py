"""What the tests of training share: the student that ships, ready to learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.learning import move
from tft.engines.transformers import load_model
from tft.training import loop
from tft.training.learner import Learner


@pytest.fixture
def learner(novice: Path) -> Learner:
    return Learner(*load_model(novice, training=True))


@pytest.fixture
def unsure(learner: Learner) -> Learner:
    """Give one that is sometimes right and sometimes wrong."""
    move(learner.model, 0.05)
    return learner


@pytest.fixture
def taught(monkeypatch: pytest.MonkeyPatch) -> list[Learner]:
    """Keep hold of every student that is trained."""
    found: list[Learner] = []

    class Kept(Learner):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            found.append(self)

    monkeypatch.setattr(loop, "Learner", Kept)
    return found
