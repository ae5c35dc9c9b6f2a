"""What is learned from answers and from a tutor's probabilities: by hand, against transformers and against TRL."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from itertools import islice
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_args

import items
import numpy as np
import pytest
import torch

from tests.learning import expect, gradient, in_two, loss_of, move, practices, setting
from tests.making import demonstration
from tft.config.training import DistillationConfig, SupervisedConfig
from tft.training.distillation import Distillation, Scored
from tft.training.divergence import Divergence, divergence
from tft.training.learner import Learner
from tft.training.rows import IGNORED, Row, collate, encode
from tft.training.supervised import Supervised, supervised_loss
from tft.tutor import Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KINDS: tuple[Divergence, ...] = get_args(Divergence)

pytestmark = pytest.mark.usefixtures("one_thread")


def mean_loss(table_VV: torch.Tensor, *rows: Row) -> torch.Tensor:
    """Give the loss of one step."""
    (step,) = Supervised(SupervisedConfig(), setting()).steps(list(rows))
    return loss_of(step, table_VV)


# After token 0 the odds of 1 against 0 are 3 to 1, after token 1 they are 1 to 1:
# softmax(0, ln 3) = (1/4, 3/4) and softmax(0, 0) = (1/2, 1/2).
TABLE = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])


def test_one_row_by_hand() -> None:
    # 0 is read; 1, 0, 1 are learned: p(1|0) p(0|1) p(1|0) = 3/4 · 1/2 · 3/4.
    # L = −(2 ln 3/4 + ln 1/2) / 3 = (2 · 0.287682 + 0.693147) / 3 = 0.422837
    loss = mean_loss(TABLE, Row((0, 1, 0, 1), 1, "s"))
    assert loss.item() == pytest.approx(0.422837, abs=1e-6)
    assert loss.shape == ()


def test_it_is_a_sum_that_the_step_divides() -> None:
    # The same without the division: 3 · 0.422837. Parts of a step add up to it.
    rows = [Row((0, 1, 0, 1), 1, "s"), Row((1, 1), 1, "s")]
    whole = supervised_loss(expect(TABLE, rows))
    assert whole.item() == pytest.approx(3 * 0.422837 + math.log(2), abs=1e-6)
    assert whole.item() == pytest.approx(sum(supervised_loss(expect(TABLE, [row])).item() for row in rows))


def test_the_prompt_carries_no_loss() -> None:
    # Of the same row only the last token is learned: L = −ln p(1|0) = −ln 3/4.
    assert mean_loss(TABLE, Row((0, 1, 0, 1), 3, "s")).item() == pytest.approx(-math.log(3 / 4))


def test_rows_of_different_length_are_averaged_over_tokens_not_over_rows() -> None:
    # Row one learns p(1|0) p(0|1) p(0|0) = 3/4 · 1/2 · 1/4, row two p(1|1) = 1/2; four tokens.
    # L = −(ln 3/4 + ln 1/2 + ln 1/4 + ln 1/2) / 4 = (0.287682 + 0.693147 + 1.386294 + 0.693147) / 4 = 0.765068
    # Averaged over rows it would be ((0.287682 + 0.693147 + 1.386294) / 3 + 0.693147) / 2 = 0.741094.
    loss = mean_loss(TABLE, Row((0, 1, 0, 0), 1, "s"), Row((1, 1), 1, "s"))
    assert loss.item() == pytest.approx(0.765068, abs=1e-6)


def test_a_fair_coin_costs_the_logarithm_of_two() -> None:
    assert mean_loss(torch.zeros(2, 2), Row((0, 1, 1, 0, 0), 1, "s")).item() == pytest.approx(math.log(2))


def test_the_gradient_by_hand() -> None:
    # dL/dlogits of the one learned token, 1 after 0, is softmax − one-hot = (1/4, 3/4 − 1); after 1 nothing is learned.
    table = TABLE.clone().requires_grad_()
    mean_loss(table, Row((1, 0, 1), 2, "s")).backward()
    assert torch.allclose(table.grad, torch.tensor([[0.25, -0.25], [0.0, 0.0]]))


def test_the_gradient_is_the_derivative() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden_VH = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    head_VH = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    rows = Row((0, 1, 2, 3, 4), 2, "s"), Row((4, 3, 0), 1, "s")

    def loss(head: torch.Tensor) -> torch.Tensor:
        return mean_loss(hidden_VH @ head.T, *rows)

    assert loss(head_VH).dtype == torch.float64
    assert torch.autograd.gradcheck(loss, (head_VH,))


def test_half_precision_is_summed_in_full() -> None:
    table = (50 * torch.randn(64, 64, generator=torch.Generator().manual_seed(1))).bfloat16()
    row = Row(tuple(range(64)), 1, "s")
    loss = mean_loss(table, row)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(mean_loss(table.double(), row).item(), rel=1e-5)


@pytest.fixture(scope="module")
def rows(tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """Make rows of different length, long sums and short differences."""
    questions = [*islice(items.draw("add_3", Random(1)), 5), *islice(items.draw("sub_1", Random(1)), 3)]
    found = encode([demonstration(question) for question in questions], tokenizer)
    assert len({len(row.tokens) for row in found}) > 1
    return found


def supervised(learner: Learner, rows: list[Row]) -> torch.Tensor:
    (step,) = Supervised(SupervisedConfig(), setting(learner)).steps(rows)
    return step.loss(learner.predict(step.rows)) / step.weight


def test_it_agrees_with_transformers(learner: Learner, rows: list[Row]) -> None:
    batch = collate(rows, learner.tokenizer.pad_token_id, learner.device)
    ours, theirs = supervised(learner, rows), learner.model(**batch).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    one, other = gradient(learner, ours), gradient(learner, theirs)
    assert (one - other).norm() < 1e-5 * other.norm()


def test_it_agrees_with_trl(learner: Learner, rows: list[Row], trl: Any, configure: Callable[..., Any]) -> None:
    from datasets import Dataset

    batch = collate(rows, learner.tokenizer.pad_token_id, learner.device)
    tokens = [list(row.tokens) for row in rows]
    labels = [[IGNORED] * row.start + list(row.tokens[row.start :]) for row in rows]
    trainer = trl.SFTTrainer(
        model=copy.deepcopy(learner.model),
        args=configure(trl.SFTConfig, per_device_train_batch_size=8, max_length=None),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": tokens, "labels": labels}),
    )
    theirs = trainer.compute_loss(trainer.model, dict(batch))
    assert supervised(learner, rows).item() == pytest.approx(theirs.item(), rel=1e-5)


# Tutor p = (3/4, 1/4), student q = (1/2, 1/2).
# forward: 3/4 ln(3/2) + 1/4 ln(1/2) = 0.304099 − 0.173287 = 0.130812
# reverse: 1/2 ln(2/3) + 1/2 ln 2 = −0.202733 + 0.346574 = 0.143841
# Jensen-Shannon, mixture 1/2: m = (5/8, 3/8);
#   1/2 (3/4 ln(6/5) + 1/4 ln(2/3)) + 1/2 (1/2 ln(4/5) + 1/2 ln(4/3)) = 0.017687 + 0.016135 = 0.033822
# mixture 1/4: m = p/4 + 3q/4 = (9/16, 7/16);
#   1/4 (3/4 ln(4/3) + 1/4 ln(4/7)) + 3/4 (1/2 ln(8/9) + 1/2 ln(8/7)) = 0.018965 + 0.005905 = 0.024870
BY_HAND = [
    ("forward_kl", 0.5, 0.130812),
    ("reverse_kl", 0.5, 0.143841),
    ("jensen_shannon", 0.5, 0.033822),
    ("jensen_shannon", 0.25, 0.024870),
]


@pytest.mark.parametrize(("kind", "mixture", "expected"), BY_HAND)
def test_divergences_by_hand(kind: Divergence, mixture: float, expected: float) -> None:
    tutor = torch.tensor([[0.75, 0.25]]).log()
    found = divergence(kind, torch.tensor([[2.0, 2.0]]), tutor, mixture=mixture)
    assert found.tolist() == pytest.approx([expected], abs=1e-6)


# The same tutor over three tokens, p = (1/2, 1/4, 1/4), gives its likeliest alone; the student's q = (1/4, 1/4, 1/2).
# What is left is p = (1/2, 1/2) against q = (1/4, 3/4):
# forward: 1/2 ln 2 + 1/2 ln(2/3) = 0.143841; reverse: 1/4 ln(1/2) + 3/4 ln(3/2) = 0.130812
# Jensen-Shannon: m = (3/8, 5/8); the two halves of above the other way round, 0.033822.
@pytest.mark.parametrize(
    ("kind", "expected"), [("forward_kl", 0.143841), ("reverse_kl", 0.130812), ("jensen_shannon", 0.033822)]
)
def test_a_tail_by_hand(kind: Divergence, expected: float) -> None:
    logits = torch.tensor([[0.25, 0.25, 0.5]]).log()
    found = divergence(kind, logits, torch.tensor([[0.5]]).log(), torch.tensor([[0]]))
    assert found.tolist() == pytest.approx([expected], abs=1e-6)


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("top", [None, 3])
def test_gradients_of_divergences_are_the_derivatives(kind: Divergence, top: int | None) -> None:
    tutor, ids = torch.log_softmax(draw(4, 6, seed=1, dtype=torch.float64), -1), None
    if top is not None:
        tutor, ids = tutor.topk(top, -1)
    logits = draw(4, 6, seed=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda it: divergence(kind, it, tutor, ids, 0.3), (logits,))


# TRL's beta says the same as our mixture, but for its ends, which are the divergences themselves.
IN_TRL: list[tuple[Divergence, float, float]] = [
    ("forward_kl", 0.5, 0.0),
    ("reverse_kl", 0.5, 1.0),
    ("jensen_shannon", 0.5, 0.5),
    ("jensen_shannon", 0.2, 0.2),
]


@pytest.mark.usefixtures("trl")
@pytest.mark.parametrize(("kind", "mixture", "beta"), IN_TRL)
def test_divergences_agree_with_generalised_knowledge_distillation_in_trl(
    kind: Divergence, mixture: float, beta: float
) -> None:
    from trl.experimental.gkd import GKDTrainer

    student, tutor = draw(5, 7, 64, seed=1), draw(5, 7, 64, seed=2)
    theirs = GKDTrainer.generalized_jsd_loss(student, tutor, beta=beta, reduction="none").sum(-1).flatten()
    ours = divergence(kind, student.view(-1, 64), tutor.log_softmax(-1).view(-1, 64), mixture=mixture)
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), rel=1e-5)


@pytest.mark.usefixtures("trl")
@pytest.mark.parametrize(("kind", "mixture", "beta"), IN_TRL)
def test_tails_agree_with_those_of_self_distillation_in_trl(kind: Divergence, mixture: float, beta: float) -> None:
    from trl.experimental.sdft.loss_utils import compute_topk_self_distillation_loss

    student, tutor = draw(35, 64, seed=1), draw(35, 64, seed=2)
    theirs = compute_topk_self_distillation_loss(
        student, tutor, distillation_topk=8, distillation_alpha=beta, distillation_add_tail=True
    )
    # There the student says which tokens are compared.
    ids = student.topk(8, -1).indices
    ours = divergence(kind, student, tutor.log_softmax(-1).gather(-1, ids), ids, mixture)
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), rel=1e-5)


# Rows of a tutor that says what it expects after 0 and after 1: (1/2, 1/2) and (3/4, 1/4).
EXPECTED = np.log([[0.5, 0.5], [0.75, 0.25]]).astype(np.float32)


def distilled(config: DistillationConfig, rows: list[Scored], table_VV: torch.Tensor) -> torch.Tensor:
    """Give the loss of a step whose answers are there already."""
    scorer = SimpleNamespace(shares_tokens=lambda _: True)
    objective = Distillation(config, setting(small_tokens(), scorer=scorer))
    objective._score = lambda _: rows  # type: ignore[method-assign, assignment, return-value]
    (step,) = objective.steps([])
    return loss_of(step, table_VV)


def small_tokens() -> Any:
    return SimpleNamespace(tokenizer=None, write_questions=lambda _: [])


def test_distillation_by_hand() -> None:
    # The row learns 1 after 0 and 0 after 1. Student (1/4, 3/4) and (1/2, 1/2), tutor (1/2, 1/2) and (3/4, 1/4):
    # forward: (1/2 ln 2 + 1/2 ln(2/3) + 0.130812) / 2 = (0.143841 + 0.130812) / 2 = 0.137327
    # reverse: (0.130812 + 0.143841) / 2, the same.
    row = Scored((0, 1, 0), 1, "s", None, EXPECTED)
    for kind in ("forward_kl", "reverse_kl"):
        assert distilled(DistillationConfig(divergence=kind), [row], TABLE).item() == pytest.approx(0.137327, abs=1e-6)


def test_distillation_is_averaged_over_tokens() -> None:
    # A second row of one token, 1 after 0, costs 0.143841: (2 · 0.137327 + 0.143841) / 3.
    rows = [Scored((0, 1, 0), 1, "s", None, EXPECTED), Scored((0, 1), 1, "s", None, EXPECTED[:1])]
    config = DistillationConfig(divergence="forward_kl")
    assert distilled(config, rows, TABLE).item() == pytest.approx((2 * 0.137327 + 0.143841) / 3, abs=1e-6)


def test_sampled_distillation_by_hand() -> None:
    # The tutor leads by 1 at the first token and by −2 at the second: L = −(1 · ln 3/4 − 2 ln 1/2) / 2 = −0.549306,
    # and what it likes better gets likelier: dL/dlogits = −lead · (one-hot − softmax) / 2,
    # after 0 −1/2 (−1/4, 1/4), after 1 +1 (1/2, −1/2).
    row = Scored((0, 1, 0), 1, "s", None, np.array([1.0, -2.0], np.float32))
    table = TABLE.clone().requires_grad_()
    loss = distilled(DistillationConfig(divergence="sampled"), [row], table)
    assert loss.item() == pytest.approx(-0.549306, abs=1e-6)
    loss.backward()
    assert torch.allclose(table.grad, torch.tensor([[0.125, -0.125], [0.5, -0.5]]))


@pytest.mark.parametrize("kind", [*KINDS, "sampled"])
def test_the_gradient_of_distillation_is_the_derivative(kind: Any) -> None:
    generator = np.random.default_rng(1)
    likely = np.log(generator.dirichlet(np.ones(3), 4)).astype(np.float32)
    given = np.ones(4, np.float32) if kind == "sampled" else likely
    ids = None if kind == "sampled" else np.array([[0, 2, 4]] * 4)
    if ids is not None:
        given = given + np.float32(math.log(0.9))
    row = Scored((0, 1, 2, 3, 4), 1, "s", ids, given)
    table = draw(5, 5, seed=3, dtype=torch.float64).requires_grad_()
    loss = partial(distilled, DistillationConfig(divergence=kind, mixture=0.3), [row])
    assert torch.autograd.gradcheck(loss, (table,))


@pytest.mark.usefixtures("trl")
def test_sampled_distillation_agrees_with_trl() -> None:
    from trl.experimental.sdft.loss_utils import compute_sampled_token_self_distillation_loss

    student, tutor, tokens = draw(1, 9, 64, seed=1), draw(1, 9, 64, seed=2), torch.arange(9)[None]
    theirs = compute_sampled_token_self_distillation_loss(student, tutor, tokens, distillation_alpha=1.0)
    chosen = [it.log_softmax(-1)[0, range(9), range(9)].numpy() for it in (student, tutor)]
    row = Scored((63, *range(9)), 1, "s", None, chosen[1] - chosen[0])
    table = torch.zeros(64, 64)
    table[[63, *range(8)]] = student[0]
    ours = distilled(DistillationConfig(divergence="sampled"), [row], table)
    assert ours.item() == pytest.approx(theirs.mean().item(), rel=1e-5)


@pytest.mark.parametrize(("kind", "mixture", "beta"), IN_TRL)
def test_distillation_agrees_with_trl(
    kind: Any, mixture: float, beta: float, learner: Learner, scorer: Scorer, trl: Any, configure: Callable[..., Any]
) -> None:
    from datasets import Dataset

    # A small divergence is the difference of large numbers.
    move(learner.model, 0.1)
    config = DistillationConfig(divergence=kind, mixture=mixture, top_k=None)
    (step,) = Distillation(config, setting(learner, scorer=scorer)).steps(practices(6, "add_2"))
    ours = step.loss(learner.predict(step.rows)) / step.weight
    trainer = trl.DistillationTrainer(
        model=copy.deepcopy(learner.model),
        teacher_model=copy.deepcopy(scorer._tutor.engine.model),
        args=configure(trl.DistillationConfig, per_device_train_batch_size=6, beta=beta),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"] * 6}),
    )
    inputs = in_two(step.rows)
    theirs = trainer._compute_loss(trainer.model, inputs, None)[0]
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    one = gradient(learner, ours)
    other = torch.cat([it.flatten() for it in torch.autograd.grad(theirs, list(trainer.model.parameters()))])
    assert (one - other).norm() < 1e-4 * other.norm()
