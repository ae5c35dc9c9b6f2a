from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.learning import practices, preferences
from tests.making import demonstration
from tft.config.adapters import BottleneckAdapter, FullAdapter, LoraAdapter, PrefixAdapter
from tft.config.campaign import TransformersEngineConfig
from tft.config.cards import GraderConfig
from tft.config.optimizers import AdafactorConfig, AdamW8bitConfig, MuonConfig, SGDConfig
from tft.config.training import (
    DistillationConfig,
    DPOConfig,
    GRPOConfig,
    KTOConfig,
    ObjectivesConfig,
    PPOConfig,
    TrainingConfig,
)
from tft.student import StudentRef
from tft.training import TrainRequest, loop, snapshots, train
from tft.tutor import TutorRef

ANSWERS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 12))
LORA, DROPOUT = LoraAdapter(r=4), LoraAdapter(r=4, dropout=0.2)
HOT = {"temperature": 2.0, "group": 4}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def abacus(novice: Path, tmp_path: Path) -> TutorRef:
    folder = novice.parent
    return TutorRef(str(folder / "tutor.yaml"), str(folder / "weights"), "weights", TransformersEngineConfig(),
                    str(tmp_path / "cache"))  # fmt: skip


Make = Callable[..., TrainRequest]


@pytest.fixture
def make(ada: StudentRef, abacus: TutorRef) -> Make:
    """Give a way to make a request of some objectives."""

    def request(folder: Path, lessons: Any = ANSWERS, adapter: Any = LORA, **objectives: Any) -> TrainRequest:
        config = TrainingConfig(
            epochs=2, batch_size=8, precision="full", optimizer=objectives.pop("optimizer", "adamw"),
            objectives=ObjectivesConfig(**objectives),
        )  # fmt: skip
        return TrainRequest(
            replace(ada, adapter=adapter), tuple(lessons), config, 3e-3, 1.0, 3, str(folder), 24,
            GraderConfig(type="numeric", marker="#"), abacus,
        )  # fmt: skip

    return request


STAGES: dict[str, dict[str, Any]] = {
    "supervised, with dropout": {"adapter": DROPOUT},
    "supervised, prefix": {"adapter": PrefixAdapter(tokens=2)},
    "supervised, bottleneck": {"adapter": BottleneckAdapter(width=4)},
    "dpo": {"lessons": preferences(10), "adapter": DROPOUT, "preference": DPOConfig()},
    "kto": {"lessons": preferences(10), "preference": KTOConfig()},
    "grpo": {"lessons": practices(12, "add_1"), "adapter": DROPOUT, "practice": GRPOConfig(kl=0.1, **HOT)},
    "ppo": {"lessons": practices(8, "add_1"), "adapter": FullAdapter(), "practice": PPOConfig(**HOT)},
    "distillation": {"lessons": practices(12, "add_2", "feedback"), "adapter": DROPOUT,
                     "feedback": DistillationConfig(epochs=2, steps_a_roll_out=2, temperature=2.0)},
    "sampled": {"lessons": practices(12, "add_2", "feedback"),
                "feedback": DistillationConfig(divergence="sampled", epochs=2)},
    "adafactor": {"adapter": FullAdapter(), "optimizer": AdafactorConfig()},
    "muon": {"adapter": FullAdapter(), "optimizer": MuonConfig()},
    "muon, where no weight is a matrix": {"adapter": PrefixAdapter(tokens=2), "optimizer": MuonConfig()},
    "muon, of what a value head is": {"lessons": practices(8, "add_1"), "practice": PPOConfig(**HOT),
                                      "optimizer": MuonConfig()},
    "sgd": {"adapter": DROPOUT, "optimizer": SGDConfig()},
    "sgd, without momentum": {"adapter": DROPOUT, "optimizer": SGDConfig(momentum=0.0)},
    "adamw in 8 bits": {"adapter": FullAdapter(), "optimizer": AdamW8bitConfig()},
    "all together": {
        "lessons": [*ANSWERS[:6], *preferences(4), *practices(6), *practices(4, "add_2", "feedback")],
        "adapter": DROPOUT, "practice": PPOConfig(**HOT),
    },
}  # fmt: skip


class Interruption:
    """Ends a stage before its n-th step, once."""

    def __init__(self, patch: pytest.MonkeyPatch, at: int) -> None:
        self.taken = 0
        left = [at]
        take = loop.Course.take

        def taking(course: loop.Course, loss: float) -> None:
            if left == [self.taken]:
                left.clear()
                raise KeyboardInterrupt
            self.taken += 1
            take(course, loss)

        patch.setattr(loop.Course, "take", taking)
        # Whenever a turn is over.
        patch.setattr(loop, "_SNAPSHOT_EVERY", -1.0)


