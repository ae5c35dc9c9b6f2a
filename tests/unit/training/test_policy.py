from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from tests.learning import LONGEST, move, practices, setting
from tft.config.adapters import (
    AnyAdapter,
    BottleneckAdapter,
    FullAdapter,
    LoraAdapter,
    PrefixAdapter,
    PromptAdapter,
)
from tft.config.training import GRPOConfig, PPOConfig, RLOOConfig
from tft.errors import StageError
from tft.student import StudentRef
from tft.student.models import adapt
from tft.training.grpo import GRPO
from tft.training.learner import Learner
from tft.training.objective import Setting, Step
from tft.training.policy import Policy, by_rows, differ
from tft.training.ppo import PPO
from tft.training.rloo import RLOO
from tft.training.rows import Row, encode_answers

pytestmark = pytest.mark.usefixtures("one_thread")

LESSONS = practices(6)
GROUPS: list[Any] = [
    partial(GRPO, GRPOConfig(group=4, temperature=1.5)),
    partial(RLOO, RLOOConfig(group=4, temperature=1.5)),
]
EVERY = [*GROUPS, partial(PPO, PPOConfig(temperature=1.5, minibatches=1, passes=1))]

in_groups = pytest.mark.parametrize("make", GROUPS, ids=["grpo", "rloo"])
every = pytest.mark.parametrize("make", EVERY, ids=["grpo", "rloo", "ppo"])


def test_practice_needs_a_grader(learner: Learner) -> None:
    for make in EVERY:
        with pytest.raises(StageError, match="grader"):
            make(setting(learner, grader=None))


@in_groups
def test_a_group_whose_answers_are_worth_the_same_teaches_nothing(
    make: Callable[[Setting], Any], unsure: Learner
) -> None:
    told = setting(unsure)
    (step,) = make(told).steps(LESSONS)
    again = Policy(GRPOConfig(group=4, temperature=1.5), setting(unsure))
    rows, rewards = again.play(LESSONS)
    teaches = differ(rewards)
    assert teaches.any() and not teaches.all()
    assert told.measures["reward"] == [pytest.approx(rewards.mean().item())]
    expected = [row.tokens for row, it in zip(rows, teaches.repeat_interleave(4), strict=True) if it]
    assert [row.tokens for row in step.rows] == expected
    for row in step.rows:
        # Every token of an answer is as good as the answer.
        assert row.advantages.shape == (row.learned,)
        assert len(set(row.advantages.tolist())) == 1
    assert sum(row.advantages[0] for row in step.rows) == pytest.approx(0, abs=1e-4)


@in_groups
def test_where_nothing_can_be_learned_there_is_no_step(make: Callable[[Setting], Any], unsure: Learner) -> None:
    # Nothing is finished, so nothing is worth anything.
    told = setting(unsure, max_tokens=2)
    assert list(make(told).steps(LESSONS)) == []
    assert told.measures["reward"] == [0.0]


def test_an_answer_that_was_cut_off_is_worth_nothing(learner: Learner) -> None:
    # The student knows these by heart; its end is the only token that is missing.
    whole = Policy(GRPOConfig(group=2, temperature=0.01), setting(learner)).play(LESSONS)
    assert (whole[1] == 1.0).all()
    longest = max(row.learned for row in whole[0])
    assert min(row.learned for row in whole[0]) < longest
    cut = Policy(GRPOConfig(group=2, temperature=0.01), setting(learner, max_tokens=longest - 1)).play(LESSONS)
    for row, reward in zip(whole[0], cut[1].flatten().tolist(), strict=True):
        assert reward == (row.learned < longest)


def test_a_step_is_divided_by_tokens_rows_or_the_longest_answer() -> None:
    rows = [Row((1, 2, 3, 4), 1, "s"), Row((1, 2), 1, "s")]
    for normalize, expected in (("tokens", 4), ("rows", 2), ("length", 2 * LONGEST)):
        assert Policy(GRPOConfig(normalize=normalize), setting()).weight(rows) == expected  # type: ignore[arg-type]


def test_a_roll_out_fills_a_step() -> None:
    policy = Policy(GRPOConfig(group=4, epochs=2), setting(batch_size=8))
    units = policy.units(LESSONS, Random(1))
    assert [len(unit) for unit in units] == [2] * 6
    assert [len(unit) for unit in policy.units(LESSONS, Random(1), 2)] == [4, 2] * 2
    # A group larger than a step is not parted.
    assert [len(unit) for unit in Policy(GRPOConfig(group=16), setting()).units(LESSONS, Random(1))] == [1] * 6
    assert units == policy.units(LESSONS, Random(1))


def test_numbers_of_tokens_are_cut_into_rows() -> None:
    rows = [Row((1, 2, 3), 1, "s"), Row((1, 2), 1, "s"), Row((1, 2, 3, 4), 2, "s")]
    assert [it.tolist() for it in by_rows(rows, torch.arange(5.0))] == [[0.0, 1.0], [2.0], [3.0, 4.0]]


def likelihoods(learner: Learner, rows: list[Any]) -> torch.Tensor:
    with learner.answering():
        predictions = learner.predict(rows)
        return predictions.by_row(predictions.logprobs(1.5)) / torch.tensor([float(row.learned) for row in rows])


def take(learner: Learner, step: Step) -> None:
    loss = step.loss(learner.predict(step.rows)) / step.weight
    slopes = torch.autograd.grad(loss, learner.weights)
    with torch.no_grad():
        norm = torch.cat([it.flatten() for it in slopes]).norm()
        for weight, slope in zip(learner.weights, slopes, strict=True):
            weight.sub_(0.01 * slope / norm)


