from __future__ import annotations

import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.making import demonstration
from tft.config.adapters import FullAdapter, LoraAdapter, PrefixAdapter
from tft.config.optimizers import (
    AdafactorConfig,
    AdamW8bitConfig,
    AdamWConfig,
    MuonConfig,
    SGDConfig,
)
from tft.config.training import TrainingConfig
from tft.errors import PrerequisiteError
from tft.student import StudentRef
from tft.student.models import adapt
from tft.training import ClassRequest, TrainRequest, train, train_together
from tft.training.learner import Learner
from tft.training.optimizers import Optimizers, peak_of

LESSONS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 32))

pytestmark = pytest.mark.usefixtures("one_thread")


def request(student: StudentRef, folder: Path, optimizer: Any, **changes: Any) -> TrainRequest:
    config = TrainingConfig(epochs=5, batch_size=8, precision="full", optimizer=optimizer)
    return replace(TrainRequest(student, LESSONS, config, None, 1.0, 3, str(folder)), **changes)


@pytest.mark.parametrize("kind", ["adamw", "adamw_8bit", "adafactor", "muon", "sgd"])
@pytest.mark.parametrize("adapter", [FullAdapter(), LoraAdapter(r=16)], ids=["full", "lora"])
def test_every_optimiser_learns_at_its_default_rate(kind: str, adapter: Any, ada: StudentRef, tmp_path: Path) -> None:
    if kind == "adamw_8bit":
        pytest.importorskip("bitsandbytes", reason="the extra [qlora] is not installed")
    made = train(request(replace(ada, adapter=adapter), tmp_path / "cycle-1", kind))
    assert made.loss_first is not None and made.loss_last is not None
    # Of few lessons; gradient descent is the slowest.
    assert made.loss_last < (0.8 if kind == "sgd" else 0.6) * made.loss_first


def test_the_default_is_plain_adamw() -> None:
    assert TrainingConfig().optimizer == TrainingConfig(optimizer="adamw").optimizer == AdamWConfig(betas=(0.9, 0.98))  # type: ignore[arg-type]
    one, other = (torch.nn.Parameter(torch.ones(3, 2)) for _ in range(2))
    ours = Optimizers(AdamWConfig(), [one], [], 0.01)
    ours.set_rate(0.1)
    plain = torch.optim.AdamW([other], lr=0.1, betas=(0.9, 0.98), weight_decay=0.01, fused=True)
    for number in range(3):
        for weight in (one, other):
            weight.grad = torch.full((3, 2), 0.5 * number - 0.7)
        ours.step()
        plain.step()
    assert torch.equal(one, other)
    assert one.grad is None
    assert peak_of("adamw", "full") == peak_of("adamw_8bit", "lora") == 1.0


@pytest.mark.parametrize("adapter", [FullAdapter(), LoraAdapter(r=4), PrefixAdapter(tokens=2)], ids=lambda it: it.type)
def test_muon_moves_matrices_and_adamw_what_is_looked_up(adapter: Any, ada: StudentRef) -> None:
    learner = Learner(*adapt(replace(ada, adapter=adapter), 1))
    parts = Optimizers(MuonConfig(), learner.weights, learner.tables, 0.0)._members
    sizes = {type(it).__name__: [len(weight.shape) for weight in it.param_groups[0]["params"]] for it in parts}
    match adapter.type:
        case "full":
            # Embeddings, which are the head too, and nine norms.
            assert sizes == {"Muon": [2] * 28, "AdamW": [2, *[1] * 9]}
        case "lora":
            assert sizes == {"Muon": [2] * 56}
        case _:
            assert sizes == {"AdamW": [2]}


def test_what_it_keeps_is_what_was_promised() -> None:
    # As docs/training.md says: numbers a weight of a matrix.
    kept = {}
    for config in (AdamWConfig(), AdafactorConfig(), MuonConfig(), SGDConfig(), SGDConfig(momentum=0.0)):
        weight = torch.nn.Parameter(torch.ones(64, 128))
        optimizers = Optimizers(config, [weight], [], 0.0)
        weight.grad = torch.ones_like(weight)
        optimizers.step()
        tensors, _ = optimizers.state()
        kept[config.type] = sum(it.numel() for it in tensors.values()) / weight.numel()
    assert kept == pytest.approx({"adamw": 2.0, "adafactor": 0.0, "muon": 1.0, "sgd": 0.0}, abs=0.03)


def test_without_bitsandbytes_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(PrerequisiteError, match=r"extra \[qlora\]"):
        Optimizers(AdamW8bitConfig(), [torch.nn.Parameter(torch.ones(2))], [], 0.0)


@pytest.mark.parametrize("kind", ["muon", "adafactor", "sgd"])
def test_a_classroom_has_an_optimiser_a_student(kind: str, ada: StudentRef, tmp_path: Path) -> None:
    student = replace(ada, adapter=LoraAdapter(r=4))
    seats = [
        request(student, tmp_path / name, kind, seed=seed, learning_rate=3e-3 * peak_of(kind, "lora"))
        for name, seed in (("one", 1), ("two", 2))
    ]
    together = train_together(ClassRequest(tuple(seats))).checkpoints
    for seat, made in zip(seats, together, strict=True):
        alone = train(replace(seat, folder_path=f"{seat.folder_path}-alone"))
        assert made.steps == alone.steps
        assert made.loss_last == pytest.approx(alone.loss_last, rel=2e-2)
