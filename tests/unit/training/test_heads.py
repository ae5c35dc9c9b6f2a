from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.encoders import build_encoder
from tests.learning import preferences
from tests.making import demonstration
from tft.config.adapters import HeadAdapter
from tft.config.training import TrainingConfig
from tft.errors import StageError
from tft.library import fingerprint_model
from tft.ports import Sampling
from tft.records import Lesson
from tft.student import StudentRef
from tft.student.models import attempt, open_reader
from tft.training import TrainRequest, loop, snapshots, train

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = {"+": "sum", "-": "difference", "*": "product"}
SIZES = {"+": "10", "-": "20", "*": "60"}
BODIES: tuple[Any, ...] = ("frozen", "full", {"type": "lora", "r": 4})


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> StudentRef:
    folder = build_encoder(tmp_path_factory.mktemp("bert"))
    return StudentRef("bea", str(folder), fingerprint_model(str(folder)), HeadAdapter.model_validate(
        {"task": "classifier", "body": "full"}))  # fmt: skip


def named(skill: str, count: int, names: dict[str, str]) -> list[Lesson]:
    """Make lessons whose reference speaks of the operation, and not of the result."""
    lessons = [demonstration(question) for question in islice(items.draw(skill, Random(1)), count)]
    return [
        replace(it, item=replace(it.item, reference=names[re.findall("[-+*]", it.item.question)[0]])) for it in lessons
    ]


def lessons_of(names: dict[str, str], count: int = 40) -> list[Lesson]:
    return [it for skill in ("add_2", "sub_2", "mul_2x1") for it in named(skill, count, names)]


# Sixty steps want more haste than the default peak, which is for hundreds.
HASTY = 4e-3


def request(student: StudentRef, lessons: list[Lesson], folder: Path, **changes: Any) -> TrainRequest:
    config = TrainingConfig(epochs=changes.pop("epochs", 8), batch_size=8, precision="full",
                            micro_batch=changes.pop("micro_batch", None))  # fmt: skip
    return replace(TrainRequest(student, tuple(lessons), config, None, 1.0, 3, str(folder)), **changes)


def learned(made: TrainRequest) -> StudentRef:
    return replace(made.student, checkpoint_path=made.folder_path, digest=train(made).digest)


def right(student: StudentRef, lessons: list[Lesson]) -> float:
    answers = attempt(student, [it.item for it in lessons], Sampling(8), "#")
    return sum(it.text == f"#{it.item.reference}" for it in answers) / len(answers)


@pytest.mark.parametrize("body", BODIES[1:], ids=lambda it: str(it)[:8])
def test_an_encoder_learns_to_name_operations(body: Any, bert: StudentRef, tmp_path: Path) -> None:
    every = lessons_of(NAMES)
    student = replace(bert, adapter=HeadAdapter.model_validate({"task": "classifier", "body": body}))
    taught = learned(request(student, every[::2], tmp_path / "c", learning_rate=HASTY))
    assert right(taught, every[1::2]) > 0.95
    answers = attempt(taught, [it.item for it in every[1::2]], Sampling(8))
    assert sum(it.confidence or 0 for it in answers) / len(answers) > 0.8


def test_a_label_that_comes_later_is_learned_and_the_others_stay(bert: StudentRef, tmp_path: Path) -> None:
    every = lessons_of(NAMES)
    sums, later = every[:80], every[80:]
    first = learned(request(bert, sums[::2], tmp_path / "cycle-1", learning_rate=HASTY))
    assert right(first, sums[1::2]) > 0.95
    assert right(first, later) == 0
    second = learned(request(first, [*later[::2], *sums[::2]], tmp_path / "cycle-2", epochs=4, learning_rate=HASTY))
    assert open_reader(second).model.labels == ("difference", "product", "sum")
    assert right(second, every[1::2]) > 0.95


def test_an_encoder_learns_numbers(bert: StudentRef, tmp_path: Path) -> None:
    every = lessons_of(SIZES)
    student = replace(bert, adapter=HeadAdapter.model_validate({"task": "regressor", "body": "full"}))
    taught = learned(request(student, every[::2], tmp_path / "c", epochs=16))
    answers = attempt(taught, [it.item for it in every[1::2]], Sampling(8))
    apart = [abs(float(it.text) - float(str(it.item.reference))) for it in answers]
    assert sum(apart) / len(apart) < 3


@pytest.mark.parametrize("body", BODIES, ids=lambda it: str(it)[:8])
def test_only_what_is_thawed_changes(body: Any, ada: StudentRef, tmp_path: Path) -> None:
    student = replace(ada, adapter=HeadAdapter.model_validate({"task": "reward", "body": body}))
    made = train(request(student, preferences(12), tmp_path / "c", epochs=2))
    first, last = made.measures["loss reward"]
    assert last < first
    assert made.loss_first is None, "that of a head is in nats a row, and not a token"
    assert made.trainable_share is not None
    assert (made.trainable_share == 1.0) == (body == "full")
    assert (tmp_path / "c" / "model.safetensors").is_file() == (body == "full")