@every
def test_a_step_makes_the_better_answers_likelier(make: Callable[[Setting], Any], unsure: Learner) -> None:
    told = setting(unsure, batch_size=32)
    (step,) = make(told).steps(LESSONS)
    rows = list(step.rows)
    better = torch.tensor([row.advantages.mean() > 0 for row in rows])
    assert better.any() and not better.all()
    before = likelihoods(unsure, rows)
    take(unsure, step)
    gained = likelihoods(unsure, rows) - before
    weights = torch.tensor([row.advantages.sum() for row in rows])
    assert (gained * weights).sum() > 0
    assert gained[better].mean() > 0 > gained[~better].mean()


@pytest.mark.parametrize(
    "make",
    [
        partial(GRPO, GRPOConfig()),
        partial(RLOO, RLOOConfig()),
        partial(PPO, PPOConfig(group=8, minibatches=1, passes=1)),
    ],
    ids=["grpo", "rloo", "ppo"],
)
def test_practice_makes_more_answers_right(make: Callable[[Setting], Any], unsure: Learner) -> None:
    told, lessons = setting(unsure), practices(8)
    objective = make(told)
    optimizer = torch.optim.AdamW(unsure.weights, lr=1e-3, betas=(0.9, 0.98))
    for _ in range(12):
        for step in objective.steps(lessons):
            (step.loss(unsure.predict(step.rows)) / step.weight).backward()
            torch.nn.utils.clip_grad_norm_(unsure.weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    rewards = told.measures["reward"]
    assert np.mean(rewards[-3:]) > np.mean(rewards[:3]) + 0.1


ADAPTERS: list[AnyAdapter] = [
    FullAdapter(),
    LoraAdapter(r=4),
    LoraAdapter(r=4, dora=True),
    PrefixAdapter(tokens=2),
    PromptAdapter(tokens=2),
    BottleneckAdapter(width=4),
]


@pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda it: it.type)
def test_the_reference_stays_where_the_student_came_from(adapter: AnyAdapter, ada: StudentRef) -> None:
    learner = Learner(*adapt(replace(ada, adapter=adapter), 1))
    rows = encode_answers(LESSONS, learner.tokenizer)
    policy = Policy(GRPOConfig(kl=0.1), setting(learner))
    before = np.concatenate(policy.refer(rows))  # type: ignore[arg-type]
    with learner.answering():
        assert np.allclose(before, learner.predict(rows).logprobs().numpy(), atol=1e-5)
    move(learner.model, 0.5)
    assert np.allclose(np.concatenate(policy.refer(rows)), before)  # type: ignore[arg-type]
    with learner.answering():
        assert not np.allclose(before, learner.predict(rows).logprobs().numpy(), atol=0.1)


def test_nobody_is_held_who_need_not_be(learner: Learner) -> None:
    rows = encode_answers(LESSONS, learner.tokenizer)
    assert Policy(GRPOConfig(), setting(learner)).refer(rows) == [None] * len(rows)
    held = Policy(GRPOConfig(kl=0.1), setting(learner))
    assert held.refer([]) == []


def test_the_divergence_draws_the_student_back(unsure: Learner) -> None:
    # Without rewards to gain, only the reference is felt.
    policy = Policy(GRPOConfig(kl=1.0, group=2), setting(unsure))
    rows = encode_answers(LESSONS, unsure.tokenizer)
    move(unsure.model, 0.02, seed=2)
    played = policy.label(rows, torch.zeros(3, 2), torch.tensor([True, True, True]))
    first = policy.loss(unsure.predict(played)).item()
    assert first > 0
    for _ in range(3):
        take(unsure, Step(played, policy.loss, policy.weight(played)))
    assert policy.loss(unsure.predict(played)).item() < 0.9 * first


class Liked:
    """Stands in for a reward model: the longer an answer, the better."""

    def rewards(self, questions: list[str], answers: list[str], finished: list[bool]) -> list[float]:
        assert len(questions) == len(answers) == len(finished)
        return [100.0 * len(answer) for answer in answers]


@every
def test_a_reward_model_takes_the_place_of_the_grader(make: Callable[[Setting], Any], unsure: Learner) -> None:
    graded, liked = setting(unsure), setting(unsure, reward=Liked())
    for told in (graded, liked):
        assert list(make(told).steps(LESSONS))
    # The same answers, told beside each other.
    assert liked.measures["graded"] == graded.measures["reward"]
    assert liked.measures["reward"][0] > 100
    assert "graded" not in graded.measures


def test_an_answer_that_was_cut_off_is_worth_no_more_than_the_worst(learner: Learner) -> None:
    config = GRPOConfig(group=2, temperature=0.01)
    rows, _ = Policy(config, setting(learner)).play(LESSONS)
    longest = max(row.learned for row in rows)
    told = setting(learner, max_tokens=longest - 1, reward=Liked())
    cut = Policy(config, told).play(LESSONS)[1].flatten()
    ended = torch.tensor([row.learned < longest for row in rows])
    assert ended.any() and not ended.all()
    assert (cut[~ended] == cut[ended].min()).all()
    # Where a campaign grades what was cut off, it is worth what it is worth.
    assert told.grader is not None
    lenient = replace(told, grader=told.grader.model_copy(update={"cut_off": True}))
    assert (Policy(config, lenient).play(LESSONS)[1].flatten()[~ended] > cut[ended].min()).all()
