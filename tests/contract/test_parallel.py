"""Several workers against one: they take the same steps, with the same losses, to the same student."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch
from safetensors.torch import load_file

from tests.contract.crew import taking, train_together
from tests.learning import practices, preferences
from tests.making import demonstration
from tft.config.adapters import AnyAdapter, BottleneckAdapter, FullAdapter, LoraAdapter, PrefixAdapter
from tft.config.campaign import TransformersEngineConfig
from tft.config.cards import GraderConfig
from tft.config.training import (
    DistillationConfig,
    GRPOConfig,
    KTOConfig,
    ObjectivesConfig,
    PPOConfig,
    TrainingConfig,
)
from tft.errors import StageError
from tft.records import Checkpoint, Lesson, load
from tft.student import StudentRef
from tft.student.models import open_student
from tft.training import TrainRequest, train
from tft.tutor import TutorRef

pytestmark = pytest.mark.usefixtures("one_thread")
ANSWERS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 5))
SEVERAL = (*ANSWERS, *practices(4, "add_2"), *practices(5, "add_1", "feedback"), *preferences(3, "mul_1"))
OBJECTIVES = ObjectivesConfig(
    practice=PPOConfig(group=3, temperature=2.0, kl=0.1), feedback=DistillationConfig(top_k=8)
)
GROUPS = ObjectivesConfig(
    practice=GRPOConfig(group=4, temperature=2.0, kl=0.1), feedback=DistillationConfig(divergence="sampled"),
    preference=KTOConfig(),
)  # fmt: skip
OTHERS = (*ANSWERS, *practices(3, "add_2"), *practices(3, "add_1", "feedback"), *preferences(1, "mul_1"))
CASES: dict[str, tuple[AnyAdapter, tuple[Lesson, ...], dict[str, Any], str]] = {
    "ddp full": (FullAdapter(), SEVERAL, {"objectives": OBJECTIVES}, "interrupted"),
    "ddp lora": (LoraAdapter(r=4), practices(6, "add_2"), {"objectives": GROUPS}, "short of memory"),
    "fsdp lora": (LoraAdapter(r=4), SEVERAL, {"objectives": OBJECTIVES}, "interrupted"),
    "fsdp full": (FullAdapter(), OTHERS, {"objectives": GROUPS, "micro_batch": 1}, ""),
    "fsdp activations": (FullAdapter(), ANSWERS, {"checkpoint_activations": True}, ""),
    "fsdp prefix": (PrefixAdapter(tokens=4), ANSWERS, {}, "interrupted"),
    "fsdp bottleneck": (BottleneckAdapter(width=4), ANSWERS, {}, ""),
}
CHANCE = LoraAdapter(r=4, dropout=0.3)


@pytest.fixture(scope="module")
def abacus(novice: Path, tmp_path_factory: pytest.TempPathFactory) -> TutorRef:
    folder = novice.parent
    return TutorRef(str(folder / "tutor.yaml"), str(folder / "weights"), "weights", TransformersEngineConfig(),
                    str(tmp_path_factory.mktemp("tutor") / "cache"))  # fmt: skip


def ask(name: str, ada: StudentRef, abacus: TutorRef, workers: int) -> tuple[TrainRequest, str]:
    adapter, lessons, options, what = CASES[name]
    shared: dict[str, Any] = {} if workers == 1 else {"workers": workers, "parallel": name.split()[0]}
    config = TrainingConfig(epochs=1, batch_size=4, precision="full", **shared, **options)
    request = TrainRequest(
        replace(ada, adapter=adapter), tuple(lessons), config, 1e-3, 1.0, 3, "", 24,
        GraderConfig(type="numeric", marker="#"), abacus,
    )  # fmt: skip
    return request, what


@pytest.fixture(scope="module")
def together(ada: StudentRef, abacus: TutorRef, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Let two workers do all there is to do, because it takes seconds to start them."""
    jobs = {name: ask(name, ada, abacus, 2) for name in CASES}
    chance = replace(jobs["fsdp prefix"][0], student=replace(ada, adapter=CHANCE))
    jobs |= {"chance": (chance, ""), "chance again": (chance, "interrupted")}
    folder = tmp_path_factory.mktemp("crew")
    return folder, train_together(2, folder, jobs)


def weights(folder: Path) -> torch.Tensor:
    (path,) = folder.glob("*.safetensors")
    return torch.cat([weight.flatten() for _, weight in sorted(load_file(path).items())])


@pytest.mark.parametrize("name", CASES)
def test_two_workers_learn_what_one_does(
    name: str, together: Any, ada: StudentRef, abacus: TutorRef, tmp_path: Path
) -> None:
    folder, found = together
    request, what = ask(name, ada, abacus, 1)
    with taking() as losses:
        alone = train(replace(request, folder_path=str(tmp_path / "alone")))
    made = [load(Checkpoint, it[name]["made"]) for it in found]
    both = [it[name]["losses"] for it in found]
    assert both[0] == both[1]
    # Those that were interrupted tell of the steps that were left.
    assert (len(both[0]) < len(losses)) == (what == "interrupted")
    assert both[0] == pytest.approx(losses[-len(both[0]) :], rel=1e-5, abs=1e-6)
    mine, theirs = weights(tmp_path / "alone"), weights(folder / name)
    assert (mine - theirs).norm() < 5e-5 * mine.norm()
    for one in made:
        assert (one.steps, one.trained_tokens_by_skill) == (alone.steps, alone.trained_tokens_by_skill)
        assert one.usage == alone.usage
        assert one.trainable_share == alone.trainable_share
    assert made[0].measures == made[1].measures
    assert set(made[0].measures) - {"micro_batch"} == set(alone.measures)
    for measure, ends in alone.measures.items():
        assert made[0].measures[measure] == pytest.approx(ends, rel=1e-3, abs=1e-5), measure
    assert not list(folder.glob(f".{name}*"))
    student = replace(request.student, checkpoint_path=str(folder / name), digest=made[0].digest)
    assert len(open_student(student).logprobs([[5, 6, 7]])[0]) == 2


def test_what_is_left_to_chance_goes_on_where_it_was(together: Any) -> None:
    folder, found = together
    once, again = (weights(folder / name) for name in ("chance", "chance again"))
    assert torch.equal(once, again)
    assert len(found[0]["chance again"]["losses"]) < len(found[0]["chance"]["losses"])


def test_as_many_workers_as_were_asked_for_or_none(ada: StudentRef, abacus: TutorRef, tmp_path: Path) -> None:
    request, _ = ask("ddp full", ada, abacus, 2)
    with pytest.raises(StageError, match=r"training\.workers is 2, and 1 of them were started"):
        train(replace(request, folder_path=str(tmp_path / "alone")))
