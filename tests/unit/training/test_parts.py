"""A step may go through memory in parts, and is what it was."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.learning import move, practices, preferences, setting, tutor_of
from tests.making import demonstration
from tft.config.adapters import FullAdapter, LoraAdapter
from tft.config.training import (
    DistillationConfig,
    DPOConfig,
    GRPOConfig,
    KTOConfig,
    PPOConfig,
    RLOOConfig,
    SupervisedConfig,
    TrainingConfig,
)
from tft.engines.transformers import TransformersEngine, load_model
from tft.student import StudentRef
from tft.training import ClassRequest, TrainRequest, loop, train, train_together
from tft.training import learner as room
from tft.training.distillation import Distillation
from tft.training.dpo import DPO
from tft.training.grpo import GRPO
from tft.training.kto import KTO
from tft.training.learner import Learner
from tft.training.objective import Setting, Step
from tft.training.ppo import PPO
from tft.training.rloo import RLOO
from tft.training.rows import encode
from tft.training.supervised import Supervised
from tft.tutor import Scorer

ANSWERS = [demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 8)]
HOT: dict[str, Any] = {"temperature": 1.5, "group": 4}

pytestmark = pytest.mark.usefixtures("one_thread")


def first(objective: Any, lessons: Any) -> Step:
    """Take the first step of the first unit."""
    return next(iter(objective.steps(objective.units(lessons, Random(1))[0])))


STEPS: dict[str, Callable[[Setting], tuple[Any, Step]]] = {
    "supervised": lambda told: pair(Supervised(SupervisedConfig(), told), ANSWERS),
    "dpo": lambda told: pair(DPO(DPOConfig(loss="ipo", supervised=0.5), told), preferences(4)),
    "kto": lambda told: pair(KTO(KTOConfig(), told), preferences(4)),
    "grpo": lambda told: pair(GRPO(GRPOConfig(kl=0.1, normalize="rows", **HOT), told), practices(6)),
    "rloo": lambda told: pair(RLOO(RLOOConfig(**HOT), told), practices(6)),
    "ppo": lambda told: pair(PPO(PPOConfig(minibatches=1, **HOT), told), practices(6)),
    "reverse divergence": lambda told: pair(Distillation(DistillationConfig(top_k=8), told), practices(7)),
    "sampled": lambda told: pair(Distillation(DistillationConfig(divergence="sampled"), told), practices(7)),
}


def pair(objective: Any, lessons: Any) -> tuple[Any, Step]:
    return objective, first(objective, lessons)


@pytest.fixture(scope="module")
def abacus(novice: Path) -> Scorer:
    return Scorer(tutor_of(TransformersEngine(*load_model(novice.parent / "weights"), "weights")))


def request(student: StudentRef, folder: Path, lessons: Any = (), **options: Any) -> TrainRequest:
    config = TrainingConfig(epochs=1, batch_size=8, precision="full", **options)
    return TrainRequest(student, tuple(lessons), config, 3e-3, 1.0, 3, str(folder))


def backward(
    told: Setting, step: Step, ada: StudentRef, beside: list[torch.nn.Parameter], micro_batch: int | None
) -> tuple[float, torch.Tensor]:
    """Give loss and gradient of a step as the loop takes it."""
    course = loop.Course(request(ada, Path("nowhere"), micro_batch=micro_batch), told.learner)
    weights = [*told.learner.weights, *beside]
    for weight in weights:
        weight.grad = None
    loss = loop._backward(course, step)
    return loss, torch.cat([it.grad.flatten() for it in weights if it.grad is not None])


@pytest.mark.parametrize("make", STEPS.values(), ids=STEPS.keys())
def test_a_step_in_parts_has_the_gradient_of_the_whole(
    make: Callable[[Setting], tuple[Any, Step]], unsure: Learner, abacus: Scorer, ada: StudentRef,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    told = setting(unsure, scorer=abacus, batch_size=24)
    objective, step = make(told)
    beside = [weight for module in objective.modules for weight in module.parameters()]
    move(unsure.model, 0.01, seed=2)
    sizes: list[int] = []
    predict = Learner.predict

    def seen(learner: Learner, rows: Any) -> Any:
        sizes.append(len(rows))
        return predict(learner, rows)

    monkeypatch.setattr(Learner, "predict", seen)
    whole, slope = backward(told, step, ada, beside, None)
    assert sizes == [len(step.rows)] and len(step.rows) >= 4
    for micro_batch in (1, 3, 1000):
        sizes.clear()
        loss, found = backward(told, step, ada, beside, micro_batch)
        assert sum(sizes) == len(step.rows)
        # Pairs are never parted.
        assert max(sizes) == {1: step.together, 3: 2 if step.together == 2 else 3, 1000: len(step.rows)}[micro_batch]
        assert all(size % step.together == 0 for size in sizes)
        assert loss == pytest.approx(whole, rel=1e-5, abs=1e-6)
        assert (found - slope).norm() < 1e-5 * slope.norm()


def forgetful(monkeypatch: pytest.MonkeyPatch, error: Exception, most: int, times: int = 1000) -> list[int]:
    """Let memory run out where more rows are read at once."""
    predict, failed = Learner.predict, []

    def reading(learner: Learner, rows: Any) -> Any:
        if len(rows) > most and len(failed) < times and torch.is_grad_enabled():
            failed.append(len(rows))
            raise error
        return predict(learner, rows)

    monkeypatch.setattr(Learner, "predict", reading)
    return failed


ERRORS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to "
                 "allocate 8 bytes"),
]  # fmt: skip
out_of_memory = pytest.mark.parametrize("error", ERRORS, ids=["gpu", "cpu"])


@out_of_memory
@pytest.mark.parametrize("adapter", [FullAdapter(), LoraAdapter(r=4, dropout=0.2)], ids=["full", "lora with dropout"])
def test_where_memory_runs_out_fewer_rows_are_in_it(
    error: Exception, adapter: Any, ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = replace(ada, adapter=adapter)
    lessons = [demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 24)]
    # Chance goes back to where the step began, so that what is left out is what smaller parts would have left out.
    expected = train(request(student, tmp_path / "small", lessons, micro_batch=4))
    with monkeypatch.context() as patch:
        failed = forgetful(patch, error, 4)
        made = train(request(student, tmp_path / "short", lessons))
    assert failed == [8]
    assert made.digest == expected.digest
    assert made.measures["micro_batch"] == (4, 4)
    assert made.steps == 3
    whole = train(request(student, tmp_path / "whole", lessons))
    assert "micro_batch" not in whole.measures
    if adapter.type == "full":
        assert whole.loss_last == pytest.approx(made.loss_last, abs=1e-4)


def test_it_is_halved_until_it_fits(ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = train(request(ada, tmp_path / "small", ANSWERS, micro_batch=2))
    failed = forgetful(monkeypatch, ERRORS[0], 2)
    made = train(request(ada, tmp_path / "short", ANSWERS))
    assert failed == [8, 4]
    assert made.digest == expected.digest


def test_what_was_added_up_before_is_not_added_twice(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Memory runs out in the second part of the first step.
    expected = train(request(ada, tmp_path / "small", ANSWERS, micro_batch=2))
    predict, seen = Learner.predict, []

    def reading(learner: Learner, rows: Any) -> Any:
        seen.append(len(rows))
        if len(seen) == 2:
            raise ERRORS[1]
        return predict(learner, rows)

    monkeypatch.setattr(Learner, "predict", reading)
    made = train(request(ada, tmp_path / "short", ANSWERS, micro_batch=4))
    assert seen == [4, 4, 2, 2, 2, 2]
    assert made.digest == expected.digest


class Kept:
    """One tensor that a backward pass needs."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor.detach()


