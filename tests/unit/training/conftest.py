"""What the tests of training share: the student that ships, ready to learn."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.learning import move
from tft.engines.transformers import load_model
from tft.training.learner import Learner


@pytest.fixture
def learner(novice: Path) -> Learner:
    return Learner(*load_model(novice, training=True))


@pytest.fixture
def unsure(learner: Learner) -> Learner:
    """Give one that is sometimes right and sometimes wrong."""
    move(learner.model, 0.05)
    return learner