@pytest.mark.parametrize("options", STAGES.values(), ids=STAGES.keys())
def test_a_stage_that_was_interrupted_ends_the_same(
    options: dict[str, Any], make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isinstance(options.get("optimizer"), AdamW8bitConfig):
        pytest.importorskip("bitsandbytes", reason="the extra [qlora] is not installed")
    whole = train(make(tmp_path / "whole", **options))
    assert whole.steps >= 4
    watch = Interruption(monkeypatch, whole.steps - 1)
    request = make(tmp_path / "cycle-1", **options)
    with pytest.raises(KeyboardInterrupt):
        train(request)
    assert not (tmp_path / "cycle-1").exists()
    before = watch.taken
    assert before == whole.steps - 1
    resumed = train(request)
    # It went on, and did not begin anew.
    assert 0 < watch.taken - before < whole.steps
    assert resumed == replace(whole, path=request.folder_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["cycle-1", "whole"]


@pytest.fixture
def interrupted(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainRequest, Interruption]:
    watch = Interruption(monkeypatch, 3)
    request = make(tmp_path / "cycle-1", adapter=DROPOUT)
    with pytest.raises(KeyboardInterrupt):
        train(request)
    watch.taken = 0
    return request, watch


def place(request: TrainRequest) -> Path:
    return snapshots._place(Path(request.folder_path))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_sound_snapshot_is_gone_on_from(interrupted: tuple[TrainRequest, Interruption]) -> None:
    request, watch = interrupted
    assert sorted(path.name for path in place(request).iterdir()) == ["state.json", "state.safetensors"]
    train(request)
    assert watch.taken == 1


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "weights cut off": lambda folder: cut(folder / "state.safetensors"),
    "a bit of the weights flipped": lambda folder: flip(folder / "state.safetensors"),
    "weights missing": lambda folder: (folder / "state.safetensors").unlink(),
    "what is told cut off": lambda folder: cut(folder / "state.json"),
    "what is told empty": lambda folder: (folder / "state.json").write_text(""),
    "what is told missing": lambda folder: (folder / "state.json").unlink(),
    "what is told says nothing": lambda folder: (folder / "state.json").write_text("{}"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_snapshot_is_not_used(
    damage: Callable[[Path], Any], interrupted: tuple[TrainRequest, Interruption], make: Make, tmp_path: Path
) -> None:
    request, watch = interrupted
    damage(place(request))
    again = train(request)
    assert watch.taken == again.steps == 4
    assert again.digest == train(make(tmp_path / "whole", adapter=DROPOUT)).digest
    assert not place(request).exists()


def differently(request: TrainRequest, **changes: Any) -> TrainRequest:
    return replace(request, config=request.config.model_copy(update=changes))


OTHERS: dict[str, Callable[[TrainRequest], TrainRequest]] = {
    "seed": lambda it: replace(it, seed=4),
    "learning rate": lambda it: replace(it, learning_rate=1e-3),
    "roll-back": lambda it: replace(it, learning_rate_scale=0.5),
    "lessons": lambda it: replace(it, lessons=it.lessons[1:]),
    "order of lessons": lambda it: replace(it, lessons=it.lessons[::-1]),
    "base": lambda it: replace(it, student=replace(it.student, base="other")),
    "epochs": lambda it: differently(it, epochs=1),
    "optimiser": lambda it: differently(it, optimizer=SGDConfig()),
    "objective": lambda it: differently(it, objectives=ObjectivesConfig(answers={"type": "supervised", "rate": 0.5})),  # type: ignore[arg-type]
    "rank": lambda it: replace(it, student=replace(it.student, adapter=LoraAdapter(r=8, dropout=0.2))),
    "scale": lambda it: replace(it, student=replace(it.student, adapter=LoraAdapter(r=4, dropout=0.2, alpha=1.0))),
    "adapter": lambda it: replace(it, student=replace(it.student, adapter=BottleneckAdapter(width=4))),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS.keys())
def test_a_snapshot_of_another_request_is_not_used(
    change: Callable[[TrainRequest], TrainRequest], interrupted: tuple[TrainRequest, Interruption], tmp_path: Path
) -> None:
    request, watch = interrupted
    other = change(request)
    made = train(other)
    assert watch.taken == made.steps
    assert made.digest == train(replace(other, folder_path=str(tmp_path / "whole"))).digest


def test_how_a_stage_is_run_is_no_other_request(interrupted: tuple[TrainRequest, Interruption], tmp_path: Path) -> None:
    request, watch = interrupted
    place(request).rename(tmp_path / ".moved.snapshot")
    train(differently(replace(request, folder_path=str(tmp_path / "moved")), checkpoint_activations=True))
    assert watch.taken == 1


def test_a_snapshot_that_was_half_written_is_no_snapshot(interrupted: tuple[TrainRequest, Interruption]) -> None:
    # It is written aside; the one before stays until the next is whole.
    request, watch = interrupted
    aside = place(request).with_name(f"{place(request).name}.new")
    aside.mkdir()
    (aside / "state.safetensors").write_bytes(b"half")
    train(request)
    assert watch.taken == 1


def test_a_stage_that_was_stopped_between_two_snapshots_has_the_one_before(
    interrupted: tuple[TrainRequest, Interruption],
) -> None:
    request, watch = interrupted
    place(request).rename(place(request).with_name(f"{place(request).name}.old"))
    train(request)
    assert watch.taken == 1
    assert not list(Path(request.folder_path).parent.glob(".*snapshot*"))


def test_where_no_snapshot_can_be_written_training_goes_on(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    whole = train(make(tmp_path / "whole")).digest
    monkeypatch.setattr(loop, "_SNAPSHOT_EVERY", -1.0)
    monkeypatch.setattr(snapshots, "save_file", full)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert train(make(tmp_path / "full")).digest == whole
    told = [str(it.message) for it in said if "cannot be written down" in str(it.message)]
    assert told and "ada has come" in told[0] and "No space left" in told[0]
    assert sorted(it.name for it in tmp_path.iterdir() if "snapshot" in it.name) == []


def test_chance_is_where_it_was(interrupted: tuple[TrainRequest, Interruption]) -> None:
    request, _ = interrupted
    told = json.loads((place(request) / "state.json").read_text())
    assert (told["turns"], told["steps"]) == (3, 3)
    assert told["at_once"] == {"written": None, "read": None}
    torch.manual_seed(99)
    one = train(request).digest
    assert one == train(replace(request, folder_path=f"{request.folder_path}-again")).digest
