"""What the tests of losses share: the student that ships, ready to learn, and TRL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.learning import move, tutor_of
from tft.engines.transformers import TransformersEngine, load_model
from tft.training.learner import Learner
from tft.tutor import Scorer


@pytest.fixture
def learner(novice: Path) -> Learner:
    return Learner(*load_model(novice, training=True))


@pytest.fixture
def unsure(learner: Learner) -> Learner:
    """Give one that is sometimes right and sometimes wrong."""
    move(learner.model, 0.05)
    return learner


@pytest.fixture(scope="module")
def abacus(novice: Path) -> TransformersEngine:
    return TransformersEngine(*load_model(novice.parent / "weights"), "weights")


@pytest.fixture
def scorer(abacus: TransformersEngine) -> Scorer:
    return Scorer(tutor_of(abacus))


@pytest.fixture(scope="session")
def trl() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
        patch.setenv("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
        yield pytest.importorskip("trl", reason="TRL is not installed: pip install 'tutorial-fine-tuning[trl]'")


@pytest.fixture
def configure(tmp_path: Path) -> Callable[..., Any]:
    """Give a way to make the config of a trainer of TRL that changes nothing but what is asked for."""

    def make(kind: Callable[..., Any], **options: Any) -> Any:
        make_it = partial(kind, output_dir=str(tmp_path), report_to="none", use_cpu=True, bf16=False)
        return make_it(activation_checkpointing=False, **options)

    return make
