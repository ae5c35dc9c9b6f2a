"""Where memory runs out while the student writes or is read, fewer rows are in it, and the answers stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.learning import practices, preferences, setting, tutor_of
from tests.making import demonstration
from tft.config.adapters import LoraAdapter
from tft.config.cards import GraderConfig
from tft.config.training import (
    DistillationConfig,
    DPOConfig,
    GRPOConfig,
    KTOConfig,
    ObjectivesConfig,
    PPOConfig,
    TrainingConfig,
)
from tft.engines.transformers import TransformersEngine, load_model
from tft.ports import Sampling
from tft.student import StudentRef
from tft.student.shortage import AtOnce
from tft.training import ClassRequest, TrainRequest, train, train_together
from tft.training.distillation import Distillation
from tft.training.dpo import ask_reference
from tft.training.kto import KTO
from tft.training.learner import Learner
from tft.training.policy import Policy
from tft.training.ppo import PPO
from tft.training.rollouts import write
from tft.training.rows import Row, encode
from tft.tutor import Scorer

ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
ANSWERS = [demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 11)]
HOT: dict[str, Any] = {"temperature": 1.5, "group": 4}

pytestmark = pytest.mark.usefixtures("one_thread")


class Forgetful:
    """Lets memory run out where more rows are written or read at once, and nothing is learned from them."""

    def __init__(self, patch: pytest.MonkeyPatch, most: int, error: Exception = ERROR) -> None:
        self.written: list[int] = []
        self.read: list[int] = []
        decode, predict = TransformersEngine._decode, Learner.predict

        def decoding(engine: TransformersEngine, rows: Any, *beside: Any) -> Any:
            self.written.append(len(rows))
            if len(rows) > most:
                raise error
            return decode(engine, rows, *beside)

        def reading(learner: Learner, rows: Any) -> Any:
            if not torch.is_grad_enabled():
                self.read.append(len(rows))
                if len(rows) > most:
                    raise error
            return predict(learner, rows)

        patch.setattr(TransformersEngine, "_decode", decoding)
        patch.setattr(Learner, "predict", reading)


def test_answers_stay_where_fewer_are_written_at_once(unsure: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = [list(row.tokens[: row.start]) for row in encode(ANSWERS, unsure.tokenizer)]
    sampling, seeds = Sampling(16, 1.5), list(range(len(prompts)))
    whole = unsure.sample(prompts, sampling, seeds)
    watch = Forgetful(monkeypatch, 3)
    parted = unsure.sample(prompts, sampling, seeds)
    assert [it.tokens for it in parted] == [it.tokens for it in whole]
    assert [it.logprob for it in parted] == pytest.approx([it.logprob for it in whole], abs=1e-4)
    assert watch.written == [11, 5, 2, 2, 2, 2, 2, 1]
    # From now on it is known.
    unsure.sample(prompts, sampling, seeds)
    assert watch.written[8:] == [2, 2, 2, 2, 2, 1]
    assert unsure.at_once == AtOnce(written=2)
    assert unsure.sample([], sampling, []) == []


def about(name: str, unsure: Learner, abacus: Scorer) -> Callable[[], Any]:
    """Give what asks a student of its rows: a function that tells numbers."""
    told = setting(unsure, scorer=abacus, batch_size=24)
    rows = encode(ANSWERS, unsure.tokenizer)
    match name:
        case "reference of pairs":
            return lambda: ask_reference(unsure, rows, 8)
        case "moved pairs":
            kto = KTO(KTOConfig(), told)
            unit = kto.units(preferences(8), Random(1))[0]
            return lambda: next(kto.steps(unit)) and told.measures["kl"][-1]
        case "reference of practice":
            policy = Policy(GRPOConfig(kl=0.1, **HOT), told)
            return lambda: [it.tolist() for it in policy.refer(rows) if it is not None]
        case "values":
            ppo = PPO(PPOConfig(**HOT), told)
            return lambda: [list(it.before) + list(it.advantages) for it in ppo._value_rows(practices(6))]  # type: ignore[arg-type]
        case _:
            tokens = Distillation(DistillationConfig(divergence="sampled"), told)
            asked = write(practices(8, kind="feedback"), told, 1.5)
            return lambda: [it.expected.tolist() for it in tokens._score(asked)]


@pytest.mark.parametrize("name", ["reference of pairs", "moved pairs", "reference of practice", "values", "feedback"])
def test_what_is_read_stays_where_fewer_are_read_at_once(
    name: str, unsure: Learner, novice: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    abacus = Scorer(tutor_of(TransformersEngine(*load_model(novice.parent / "weights"), "weights")))
    tell = about(name, unsure, abacus)
    if name == "values":
        # Both times the same answers.
        monkeypatch.setattr("tft.training.rollouts._seeds", lambda lessons, _: list(range(len(lessons))))
    whole = tell()
    watch = Forgetful(monkeypatch, 3)
    parted = tell()
    flat: list[list[float]] = [
        [it for row in found for it in (row if isinstance(row, list) else [row])]
        if isinstance(found, list) else [found]
        for found in (whole, parted)
    ]  # fmt: skip
    assert flat[1] == pytest.approx(flat[0], abs=2e-4)
    assert max(watch.read) > 3 and 0 < watch.read[-1] <= 3


def request(student: StudentRef, folder: Path, lessons: Any, **objectives: Any) -> TrainRequest:
    config = TrainingConfig(epochs=1, batch_size=8, precision="full", objectives=ObjectivesConfig(**objectives))
    grader = GraderConfig(type="numeric", marker="#")
    return TrainRequest(student, tuple(lessons), config, 3e-3, 1.0, 3, str(folder), 24, grader)


STAGES: dict[str, dict[str, Any]] = {
    "dpo": {"lessons": preferences(8), "preference": DPOConfig()},
    "grpo": {"lessons": practices(8, "add_2"), "practice": GRPOConfig(kl=0.1, **HOT)},
}


@pytest.mark.parametrize("options", STAGES.values(), ids=STAGES.keys())
def test_a_stage_goes_on_and_says_so(
    options: dict[str, Any], ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(request(ada, tmp_path / "whole", **options))
    watch = Forgetful(monkeypatch, 4)
    made = train(request(ada, tmp_path / "short", **options))
    assert made.steps == whole.steps and made.trained_tokens == whole.trained_tokens
    assert (watch.read if "preference" in options else watch.written)[:2] == [8, 4]
    told = {name: it for name, it in made.measures.items() if name.endswith("at_once")}
    assert told == ({"read_at_once": (4, 4)} if "preference" in options else {"written_at_once": (4, 4)})
    assert not any(name.endswith("at_once") for name in whole.measures)
    loss = next(name for name in whole.measures if name.startswith("loss"))
    assert made.measures[loss] == pytest.approx(whole.measures[loss], abs=1e-3)


def test_a_classroom_goes_on_too(ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seats = tuple(
        request(replace(ada, adapter=LoraAdapter(r=4)), tmp_path / name, **STAGES["grpo"]) for name in ("one", "two")
    )
    watch = Forgetful(monkeypatch, 4)
    found = train_together(ClassRequest(seats)).checkpoints
    assert [it.measures["written_at_once"] for it in found] == [(4, 4)] * 2
    assert max(watch.written) == 8


def test_one_row_that_does_not_fit_is_said(unsure: Learner, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Forgetful(monkeypatch, 0)
    with pytest.raises(torch.OutOfMemoryError):
        unsure.ask([Row((1, 2, 3), 1, "add_1")] * 4, lambda found: found.logprobs())
    assert watch.read == [4, 2, 1]
    assert unsure.model.training