def test_a_reward_head_tells_unseen_pairs_apart(ada: StudentRef, tmp_path: Path) -> None:
    student = replace(ada, adapter=HeadAdapter.model_validate({"task": "reward"}))
    pairs = preferences(40)
    reader = open_reader(learned(request(student, pairs[:24], tmp_path / "c")))
    asked, finished = [it.item.question for it in pairs[24:]], [True] * 16
    better = reader.rewards(asked, [it.answer for it in pairs[24:]], finished)
    worse = reader.rewards(asked, [str(it.rejected) for it in pairs[24:]], finished)
    assert sum(one > other for one, other in zip(better, worse, strict=True)) >= 14


def test_a_label_that_is_not_given_is_refused(bert: StudentRef, tmp_path: Path) -> None:
    task = {"type": "classifier", "labels": ["sum", "product"]}
    student = replace(bert, adapter=HeadAdapter.model_validate({"task": task}))
    with pytest.raises(StageError, match="none of the labels: difference"):
        train(request(student, lessons_of(NAMES, 4), tmp_path / "c"))


def test_a_number_that_is_none_is_refused(bert: StudentRef, tmp_path: Path) -> None:
    student = replace(bert, adapter=HeadAdapter.model_validate({"task": "regressor"}))
    with pytest.raises(StageError, match="'sum' is none"):
        train(request(student, lessons_of(NAMES, 4), tmp_path / "c"))


STAGES: dict[str, Callable[[StudentRef, StudentRef], tuple[StudentRef, list[Lesson]]]] = {
    "labels": lambda _, bert: (bert, lessons_of(NAMES, 8)),
    "numbers, LoRA": lambda _, bert: (
        replace(bert, adapter=HeadAdapter.model_validate({"task": "regressor", "body": "lora"})), lessons_of(SIZES, 8)
    ),
    "pairs, LoRA with dropout": lambda ada, _: (
        replace(ada, adapter=HeadAdapter.model_validate(
            {"task": "reward", "body": {"type": "lora", "r": 4, "dropout": 0.2}})), preferences(8)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_that_was_interrupted_ends_the_same(
    name: str, ada: StudentRef, bert: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, lessons = STAGES[name](ada, bert)
    expected = train(request(student, lessons, tmp_path / "whole", epochs=2))
    assert train(request(student, lessons, tmp_path / "again", epochs=2)).digest == expected.digest
    monkeypatch.setattr(loop, "_SNAPSHOT_EVERY", 0.0)
    taken: list[int] = []
    take = loop.Course.take

    def stop_at_the_third(course: loop.Course, loss: float) -> None:
        take(course, loss)
        taken.append(1)
        if len(taken) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop.Course, "take", stop_at_the_third)
    made = request(student, lessons, tmp_path / "killed", epochs=2)
    with pytest.raises(KeyboardInterrupt):
        train(made)
    assert snapshots._place(tmp_path / "killed").is_dir()
    assert train(made).digest == expected.digest
    assert len(taken) < 2 * expected.steps


def test_fewer_rows_in_memory_change_no_step(bert: StudentRef, tmp_path: Path) -> None:
    lessons = lessons_of(NAMES, 8)
    steps = [
        train(request(bert, lessons, tmp_path / str(size), epochs=1, micro_batch=size)).measures["loss classifier"]
        for size in (None, 3)
    ]
    assert steps[0] == pytest.approx(steps[1], rel=1e-4)


def test_activations_can_be_computed_again(ada: StudentRef, bert: StudentRef, tmp_path: Path) -> None:
    pairs = replace(ada, adapter=HeadAdapter.model_validate({"task": "reward", "body": "lora"}))
    for student, lessons in ((bert, lessons_of(NAMES, 4)), (pairs, preferences(6))):
        config = TrainingConfig(epochs=1, batch_size=8, precision="full", checkpoint_activations=True)
        ends = [
            train(replace(request(student, lessons, tmp_path / str(again)), config=it)).measures
            for again, it in enumerate((config, config.model_copy(update={"checkpoint_activations": False})))
        ]
        assert ends[0]["loss " + student.adapter.task.type] == pytest.approx(  # type: ignore[union-attr]
            ends[1]["loss " + student.adapter.task.type], rel=1e-3  # type: ignore[union-attr]
        )  # fmt: skip


def test_chance_decides_how_layers_begin(bert: StudentRef, tmp_path: Path) -> None:
    digests = {
        train(request(bert, lessons_of(NAMES, 4), tmp_path / str(seed), epochs=1, seed=seed)).digest for seed in (1, 2)
    }
    assert len(digests) == 2
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize(("body", "again"), [("frozen", False), ("full", True)])
def test_a_body_that_does_not_learn_computes_nothing_again(
    body: str, again: bool, bert: StudentRef, tmp_path: Path
) -> None:
    student = replace(bert, adapter=HeadAdapter.model_validate({"task": "classifier", "body": body}))
    learner = loop.open_learner(request(student, lessons_of(NAMES, 2), tmp_path))
    learner.checkpoint_activations()
    assert learner._base.is_activation_checkpointing is again