class Backwards:
    """Lets memory really run out in the backward pass of more rows, and counts what is kept of earlier passes."""

    def __init__(self, patch: pytest.MonkeyPatch, most: int) -> None:
        self.read: list[tuple[int, int]] = []
        """Rows, and tensors that were alive when they were read."""
        self.made: list[weakref.ref[Kept]] = []
        predict = Learner.predict

        def reading(learner: Learner, rows: Any) -> Any:
            self.read.append((len(rows), sum(it() is not None for it in self.made)))
            with torch.autograd.graph.saved_tensors_hooks(self._keep, lambda kept: kept.tensor):
                found = predict(learner, rows)
            if len(rows) <= most:
                return found
            # Its gradient would be of the wide one.
            return replace(found, states_NH=found.states_NH.expand(2**40, -1, -1)[0])

        patch.setattr(Learner, "predict", reading)

    def _keep(self, tensor: torch.Tensor) -> Kept:
        kept = Kept(tensor)
        self.made.append(weakref.ref(kept))
        return kept


def test_nothing_of_a_backward_pass_that_failed_is_kept(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train(request(ada, tmp_path / "small", ANSWERS, micro_batch=2))
    watch = Backwards(monkeypatch, 2)
    made = train(request(ada, tmp_path / "short", ANSWERS))
    assert watch.read == [(8, 0), (4, 0), (2, 0), (2, 0), (2, 0), (2, 0)]
    assert len(watch.made) > 100
    assert made.digest == expected.digest


def test_a_gpu_has_its_memory_back_before_smaller_parts_are_tried(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = Backwards(monkeypatch, 4)
    alive: list[tuple[int, bool]] = []

    def give_back() -> None:
        gradients = any(weight.grad is not None for weight in course.learner.weights)
        alive.append((sum(it() is not None for it in watch.made), gradients))

    monkeypatch.setattr(loop, "give_back", give_back)
    asked = request(ada, tmp_path / "short", ANSWERS)
    course = loop.Course(asked, loop.open_learner(asked))
    loop.learn(course)
    assert alive == [(0, False)]


def test_nothing_is_kept_in_a_classroom_either(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = replace(ada, adapter=LoraAdapter(r=4))
    seats = tuple(request(student, tmp_path / name, ANSWERS) for name in ("one", "two"))
    watch = Backwards(monkeypatch, 8)
    train_together(ClassRequest(seats))
    assert watch.read == [(16, 0), (8, 0), (8, 0)]
    assert len(watch.made) > 100


@pytest.mark.parametrize("students", [1, 2], ids=["alone", "classroom"])
def test_what_was_told_in_a_try_that_failed_is_told_once(
    students: int, ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[dict[str, int]] = []
    end = loop.Course.end

    def ending(course: loop.Course, digest: str) -> Any:
        told.append({name: len(values) for name, values in course.measures.items()})
        return end(course, digest)

    monkeypatch.setattr(loop.Course, "end", ending)
    # The loss has told how many pairs are preferred before the backward pass runs out.
    Backwards(monkeypatch, 2 * students)
    student = replace(ada, adapter=LoraAdapter(r=4))
    seats = tuple(request(student, tmp_path / f"{place}", preferences(8)) for place in range(students))
    found = train_together(ClassRequest(seats)).checkpoints if students > 1 else (train(seats[0]),)
    assert told == [{"micro_batch": 2, "preferred": 8, "loss preference": 2}] * students
    assert [it.measures["micro_batch"] for it in found] == [(4, 2)] * students


@out_of_memory
def test_what_does_not_fit_at_all_is_said(
    error: Exception, ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = forgetful(monkeypatch, error, 0)
    with pytest.raises(type(error), match="allocate"):
        train(request(ada, tmp_path / "cycle-1", ANSWERS))
    assert failed == [8, 4, 2, 1]
    assert list(tmp_path.iterdir()) == []


def test_pairs_that_do_not_fit_are_not_parted(ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = forgetful(monkeypatch, ERRORS[0], 0)
    with pytest.raises(torch.OutOfMemoryError):
        train(request(ada, tmp_path / "cycle-1", preferences(4)))
    assert failed == [8, 4, 2]


def test_other_errors_are_no_lack_of_memory(ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = forgetful(monkeypatch, RuntimeError("shapes do not fit"), 0)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(request(ada, tmp_path / "cycle-1", ANSWERS))
    assert failed == [8]


def test_chunks_of_the_vocabulary_give_the_same_student(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(request(ada, tmp_path / "whole", ANSWERS))
    monkeypatch.setattr(room, "_CHUNK", 64 * 5)
    cut = train(request(ada, tmp_path / "cut", ANSWERS))
    assert cut.loss_last == pytest.approx(whole.loss_last, rel=1e-6)
    rows = encode(ANSWERS, load_model(ada.base_path)[1])
    said = [Learner(*load_model(tmp_path / name, training=True)).predict(rows).logprobs() for name in ("whole", "cut")]
    assert torch.allclose(said[0], said[1], atol=1e-3)
