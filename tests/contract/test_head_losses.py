"""What heads learn from labels, numbers and pairs: by hand and against TRL."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerBase

from tests.learning import gradient, move, preferences, setting
from tests.making import demonstration
from tft.config.adapters import HeadAdapter
from tft.config.training import ClassificationConfig, RegressionConfig, RewardConfig
from tft.engines.transformers import load_model
from tft.errors import StageError
from tft.records import Message
from tft.student import StudentRef
from tft.student.classifiers import build_classifier
from tft.student.models import adapt_head
from tft.student.reading import HeadReader
from tft.training.classification import Classification, Labelled
from tft.training.objective import Setting, Step
from tft.training.reader import Reader, Readings
from tft.training.regression import Numbered, Regression
from tft.training.reward import Reward, reward_losses
from tft.training.rows import Row

pytestmark = pytest.mark.usefixtures("one_thread")
LN2, LN3 = math.log(2), math.log(3)


def told(step: Step, outputs: Any) -> float:
    """Give the loss of a step whose rows said this."""
    return (step.loss(Readings(step.rows, torch.as_tensor(outputs))) / step.weight).item()


def pairs_of(count: int) -> list[tuple[Row, Row]]:
    return [(Row((1, 2), 2, "s"), Row((1, 3), 2, "s"))] * count


@pytest.mark.parametrize(
    ("options", "better", "worse", "expected"),
    [
        # −ln σ(0) = ln 2; −ln σ(ln 3) = −ln 3/4; −ln σ(−ln 3) = −ln 1/4.
        ({}, 1.0, 1.0, LN2),
        ({}, LN3 / 2, -LN3 / 2, math.log(4 / 3)),
        ({}, -LN3, 0.0, math.log(4)),
        # A lead of ln 6 against a margin of ln 2: −ln σ(ln 3).
        ({"margin": LN2}, math.log(6), 0.0, math.log(4 / 3)),
        # ln 2 and a tenth of (1 + 1)².
        ({"centering": 0.1}, 1.0, 1.0, LN2 + 0.4),
    ],
)
def test_reward_losses_by_hand(options: dict[str, float], better: float, worse: float, expected: float) -> None:
    found = reward_losses(RewardConfig(**options), torch.tensor([better]), torch.tensor([worse]))
    assert found.item() == pytest.approx(expected, abs=1e-6)


def test_a_step_of_pairs_by_hand() -> None:
    known = setting()
    (step,) = Reward(RewardConfig(), known).steps(pairs_of(2))
    # ln 2 and −ln 3/4, on average; one of the two is preferred.
    assert told(step, [[1.0], [1.0], [LN3], [0.0]]) == pytest.approx((LN2 + math.log(4 / 3)) / 2, abs=1e-6)
    assert step.together == 2
    assert known.measures["preferred"] == [0.5]


def test_a_step_of_labels_by_hand() -> None:
    known = setting()
    rows = [Labelled((1,), 1, "s", 0), Labelled((2,), 1, "s", 1)]
    (step,) = Classification(ClassificationConfig(), known).steps(rows)
    # Odds of 3 to 1 for the first label: −ln 3/4 where it is right, −ln 1/4 where it is not.
    assert told(step, [[LN3, 0.0], [LN3, 0.0]]) == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-6)
    assert known.measures["right"] == [0.5]


def test_a_step_of_numbers_by_hand() -> None:
    rows = [Numbered((1,), 1, "s", 1.5), Numbered((2,), 1, "s", -1.0)]
    (step,) = Regression(RegressionConfig(), setting()).steps(rows)
    assert told(step, [[1.0], [1.0]]) == pytest.approx((0.25 + 4.0) / 2)


@pytest.mark.parametrize("task", ["reward", "labels", "numbers"])
def test_gradients_of_heads_are_the_derivatives(task: str) -> None:
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    made: dict[str, Any] = {
        "reward": lambda: Reward(RewardConfig(margin=0.3, centering=0.2), setting()).steps(pairs_of(2)),
        "labels": lambda: Classification(ClassificationConfig(), setting()).steps(
            [Labelled((1,), 1, "s", place % 3) for place in range(4)]
        ),
        "numbers": lambda: Regression(RegressionConfig(), setting()).steps(
            [Numbered((1,), 1, "s", float(place)) for place in range(4)]
        ),
    }
    (step,) = made[task]()
    assert torch.autograd.gradcheck(lambda it: step.loss(Readings(step.rows, it)), (outputs,))


def test_numbers_are_counted_from_the_first_that_were_taught(ada: StudentRef) -> None:
    student = replace(ada, adapter=HeadAdapter.model_validate({"task": "regressor"}))
    lessons = [demonstration(question) for question in ("2+3", "7+8", "1+4")]
    model, tokenizer = adapt_head(student, 1, [str(it.item.reference) for it in lessons])
    # 5, 15 and 5: mean 25/3, standard deviation 10/3 √2.
    spread = 10 / 3 * math.sqrt(2)
    known = setting(Reader(model, tokenizer))
    (unit,) = Regression(RegressionConfig(), known).units(lessons, Random(1))
    assert sorted(row.number for row in unit) == pytest.approx(
        [(5 - 25 / 3) / spread, (5 - 25 / 3) / spread, (15 - 25 / 3) / spread], abs=1e-5
    )


def linear_reader(ada: StudentRef) -> Reader:
    """Give a reward head of one matrix on a thawed body, that has learned something."""
    adapter = HeadAdapter.model_validate({"task": "reward", "layers": 0, "body": "full"})
    reader = Reader(*adapt_head(replace(ada, adapter=adapter), 1, ()))
    move(reader.model, 0.02)
    return reader


def step_of(known: Setting, config: RewardConfig) -> Step:
    objective = Reward(config, known)
    (unit,) = objective.units(preferences(6), Random(1))
    (step,) = objective.steps(unit)
    return step


@pytest.mark.parametrize("centering", [0.0, 0.05])
def test_reward_modelling_agrees_with_trl(
    centering: float, ada: StudentRef, trl: Any, configure: Callable[..., Any]
) -> None:
    from datasets import Dataset

    reader = linear_reader(ada)
    step = step_of(setting(reader, batch_size=16), RewardConfig(centering=centering))
    ours = step.loss(reader.predict(step.rows)) / step.weight
    trainer = trl.RewardTrainer(
        model=build_classifier(HeadReader(reader.model, reader.tokenizer)),
        args=configure(trl.RewardConfig, center_rewards_coefficient=centering or None),
        processing_class=reader.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"], "chosen": ["#7"], "rejected": ["#8"]}),
    )
    rows = zip(step.rows[::2], step.rows[1::2], strict=True)
    batch = trainer.data_collator(
        [{"chosen_ids": list(one.tokens), "rejected_ids": list(other.tokens)} for one, other in rows]
    )
    reader.model.train()
    theirs = trainer.compute_loss(trainer.model, batch)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    found = torch.autograd.grad(theirs, [trainer.model.score.weight, trainer.model.model.embed_tokens.weight])
    own = torch.autograd.grad(ours, [reader.model.head.out.weight, reader.model.base.model.embed_tokens.weight])
    for one, other in zip(own, found, strict=True):
        assert (one - other).norm() < 1e-4 * other.norm()


def test_margins_agree_with_trl(trl: Any) -> None:
    better, worse = torch.tensor([1.0, -0.5]), torch.tensor([0.25, 0.5])
    outputs = SimpleNamespace(logits=torch.cat([better, worse])[:, None])
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(center_rewards_coefficient=0.1),
        accelerator=SimpleNamespace(gather_for_metrics=lambda it: it, gather=lambda it: it),
        _total_train_tokens=0, _tp_size=1, _metrics={"train": _Lists()},
    )  # fmt: skip
    inputs = {"attention_mask": torch.ones(4, 2), "margin": torch.tensor([0.3, 0.3])}
    theirs = trl.RewardTrainer.compute_loss(trainer, lambda **_: outputs, inputs)
    ours = reward_losses(RewardConfig(margin=0.3, centering=0.1), better, worse).mean()
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


class _Lists(dict[str, list[float]]):
    def __missing__(self, name: str) -> list[float]:
        return self.setdefault(name, [])


@pytest.mark.parametrize("size", [2, 4])
def test_parts_of_a_step_add_up_to_the_whole(size: int, ada: StudentRef) -> None:
    reader = linear_reader(ada)
    step = step_of(setting(reader, batch_size=16), RewardConfig(centering=0.1))
    whole = gradient(reader, step.loss(reader.predict(step.rows)))
    parts = [step.rows[start : start + size] for start in range(0, len(step.rows), size)]
    added = sum(gradient(reader, step.loss(reader.predict(part))) for part in parts)
    assert torch.allclose(whole, torch.as_tensor(added), rtol=1e-3, atol=1e-5)


def test_answers_are_read_with_their_end(novice: Path, tokenizer: PreTrainedTokenizerBase, ada: StudentRef) -> None:
    known = setting(linear_reader(ada), batch_size=16)
    cut = [replace(it, cut_off=(str(it.rejected),)) for it in preferences(1)]
    ((pair,),) = Reward(RewardConfig(), known).units(cut, Random(1))
    assert [row.tokens[-1] == tokenizer.eos_token_id for row in pair] == [True, False]
    assert load_model(novice)[0].generation_config.eos_token_id == tokenizer.eos_token_id


def test_pairs_are_read_with_all_turns_before_them(tokenizer: PreTrainedTokenizerBase, ada: StudentRef) -> None:
    turns = (Message("user", "3+4"), Message("assistant", "#7"), Message("user", "8+9"))
    (pair,) = [replace(it, item=replace(it.item, question="8+9"), asked=turns) for it in preferences(1)]
    ((rows,),) = Reward(RewardConfig(), setting(linear_reader(ada), batch_size=16)).units([pair], Random(1))
    for row in rows:
        assert tokenizer.decode(row.tokens).replace(" ", "").count("3+4") == 1


def test_what_is_no_pair_is_refused(ada: StudentRef) -> None:
    with pytest.raises(StageError, match="learns from pairs of answers, and was to be taught demonstration"):
        Reward(RewardConfig(), setting(linear_reader(ada))).units([demonstration("3+4")], Random(1))
