"""A classroom against training alone: each student learns what it would have learned by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import items
import pytest
import torch
from safetensors.torch import load_file

from tests.halves import build, student
from tests.making import demonstration
from tft.config.adapters import FullAdapter, LoraAdapter
from tft.config.cards import GraderConfig
from tft.config.training import TrainingConfig
from tft.errors import StageError
from tft.student.models import open_student
from tft.training import ClassRequest, TrainRequest, classroom, loop, seat, train, train_together

if TYPE_CHECKING:
    from tft.records import Lesson
    from tft.student import StudentRef

pytestmark = pytest.mark.usefixtures("one_thread")
LORA = LoraAdapter(r=8)


def lessons(skill: str, count: int, kind: str = "demonstration") -> tuple[Lesson, ...]:
    made = [demonstration(question) for question in islice(items.draw(skill, Random(1)), count)]
    rejected = {"rejected": "#0"} if kind == "preference" else {}
    return tuple(replace(it, id=f"{kind} {it.id}", kind=kind, **rejected) for it in made)  # type: ignore[arg-type]


def requests(ada: StudentRef, folder: Path, **options: Any) -> list[TrainRequest]:
    """Three students that differ in everything that may differ."""
    config = TrainingConfig(epochs=2, batch_size=8, precision="full", **options)
    grader = GraderConfig(type="numeric", marker="#")
    own = [
        (lessons("sub_2", 20), 3e-3),
        (lessons("add_3", 12) + lessons("add_2", 9, "practice"), 5e-3),
        (lessons("mul_2x1", 9) + lessons("sub_2", 10, "preference"), 1e-3),
    ]
    return [
        TrainRequest(replace(ada, id=f"s{place}", adapter=LORA), mine, config, rate, 1.0, place,
                     str(folder / str(place)), 24, grader)
        for place, (mine, rate) in enumerate(own)
    ]  # fmt: skip


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[float]]:
    """Write down the loss of every step of every student."""
    found: dict[str, list[float]] = {}
    take = loop.Course.take

    def taking(course: loop.Course, loss: float) -> None:
        found.setdefault(course._request.student.id, []).append(loss)
        take(course, loss)

    monkeypatch.setattr(loop.Course, "take", taking)
    return found


def weights(folder: Path) -> torch.Tensor:
    return torch.cat([weight.flatten() for weight in load_file(folder / "adapter_model.safetensors").values()])


@pytest.mark.parametrize(
    "options",
    [{}, {"micro_batch": 4}, {"checkpoint_activations": True}],
    ids=["whole steps", "in parts", "activations computed again"],
)
def test_every_step_is_that_of_a_student_alone(
    options: dict[str, Any], ada: StudentRef, tmp_path: Path, steps: dict[str, list[float]]
) -> None:
    alone = [train(it) for it in requests(ada, tmp_path / "alone", **options)]
    losses = {name: list(found) for name, found in steps.items()}
    steps.clear()
    together = train_together(ClassRequest(tuple(requests(ada, tmp_path / "together", **options)))).checkpoints
    for place, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert steps[f"s{place}"] == pytest.approx(losses[f"s{place}"], rel=2e-4, abs=1e-5)
        assert (one.steps, one.trained_tokens_by_skill) == (other.steps, other.trained_tokens_by_skill)
        assert one.trainable_share == other.trainable_share
        mine, theirs = weights(tmp_path / "alone" / str(place)), weights(tmp_path / "together" / str(place))
        assert (mine - theirs).norm() < 2e-3 * mine.norm()
    configs = [(tmp_path / how / "0" / "adapter_config.json").read_text() for how in ("alone", "together")]
    assert configs[0] == configs[1]


def test_as_on_a_gpu_no_addition_is_put_into_a_weight(
    ada: StudentRef, tmp_path: Path, steps: dict[str, list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = requests(ada, tmp_path / "alone")[1:]
    for it in alone:
        train(it)
    losses = dict(steps)
    steps.clear()
    monkeypatch.setattr(classroom, "may_merge", lambda _: False)
    monkeypatch.delattr(classroom.Classroom, "_weights")
    train_together(ClassRequest(tuple(requests(ada, tmp_path / "together")[1:])))
    assert steps.keys() == losses.keys()
    for name, found in steps.items():
        assert found == pytest.approx(losses[name], rel=2e-4, abs=1e-5)


def test_eight_students_learn_side_by_side_what_each_learns_alone(
    ada: StudentRef, tmp_path: Path, steps: dict[str, list[float]]
) -> None:
    skills = ("add_1", "add_2", "add_3", "sub_1", "sub_2", "sub_3", "mul_1", "mul_2x1")
    (one, *_) = requests(ada, tmp_path)

    def eight(folder: Path) -> list[TrainRequest]:
        return [
            replace(one, student=replace(one.student, id=f"s{place}"), lessons=lessons(skill, 10 + place), seed=place,
                    learning_rate=1e-3 * (1 + place), folder_path=str(folder / str(place)))
            for place, skill in enumerate(skills)
        ]  # fmt: skip

    for it in eight(tmp_path / "alone"):
        train(it)
    losses = {name: list(found) for name, found in steps.items()}
    steps.clear()
    train_together(ClassRequest(tuple(eight(tmp_path / "together"))))
    assert len({tuple(found) for found in losses.values()}) == 8
    for place in range(8):
        # Two passes over 10 to 17 lessons, 8 a step.
        assert len(losses[f"s{place}"]) == 2 * -(-(10 + place) // 8)
        assert steps[f"s{place}"] == pytest.approx(losses[f"s{place}"], rel=2e-4, abs=1e-5)
        mine, theirs = (weights(tmp_path / how / str(place)) for how in ("alone", "together"))
        assert (mine - theirs).norm() < 2e-3 * mine.norm()


def two(folder: Path, **changes: Any) -> list[TrainRequest]:
    """Two students of a T5 whose config says what is given."""
    base = build(folder / "t5")
    config = json.loads((base / "config.json").read_text())
    told = {name: value for name, value in {**config, **changes}.items() if value is not None}
    (base / "config.json").write_text(json.dumps(told))
    (one, other, _) = requests(replace(student(base), adapter=LORA), folder)
    return [replace(one, lessons=one.lessons[:9]), replace(other, lessons=one.lessons[9:])]


def test_students_of_a_base_with_dropout_sit_alone(tmp_path: Path) -> None:
    assert [len(group) for group in seat([(it, it) for it in two(tmp_path)])] == [2]
    chancy = two(tmp_path, dropout_rate=0.1)
    assert [len(group) for group in seat([(it, it) for it in chancy])] == [1, 1]
    with pytest.raises(StageError, match="dropout"):
        train_together(ClassRequest(tuple(chancy)))


def test_dropout_that_only_the_family_knows_is_found_with_the_model(
    tmp_path: Path, steps: dict[str, list[float]]
) -> None:
    # A T5 whose file does not say it has a tenth.
    for it in two(tmp_path / "alone", dropout_rate=None):
        train(it)
    losses = {name: list(found) for name, found in steps.items()}
    steps.clear()
    chancy = two(tmp_path / "together", dropout_rate=None)
    assert [len(group) for group in seat([(it, it) for it in chancy])] == [2]
    train_together(ClassRequest(tuple(chancy)))
    assert steps == losses


def test_students_whose_head_learns_too_are_trained_one_by_one(ada: StudentRef, tmp_path: Path) -> None:
    def ask(folder: Path) -> list[TrainRequest]:
        headed = LoraAdapter(r=4, targets=("q_proj", "lm_head"))
        return [replace(it, student=replace(it.student, adapter=headed)) for it in requests(ada, folder)]

    alone = [train(it).digest for it in ask(tmp_path / "alone")]
    together = train_together(ClassRequest(tuple(ask(tmp_path / "together"))))
    assert [it.digest for it in together.checkpoints] == alone


def test_a_class_is_taken_up_where_it_was(ada: StudentRef, tmp_path: Path) -> None:
    first = requests(ada, tmp_path / "first")
    found = train_together(ClassRequest(tuple(first))).checkpoints
    again = [
        replace(it, student=replace(it.student, checkpoint_path=made.path, digest=made.digest),
                folder_path=f"{it.folder_path}-2")
        for it, made in zip(first, found, strict=True)
    ]  # fmt: skip
    alone = train(replace(again[0], folder_path=str(tmp_path / "alone")))
    later = train_together(ClassRequest(tuple(again))).checkpoints
    mine, theirs = weights(Path(alone.path)), weights(Path(later[0].path))
    assert (mine - theirs).norm() < 2e-3 * mine.norm()
    student = replace(first[0].student, checkpoint_path=later[0].path, digest=later[0].digest)
    assert len(open_student(student).logprobs([[5, 6, 7]])[0]) == 2


def test_who_fits_together_sits_together(ada: StudentRef, tmp_path: Path) -> None:
    one, other, third = requests(ada, tmp_path)
    others = [
        replace(other, student=replace(other.student, adapter=adapter))
        for adapter in (FullAdapter(), LoraAdapter(r=4), LoraAdapter(r=8, dropout=0.1), LoraAdapter(r=8, dora=True))
    ]
    elsewhere = replace(third, student=replace(third.student, base="another"))
    groups = seat([(it, it) for it in (one, *others, third, elsewhere)])
    assert [len(group) for group in groups] == [2, 1, 1, 1, 1, 1]
    assert [who for who, _ in groups[0]] == [one, third]
    with pytest.raises(StageError, match="cannot share a classroom"):
        train_together(ClassRequest((one, elsewhere)))


def test_memory_that_runs_out_parts_everybodys_step(
    ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_together(ClassRequest(tuple(requests(ada, tmp_path / "whole")))).checkpoints
    predict, failed = loop.Learner.predict, []

    def short_of_memory(learner: Any, rows: Any) -> Any:
        if len(rows) > 12 and torch.is_grad_enabled() and not failed:
            failed.append(len(rows))
            raise torch.OutOfMemoryError("none left")
        return predict(learner, rows)

    monkeypatch.setattr(loop.Learner, "predict", short_of_memory)
    parted = train_together(ClassRequest(tuple(requests(ada, tmp_path / "parted")))).checkpoints
    assert failed
    for one, other in zip(whole, parted, strict=True):
        assert one.steps == other.steps and "micro_batch" in other.measures
        assert (weights(Path(one.path)) - weights(Path(other.path))).norm() < 2e-3 * weights(Path(one.path)).norm()
