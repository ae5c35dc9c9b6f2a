"""What is learned from rewards: by hand, against TRL, and PPO, which TRL has not, against plain loops."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.learning import LONGEST, expect, gradient, in_two, move, practices, setting
from tft.config.training import GRPOConfig, PPOConfig, RLOOConfig
from tft.training.grpo import GRPO, grpo_advantages
from tft.training.learner import Learner
from tft.training.objective import Setting
from tft.training.policy import Played, Policy, clipped_loss, differ
from tft.training.ppo import PPO, Valued, gae
from tft.training.rloo import RLOO, rloo_advantages
from tft.training.rows import Row, encode_answers

pytestmark = pytest.mark.usefixtures("one_thread")

LN3 = math.log(3)
# After token 0 the odds of 1 against 0 are 3 to 1, after token 1 they are 1 to 1.
TABLE = torch.tensor([[0.0, LN3], [0.0, 0.0]])


def played(tokens: tuple[int, ...], *advantages: float, **known: Any) -> Played:
    made = {name: np.array(values, np.float32) for name, values in known.items()}
    return Played(tokens, len(tokens) - len(advantages), "s", np.array(advantages, np.float32),
                  made.get("before"), made.get("reference"))  # fmt: skip


def policy(told: Setting | None = None, **options: Any) -> Policy:
    return Policy(GRPOConfig(**options), told or setting())


def test_the_clip_by_hand() -> None:
    # ρ = 1/2, 1, 3/2 with A = 1 and −1; clipped to [0.8, 1.3]: the better of what is good is given up, the worse of
    # what is bad is not.
    ratio = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5]).log()
    advantages = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    found = clipped_loss(ratio, advantages, 0.2, 0.3)
    assert found.tolist() == pytest.approx([-0.5, -1.0, -1.3, 0.8, 1.0, 1.5])


def test_what_is_clipped_learns_no_more() -> None:
    ratio = torch.tensor([0.5, 1.5, 0.5, 1.5]).log().requires_grad_()
    clipped_loss(ratio, torch.tensor([1.0, 1.0, -1.0, -1.0]), 0.2, 0.2).sum().backward()
    # dL/d ln ρ = −ρ A, where the clip does not hold.
    assert ratio.grad.tolist() == pytest.approx([-0.5, 0.0, 0.0, 1.5])


@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-3, 3)), min_size=1, max_size=20), st.floats(0.01, 0.9))
def test_the_clip_is_that_of_a_plain_loop(pairs: list[tuple[float, float]], clip: float) -> None:
    expected = []
    for log_ratio, advantage in pairs:
        ratio = math.exp(log_ratio)
        held = min(max(ratio, 1 - clip), 1 + clip)
        expected.append(-min(ratio * advantage, held * advantage))
    ratios, advantages = torch.tensor(pairs, dtype=torch.float64).T
    assert clipped_loss(ratios, advantages, clip, clip).tolist() == pytest.approx(expected)


def test_advantages_of_groups_by_hand() -> None:
    # Rewards 1, 0, 0, 1: mean 1/2, standard deviation √(4 · 1/4 / 3) = 0.577350; ±0.5 / (0.577350 + 1e-4).
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])
    found = grpo_advantages(rewards)
    assert found[0].tolist() == pytest.approx([0.865876, -0.865876, -0.865876, 0.865876], abs=1e-5)
    # 0, 0, 0, 1: mean 1/4, standard deviation √((3/16 + 9/16) / 3) = 1/2; −1/4 and 3/4 over 0.5001.
    assert found[1].tolist() == pytest.approx([-0.499900, -0.499900, -0.499900, 1.499700], abs=1e-5)
    assert grpo_advantages(rewards, scale=False)[1].tolist() == [-0.25, -0.25, -0.25, 0.75]
    # The mean of the others: 1/3 where it is right, 2/3 where it is wrong; 0 and 1/3.
    assert rloo_advantages(rewards)[0].tolist() == pytest.approx([2 / 3, -2 / 3, -2 / 3, 2 / 3])
    assert rloo_advantages(rewards)[1].tolist() == pytest.approx([-1 / 3, -1 / 3, -1 / 3, 1.0])


groups = st.integers(2, 8).flatmap(
    lambda size: st.lists(st.lists(st.floats(0, 1), min_size=size, max_size=size), min_size=1, max_size=5)
)


@given(groups)
def test_advantages_of_a_group_add_up_to_nought(rewards: list[list[float]]) -> None:
    rewards_QG = torch.tensor(rewards, dtype=torch.float64)
    for found in (grpo_advantages(rewards_QG), grpo_advantages(rewards_QG, scale=False), rloo_advantages(rewards_QG)):
        assert found.shape == rewards_QG.shape
        assert found.sum(1).abs().max().item() < 1e-6
    # Leaving one out is the lead over the mean, n / (n − 1) times.
    size = rewards_QG.shape[1]
    whole = grpo_advantages(rewards_QG, scale=False)
    assert torch.allclose(rloo_advantages(rewards_QG), whole * size / (size - 1))
    assert differ(rewards_QG).tolist() == [max(group) > min(group) for group in rewards]


def test_what_is_just_written_is_learned_by_its_advantage() -> None:
    # ρ = 1, so L = −Σ A / 3 = −(1 + 1 − 2) / 3 = 0; the gradient is that of −Σ A log p / 3:
    # 1 after 0 with A = 1, then 0 after 1 with A = 1: −1/3 (−1/4, 1/4) and −1/3 (1/2, −1/2); then, in a row of its
    # own, 0 after 0 with A = −2: 2/3 (3/4, −3/4).
    rows = [played((0, 1, 0), 1.0, 1.0), played((0, 0), -2.0)]
    table = TABLE.clone().requires_grad_()
    it = policy()
    loss = it.loss(expect(table, rows)) / it.weight(rows)
    assert loss.item() == pytest.approx(0.0, abs=1e-6)
    loss.backward()
    assert torch.allclose(table.grad, torch.tensor([[7 / 12, -7 / 12], [-1 / 6, 1 / 6]]), atol=1e-6)


def test_three_ways_to_divide_by_hand() -> None:
    # One answer of two tokens with A = 1, one of one token with A = −1: losses −1, −1 and 1.
    rows = [played((0, 1, 0), 1.0, 1.0), played((0, 0), -1.0)]
    for normalize, expected in (
        ("tokens", -1 / 3),  # (−1 − 1 + 1) / 3
        ("rows", 0.0),  # ((−1 − 1) / 2 + 1) / 2
        ("length", -1 / (2 * LONGEST)),  # (−1 − 1 + 1) / (2 · longest)
    ):
        it = policy(normalize=normalize)
        loss = it.loss(expect(TABLE, rows)) / it.weight(rows)
        assert loss.item() == pytest.approx(expected, abs=1e-6), normalize


def test_what_was_written_before_a_step_by_hand() -> None:
    # p(1|0) = 3/4 where it was 1/2: ρ = 3/2, A = 1, clipped to 1.2: −1.2. p(0|1) = 1/2 where it was 1/4: ρ = 2,
    # A = −1, not clipped: 2.
    row = played((0, 1, 0), 1.0, -1.0, before=np.log([0.5, 0.25]))
    assert policy().loss(expect(TABLE, [row])).item() == pytest.approx(-1.2 + 2.0, abs=1e-6)
    # Clipped higher, to 1.4.
    assert policy(clip_above=0.4).loss(expect(TABLE, [row])).item() == pytest.approx(-1.4 + 2.0, abs=1e-6)


def test_the_reference_by_hand(learner: Learner) -> None:
    # p = 3/4, r = 1/2: r/p − ln(r/p) − 1 = 2/3 + ln(3/2) − 1 = 0.072132; p = 1/2, r = 1: 2 − ln 2 − 1 = 0.306853.
    # With weight 0.1: −1 + 1 + 0.1 · 0.378985.
    row = played((0, 1, 0), 1.0, -1.0, reference=np.log([0.5, 1.0]))
    found = policy(setting(learner), kl=0.1).loss(expect(TABLE, [row]))
    assert found.item() == pytest.approx(0.0378985, abs=1e-6)


def test_temperature_sharpens_what_is_learned() -> None:
    # At 1/2 the odds after 0 are 9 to 1: ρ = 9/10 over the 9/10 it was written with.
    row = played((0, 1), 1.0, before=np.log([0.9]))
    assert policy(temperature=0.5).loss(expect(TABLE, [row])).item() == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("normalize", ["tokens", "rows", "length"])
@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_the_gradient_of_the_policy_loss_is_the_derivative(normalize: Any, kl: float, learner: Learner) -> None:
    generator = np.random.default_rng(1)
    # Some within the clip and some beyond it.
    rows = [
        played(tokens, *generator.normal(size=learned), before=np.log(generator.uniform(0.1, 0.9, learned)),
               reference=np.log(generator.uniform(0.1, 0.9, learned)))
        for tokens, learned in (((0, 1, 2, 3), 3), ((3, 2), 1), ((1, 1, 0, 2, 2), 4))
    ]  # fmt: skip
    table = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    it = policy(setting(learner) if kl else None, normalize=normalize, kl=kl, temperature=0.7)
    assert torch.autograd.gradcheck(lambda weights: it.loss(expect(weights, rows)) / it.weight(rows), (table,))


def answers(learner: Learner) -> list[Row]:
    """Make answers of different length, two to each of four questions."""
    lessons = practices(4, "add_2")
    wrong = [replace(lesson, answer="#7") for lesson in lessons]
    return [row for pair in zip(lessons, wrong, strict=True) for row in encode_answers(pair, learner.tokenizer)]


@torch.no_grad()
def said(learner: Learner, rows: list[Row], temperature: float) -> list[np.ndarray]:
    found = learner.predict(rows).logprobs(temperature)
    return [it.numpy() for it in found.split([row.learned for row in rows])]


def padded(arrays: list[np.ndarray]) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(it) for it in arrays], batch_first=True)


ADVANTAGES = [0.9, -0.9, 1.1, -1.1, 0.4, -0.4, 0.0, 0.0]


@pytest.mark.parametrize(("normalize", "loss_type"),
                         [("rows", "grpo"), ("tokens", "bnpo"), ("tokens", "dapo"), ("length", "dr_grpo")])  # fmt: skip
@pytest.mark.parametrize(("kl", "temperature"), [(0.0, 1.0), (0.2, 0.7)])
def test_the_policy_loss_agrees_with_trl(
    normalize: Any, loss_type: str, kl: float, temperature: float, unsure: Learner, trl: Any,
    configure: Callable[..., Any],
) -> None:  # fmt: skip
    from datasets import Dataset

    learner = unsure
    rows = answers(learner)
    reference = said(learner, rows, temperature)
    it = policy(setting(learner), normalize=normalize, kl=kl, temperature=temperature, clip_above=0.28)
    move(learner.model, 0.02)
    before = said(learner, rows, temperature)
    move(learner.model, 0.02, seed=2)
    known = [
        Played(row.tokens, row.start, row.skill, np.full(row.learned, advantage, np.float32), was, referred)
        for row, advantage, was, referred in zip(rows, ADVANTAGES, before, reference, strict=True)
    ]
    ratios = np.exp(np.concatenate(said(learner, rows, temperature)) - np.concatenate(before))
    assert (ratios > 1.28).any() and (ratios < 0.8).any()
    ours = it.loss(learner.predict(known)) / it.weight(known)
    trainer = trl.GRPOTrainer(
        model=copy.deepcopy(learner.model),
        reward_funcs=lambda **_: [],
        # The divergence as it was published (Shao et al. 2024), which TRL weighs by the ratio unless it is told not to.
        args=configure(trl.GRPOConfig, num_generations=2, per_device_train_batch_size=2, loss_type=loss_type,
                       max_completion_length=LONGEST, temperature=temperature, epsilon=0.2, epsilon_high=0.28,
                       use_bias_correction_kl=False),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"] * 2}),
    )  # fmt: skip
    # It would load its reference by a name that the student's config does not hold; what the reference says is given.
    trainer.beta = kl
    trainer.model.eval()
    inputs = in_two(rows)
    inputs |= {
        "advantages": torch.tensor(ADVANTAGES),
        "old_per_token_logps": padded(before),
        "ref_per_token_logps": padded(reference),
        "num_items_in_batch": inputs["completion_mask"].sum(),
    }
    theirs = trainer._compute_loss(trainer.model, inputs)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5, abs=1e-7)
    one = gradient(learner, ours)
    other = torch.cat([found.flatten() for found in torch.autograd.grad(theirs, list(trainer.model.parameters()))])
    assert (one - other).norm() < 1e-4 * other.norm()


REWARDS = [1.0, 0.0, 0.25, 0.75, 0.5, 0.0, 1.0, 1.0]


def generated(trainer: Any, rows: list[Row]) -> dict[str, torch.Tensor]:
    """Let a trainer of TRL score answers as if its student had just written them."""
    ids = [list(row.tokens[: row.start]) for row in rows], [list(row.tokens[row.start :]) for row in rows]
    texts = trainer.processing_class.batch_decode(ids[1], skip_special_tokens=True)
    beside = {"GRPOTrainer": (*ids, None, texts, None, {}, None, None), "RLOOTrainer": (*ids, texts)}
    trainer._generate = lambda _: beside[type(trainer).__name__]
    return trainer._generate_and_score_completions([{"prompt": trainer.processing_class.decode(it)} for it in ids[0]])


@pytest.mark.parametrize(("name", "ours"), [("GRPO", grpo_advantages), ("RLOO", rloo_advantages)])
def test_advantages_agree_with_trl(
    name: str, ours: Callable[..., torch.Tensor], learner: Learner, trl: Any, configure: Callable[..., Any]
) -> None:
    from datasets import Dataset

    rows = answers(learner)
    kind = getattr(trl, f"{name}Config")
    trainer = getattr(trl, f"{name}Trainer")(
        model=copy.deepcopy(learner.model),
        reward_funcs=lambda **_: REWARDS,
        args=configure(kind, num_generations=4, per_device_train_batch_size=8, max_completion_length=LONGEST, beta=0.0),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"] * 2}),
    )
    theirs = generated(trainer, rows)["advantages"]
    assert torch.allclose(ours(torch.tensor(REWARDS).view(2, 4)).flatten(), theirs, rtol=1e-5, atol=1e-6)


def test_leaving_one_out_agrees_with_trl(learner: Learner, trl: Any, configure: Callable[..., Any]) -> None:
    # TRL weighs whole answers and averages over them; we weigh tokens. For answers that were just written the gradient
    # is the same, Σ A ∇ log p(answer), but for what it is divided by.
    from datasets import Dataset

    rows = answers(learner)
    rewards = torch.tensor(REWARDS).view(4, 2)
    trainer = trl.RLOOTrainer(
        model=copy.deepcopy(learner.model),
        reward_funcs=lambda **_: REWARDS,
        args=configure(trl.RLOOConfig, num_generations=2, per_device_train_batch_size=8, beta=0.0),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"] * 2}),
    )
    theirs = trainer._compute_loss(trainer.model, generated(trainer, rows)) * len(rows)
    it = Policy(RLOOConfig(group=2), setting(learner))
    known = it.label(rows, rloo_advantages(rewards), differ(rewards))
    assert len(known) == 6
    one = gradient(learner, it.loss(learner.predict(known)))
    other = torch.cat([found.flatten() for found in torch.autograd.grad(theirs, list(trainer.model.parameters()))])
    assert (one - other).norm() < 1e-4 * other.norm()


def plain_gae(reward: float, values: list[float], discount: float, trace: float) -> list[float]:
    """Give A_t = Σ_k (γλ)^k δ_(t+k), δ_t = r_t + γ V_(t+1) − V_t, straight from its definition."""
    length = len(values)
    errors = []
    for place in range(length):
        given = reward if place == length - 1 else 0.0
        following = values[place + 1] if place + 1 < length else 0.0
        errors.append(given + discount * following - values[place])
    return [
        sum((discount * trace) ** later * errors[place + later] for later in range(length - place))
        for place in range(length)
    ]


def test_generalised_advantages_by_hand() -> None:
    # γ = λ = 1/2, V = (1, 2, 4), reward 1: δ = (1/2 · 2 − 1, 1/2 · 4 − 2, 1 − 4) = (0, 0, −3);
    # A = (−3/16, −3/4, −3).
    assert gae(1.0, np.array([1.0, 2.0, 4.0]), 0.5, 0.5).tolist() == [-0.1875, -0.75, -3.0]
    # λ = 1 trusts the reward: A = r − V; λ = 0 the value head: A = δ.
    assert gae(1.0, np.array([0.25, 0.5]), 1.0, 1.0).tolist() == [0.75, 0.5]
    assert gae(1.0, np.array([0.25, 0.5]), 1.0, 0.0).tolist() == [0.25, 0.5]


@given(st.floats(0, 1), st.lists(st.floats(-2, 2), min_size=1, max_size=12), st.floats(0.1, 1), st.floats(0, 1))
def test_generalised_advantages_are_those_of_their_definition(
    reward: float, values: list[float], discount: float, trace: float
) -> None:
    found = gae(reward, np.array(values), discount, trace)
    assert found.tolist() == pytest.approx(plain_gae(reward, values, discount, trace), abs=1e-4)


def plain_ppo(
    rows: list[Valued], logprobs: list[list[torch.Tensor]], values: list[list[torch.Tensor]], config: PPOConfig
) -> torch.Tensor:
    """Add up both losses of PPO, token by token."""
    total = torch.zeros(())
    for row, said_T, valued_T in zip(rows, logprobs, values, strict=True):
        for place, (logprob, value) in enumerate(zip(said_T, valued_T, strict=True)):
            ratio = torch.exp(logprob - float(row.before[place]))  # type: ignore[index]
            advantage = float(row.advantages[place])
            held = min(max(ratio, 1 - config.clip), 1 + config.clip)
            loss = -min(ratio * advantage, held * advantage)
            old, aim = float(row.values[place]), float(row.returns[place])
            near = old + min(max(value - old, -config.clip), config.clip)
            loss = loss + config.value * 0.5 * max((value - aim) ** 2, (near - aim) ** 2)
            total = total + loss / (row.learned if config.normalize == "rows" else 1)
    return total


@pytest.mark.parametrize("normalize", ["tokens", "rows", "length"])
def test_the_loss_of_ppo_is_that_of_a_plain_loop(normalize: Any, unsure: Learner) -> None:
    learner = unsure
    config = PPOConfig(group=2, normalize=normalize, minibatches=1, passes=1)
    objective = PPO(config, setting(learner))
    (step,) = objective.steps(practices(3, "add_2"))
    (head,) = objective.modules
    # Both have moved since, some tokens beyond the clip.
    move(learner.model, 0.01)
    move(head, 0.05)
    ours = step.loss(learner.predict(step.rows))
    predictions = learner.predict(step.rows)
    lengths = [row.learned for row in step.rows]
    logprobs = [list(it) for it in predictions.logprobs().split(lengths)]
    values = [list(it) for it in head(predictions.states_NH)[:, 0].split(lengths)]
    plain = plain_ppo(list(step.rows), logprobs, values, config)  # type: ignore[arg-type]
    assert ours.item() == pytest.approx(plain.item(), rel=1e-5)
    weights = [*learner.weights, *head.parameters()]
    for one, other in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(plain, weights), strict=True):
        assert (one - other).norm() <= 1e-4 * other.norm() + 1e-7


def test_the_value_head_by_hand() -> None:
    # The states of the smallest model are its logits: (0, ln 3) after 0, (0, 0) after 1. A head (0, 1/ln 3) values
    # them 1 and 0. At the first token it said 1/2 and should have said 2: (1 − 2)² = 1, clipped (1/2 + 1/5 − 2)² =
    # 1.69, the larger; at the second it said 0 and should have said 1: 1 both ways. Half of that, half as heavy:
    # (1.69 + 1) / 4; advantages are nought.
    objective = PPO(PPOConfig(), setting())
    (head,) = objective.modules
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[0.0, 1 / LN3]]))
    row = Valued((0, 1, 0), 1, "s", np.zeros(2), None, None, np.array([0.5, 0.0]), np.array([2.0, 1.0]))
    assert objective._loss(expect(TABLE, [row])).item() == pytest.approx(2.69 / 4, abs=1e-6)


@pytest.mark.parametrize("normalize", ["tokens", "rows", "length"])
@pytest.mark.parametrize("kl", [0.0, 0.3])
def test_the_gradient_of_the_whole_loss_of_ppo_is_the_derivative(normalize: Any, kl: float, learner: Learner) -> None:
    generator = np.random.default_rng(2)
    rows = [
        Valued(
            tokens, len(tokens) - learned, "s", generator.normal(size=learned),
            np.log(generator.uniform(0.1, 0.9, learned)), np.log(generator.uniform(0.1, 0.9, learned)),
            generator.normal(size=learned), generator.normal(size=learned),
        )
        for tokens, learned in (((0, 1, 2, 3), 3), ((3, 2), 1), ((1, 1, 0, 2, 2), 4))
    ]  # fmt: skip
    # The value head reads the logits, as wide as they are, in double precision.
    objective = PPO(PPOConfig(normalize=normalize, kl=kl, temperature=0.7, clip=0.5), setting(learner))
    head = torch.nn.Linear(4, 1, dtype=torch.float64)
    objective._value = head
    draw = torch.Generator().manual_seed(2)
    table = torch.randn(4, 4, generator=draw, dtype=torch.float64).requires_grad_()
    with torch.no_grad():
        head.weight.normal_(generator=draw)
        head.bias.fill_(0.1)
    # What it values lies within the clip at some tokens, and beyond it at others.
    moved = objective._values(expect(table, rows)).detach().numpy() - np.concatenate([row.values for row in rows])
    assert 0 < (abs(moved) > objective._config.clip).sum() < len(moved)

    def loss(*_: torch.Tensor) -> torch.Tensor:
        # It is the table and the head themselves that are moved.
        found = objective._loss(expect(table, rows))
        assert found.dtype == torch.float64
        return found

    assert torch.autograd.gradcheck(loss, (table, head.weight, head.bias))


def test_what_is_valued_is_what_was_written(unsure: Learner) -> None:
    learner = unsure
    config = PPOConfig(group=2, minibatches=2, passes=3, gae=0.9, discount=0.95)
    objective = PPO(config, setting(learner))
    steps = list(objective.steps(practices(4, "add_2")))
    assert len(steps) == 2 * 3
    # Each pass takes every answer once.
    passes = [sorted(row.tokens for step in steps[start : start + 2] for row in step.rows) for start in (0, 2, 4)]
    assert passes[0] == passes[1] == passes[2]
    assert len(passes[0]) == 8
    rows = [row for step in steps[:2] for row in step.rows]
    every = np.concatenate([row.advantages for row in rows])
    # Advantages are centred and of unit spread over the roll-out; a head of noughts values nothing.
    assert every.mean() == pytest.approx(0, abs=1e-5)
    assert every.std() == pytest.approx(1, abs=1e-4)
    for row, before in zip(rows, said(learner, rows, 1.0), strict=True):
        assert row.values.tolist() == [0.0] * row.learned
        assert row.before == pytest.approx(before, abs=1e-4)
        # V is nought, so what it should have said is the reward, discounted by (γλ) a token.
        reward = row.returns[-1]
        assert reward in (0.0, 1.0)
        assert row.returns == pytest.approx([reward * 0.855**later for later in range(row.learned)][::-1], abs=1e-5)


@pytest.mark.parametrize("make", [partial(GRPO, GRPOConfig()), partial(RLOO, RLOOConfig())])
def test_nothing_lies_between_an_answer_and_its_step(make: Any, unsure: Learner) -> None:
    (step,) = make(setting(unsure)).steps(practices(6))
    assert all(row.before is None and row.reference is None for row in step.rows)
