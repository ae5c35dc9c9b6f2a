"""What is learned from pairs of answers and from verdicts: by hand and against TRL."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError

from tests.learning import expect, gradient, loss_of, move, preferences, setting
from tft.config.training import DPOConfig, KTOConfig
from tft.training.dpo import DPO, Compared, Pairs, ask_reference, dpo_losses, log_odds, margins
from tft.training.kto import KTO, Marked, kto_losses
from tft.training.learner import Learner
from tft.training.objective import Step
from tft.training.rows import Row, encode_pair

pytestmark = pytest.mark.usefixtures("one_thread")

LOSSES = get_args(DPOConfig.model_fields["loss"].annotation)
LN2, LN3 = math.log(2), math.log(3)

# Two pairs, in nats. Both chosen answers have 2 tokens of probability 1/2, both rejected ones 4 of 1/4. By the first
# pair the student has learned: w = ln 2, l = −ln 2; by the second it has unlearned: w = −ln 2, l = ln 2.
# With β = 1, β d = ln 4 and −ln 4; σ(ln 4) = 4/5, σ(ln 2) = 2/3; averages a token are w/2 and l/4, so d̄ = ±3/4 ln 2.
PAIRS = Pairs(
    chosen=torch.tensor([-2 * LN2, -2 * LN2], dtype=torch.float64),
    rejected=torch.tensor([-8 * LN2, -8 * LN2], dtype=torch.float64),
    reference_chosen=torch.tensor([-3 * LN2, -LN2], dtype=torch.float64),
    reference_rejected=torch.tensor([-7 * LN2, -9 * LN2], dtype=torch.float64),
    chosen_tokens=torch.tensor([2.0, 2.0], dtype=torch.float64),
    rejected_tokens=torch.tensor([4.0, 4.0], dtype=torch.float64),
)
BY_HAND: list[tuple[dict[str, Any], float, float]] = [
    # −ln 4/5; −ln 1/5
    ({"loss": "sigmoid"}, 0.223144, 1.609438),
    # −3/4 ln 4/5 − 1/4 ln 1/5 = 0.167358 + 0.402359; −3/4 ln 1/5 − 1/4 ln 4/5 = 1.207078 + 0.055786
    ({"loss": "sigmoid", "label_smoothing": 0.25}, 0.569717, 1.262864),
    # max(0, 1 − ln 4); 1 + ln 4
    ({"loss": "hinge"}, 0.0, 2.386294),
    # (3/4 ln 2 − 1/2)²; (−3/4 ln 2 − 1/2)²
    ({"loss": "ipo"}, 0.000394, 1.040115),
    # (0.167358 − 0.402359) / (1/2); (1.207078 − 0.055786) / (1/2)
    ({"loss": "robust", "label_smoothing": 0.25}, -0.470004, 2.302585),
    # 4/5 (ln 4/5 − ln 3/4) + 1/5 (ln 1/5 − ln 1/4) = 0.051631 − 0.044629;
    # 1/5 (ln 1/5 − ln 3/4) + 4/5 (ln 4/5 − ln 1/4) = −0.264351 + 0.930521
    ({"loss": "exo_pair", "label_smoothing": 0.25}, 0.007002, 0.666169),
    # −ln 2/3 − 1/2 ln 1/3 − 1/2 ln 2/3 = 0.405465 + 0.549306 + 0.202733;
    # −ln 1/3 − 1/2 ln 2/3 − 1/2 ln 1/3 = 1.098612 + 0.202733 + 0.549306
    ({"loss": "nca_pair"}, 1.157504, 1.850651),
    # −2 ln 2/3; −2 ln 1/3
    ({"loss": "bco_pair"}, 0.810930, 2.197225),
    # 2 (ln 2 − 1/2)²; 2 (ln 2 + 1/2)²
    ({"loss": "sppo_hard"}, 0.074612, 2.847200),
    # 1 − 2/3 + 1/3; 1 − 1/3 + 2/3
    ({"loss": "apo_zero"}, 2 / 3, 4 / 3),
    # 2/3 + 1 − 4/5; 1/3 + 1 − 1/5
    ({"loss": "apo_down"}, 13 / 15, 17 / 15),
    # σ(ln 4 / 0.05) is 1 but for 1e-12, so exp(−ln 4); σ(−ln 4 / 0.05) is nought, so −ln 1/5
    ({"loss": "discopop"}, 0.25, 1.609438),
    # −ln σ(±3/4 ln 2) = ln(1 + 2^∓0.75)
    ({"loss": "sigmoid_norm"}, 0.466625, 0.986485),
    # Averages −ln 2 and −2 ln 2 are ln 2 apart whatever the reference: −ln 2/3
    ({"loss": "simpo"}, 0.405465, 0.405465),
    # β ln 2 − margin = 0: −ln 1/2
    ({"loss": "simpo", "margin": LN2}, LN2, LN2),
    # Odds 1 and 1/3 are ln 3 apart: −ln 3/4
    ({"loss": "orpo"}, 0.287682, 0.287682),
]


@pytest.mark.parametrize(("options", "learned", "unlearned"), BY_HAND, ids=lambda it: str(it))
def test_preference_losses_by_hand(options: dict[str, Any], learned: float, unlearned: float) -> None:
    found = dpo_losses(DPOConfig(beta=1.0, **options), PAIRS)
    assert found.tolist() == pytest.approx([learned, unlearned], abs=1e-6)


def test_every_variant_is_done_by_hand() -> None:
    assert {options["loss"] for options, *_ in BY_HAND} == set(LOSSES)


def test_beta_by_hand() -> None:
    # β = 1/2: β d = ln 2, so −ln 2/3; ipo: (3/4 ln 2 − 1)²; orpo: half of −ln 3/4; simpo: −ln σ(ln 2 / 2).
    for loss, expected in (("sigmoid", 0.405465), ("ipo", 0.230535), ("orpo", 0.143841), ("simpo", 0.534799)):
        found = dpo_losses(DPOConfig(loss=loss, beta=0.5), PAIRS)  # type: ignore[arg-type]
        assert found[0].item() == pytest.approx(expected, abs=1e-6), loss


def test_margins_by_hand() -> None:
    assert margins(PAIRS).tolist() == pytest.approx([2 * LN2, -2 * LN2])


def test_odds_by_hand() -> None:
    # p = 1/2: even; p = 3/4: three to one; certain: large, and finite.
    found = log_odds(torch.tensor([0.5, 0.75, 1.0]).log())
    assert found[:2].tolist() == pytest.approx([0.0, LN3], abs=1e-6)
    assert 15 < found[2].item() < 17


SMOOTHED = ("sigmoid", "robust", "exo_pair")


def smoothed(loss: str) -> DPOConfig:
    smoothing, margin = 0.1 * (loss in SMOOTHED), 0.2 * (loss == "simpo")
    return DPOConfig(loss=loss, beta=0.3, label_smoothing=smoothing, margin=margin)  # type: ignore[arg-type]


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_preference_losses_are_the_derivatives(loss: str) -> None:
    generator = torch.Generator().manual_seed(1)
    chosen, rejected = (-6 * torch.rand(5, generator=generator, dtype=torch.float64) - 1 for _ in range(2))
    rest = [-6 * torch.rand(5, generator=generator, dtype=torch.float64) for _ in range(2)]
    tokens = [torch.arange(2, 7, dtype=torch.float64), torch.arange(7, 2, -1, dtype=torch.float64)]

    def found(chosen: torch.Tensor, rejected: torch.Tensor) -> torch.Tensor:
        return dpo_losses(smoothed(loss), Pairs(chosen, rejected, rest[0], rest[1], tokens[0], tokens[1]))

    assert torch.autograd.gradcheck(found, (chosen.requires_grad_(), rejected.requires_grad_()))


# discopop is not convex, and leads the other way where an answer has no lead yet (Lu et al. 2024).
@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "discopop"])
def test_the_better_answer_gets_likelier_and_the_worse_one_less_likely(loss: str) -> None:
    # Before a step, where student and reference are one. apo_down is for chosen answers that are not good either.
    chosen, rejected = torch.tensor([-4.0], requires_grad=True), torch.tensor([-4.0], requires_grad=True)
    tokens = torch.tensor([3.0])
    pairs = Pairs(chosen, rejected, chosen.detach(), rejected.detach(), tokens, tokens)
    dpo_losses(smoothed(loss), pairs).sum().backward()
    assert rejected.grad.item() > 0
    assert chosen.grad.item() == 0 if loss == "apo_down" else chosen.grad.item() < 0


@pytest.mark.parametrize("loss", LOSSES)
def test_what_does_nothing_with_a_loss_is_refused(loss: str) -> None:
    for name, acts in (("label_smoothing", loss in SMOOTHED), ("margin", loss == "simpo")):
        # exo_pair is never without smoothing.
        values = {"loss": loss, "label_smoothing": 0.1 if loss == "exo_pair" else 0.0, name: 0.1}
        if acts:
            DPOConfig.model_validate(values)
        else:
            with pytest.raises(ValidationError, match=f"does nothing with {loss}"):
                DPOConfig.model_validate(values)


def test_a_wrong_pair_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValidationError, match="exo_pair is infinite without it"):
        DPOConfig(loss="exo_pair")


# After token 0 the odds of 1 against 0 are 3 to 1, after token 1 they are 1 to 1.
TABLE = torch.tensor([[0.0, LN3], [0.0, 0.0]])
# Chosen: p(1|0) p(1|1) = 3/4 · 1/2; rejected: p(0|0) = 1/4. The reference says 1/8 and 1/2.
# w = ln 3, l = −ln 2, d = ln 6.
PAIR = (Compared((0, 1, 1), 1, "s", -math.log(8)), Compared((0, 0), 1, "s", -LN2))


def test_a_step_of_pairs_by_hand() -> None:
    # −ln σ(ln 6) = −ln 6/7 for each of two pairs.
    (step,) = DPO(DPOConfig(beta=1.0, supervised=0), setting()).steps([PAIR, PAIR])
    assert loss_of(step, TABLE).item() == pytest.approx(-math.log(6 / 7), abs=1e-6)
    assert step.together == 2
    assert [row.tokens for row in step.rows] == [row.tokens for row in (*PAIR, *PAIR)]


def test_answers_are_averaged_over_their_own_tokens() -> None:
    # (w/2 − l/1 − 1/2)² = (ln 3 / 2 + ln 2 − 1/2)²
    (step,) = DPO(DPOConfig(beta=1.0, loss="ipo", supervised=0), setting()).steps([PAIR])
    assert loss_of(step, TABLE).item() == pytest.approx((LN3 / 2 + LN2 - 0.5) ** 2, abs=1e-6)


def test_cross_entropy_on_the_chosen_answer_is_added() -> None:
    # −ln 6/7 − 1/2 · (ln 3/4 + ln 1/2) / 2
    (step,) = DPO(DPOConfig(beta=1.0, supervised=0.5), setting()).steps([PAIR])
    expected = -math.log(6 / 7) - 0.25 * math.log(3 / 8)
    assert loss_of(step, TABLE).item() == pytest.approx(expected, abs=1e-6)


def test_it_is_told_which_pairs_are_preferred() -> None:
    told = setting()
    # Against a reference that was surer of it, the second chosen answer has lost: w = ln 3/8, l = −ln 2.
    worse = (Compared((0, 1, 1), 1, "s", 0.0), PAIR[1])
    (step,) = DPO(DPOConfig(supervised=0), told).steps([PAIR, worse])
    loss_of(step, TABLE)
    assert told.measures["preferred"] == [0.5]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_of_a_step_of_pairs_is_the_derivative(loss: str) -> None:
    table = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    pairs = [
        (Compared((0, 1, 2, 3), 1, "s", -3.0), Compared((0, 3, 2), 1, "s", -2.5)),
        (Compared((1, 2, 2), 2, "s", -1.0), Compared((1, 2, 0, 0, 1), 2, "s", -4.0)),
    ]
    config = smoothed(loss).model_copy(update={"supervised": 0.5})
    (step,) = DPO(config, setting()).steps(pairs)
    assert torch.autograd.gradcheck(lambda it: loss_of(step, it), (table,))


def learned_step(learner: Learner, config: DPOConfig, by: float = 0.02) -> Step:
    """Give the step of a student that has moved since the reference was asked."""
    told = setting(learner, batch_size=16)
    objective = DPO(config, told)
    (unit,) = objective.units(preferences(6), Random(1))
    move(learner.model, by)
    (step,) = objective.steps(unit)
    return step


SHARED = [loss for loss in LOSSES if loss not in ("simpo", "orpo")]


@pytest.mark.parametrize("loss", SHARED)
def test_preference_losses_agree_with_trl(loss: str, learner: Learner, trl: Any, configure: Callable[..., Any]) -> None:
    from datasets import Dataset

    reference = copy.deepcopy(learner.model)
    # TRL's sigmoid has no label smoothing.
    smoothing = 0.1 if loss in SMOOTHED and loss != "sigmoid" else 0.0
    step = learned_step(learner, DPOConfig(loss=loss, beta=0.3, label_smoothing=smoothing, supervised=0))  # type: ignore[arg-type]
    ours = step.loss(learner.predict(step.rows)) / step.weight
    trainer = trl.DPOTrainer(
        model=copy.deepcopy(learner.model),
        ref_model=reference,
        args=configure(trl.DPOConfig, loss_type=[loss], beta=0.3, label_smoothing=smoothing),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"], "chosen": ["#7"], "rejected": ["#8"]}),
    )
    batch = trainer.data_collator(
        [
            {
                "prompt_ids": list(chosen.tokens[: chosen.start]),
                "chosen_ids": list(chosen.tokens[chosen.start :]),
                "rejected_ids": list(rejected.tokens[rejected.start :]),
            }
            for chosen, rejected in zip(step.rows[::2], step.rows[1::2], strict=True)
        ]
    )
    theirs = trainer._compute_loss(trainer.model, batch, False)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    one = gradient(learner, ours)
    other = torch.cat([it.flatten() for it in torch.autograd.grad(theirs, list(trainer.model.parameters()))])
    assert (one - other).norm() < 1e-4 * other.norm()


def averages(learner: Learner, step: Step) -> tuple[torch.Tensor, torch.Tensor]:
    predictions = learner.predict(step.rows)
    sums = predictions.by_row(predictions.logprobs()) / torch.tensor([float(row.learned) for row in step.rows])
    return sums[::2], sums[1::2]


@pytest.mark.usefixtures("trl")
def test_simpo_agrees_with_trl(learner: Learner, configure: Callable[..., Any]) -> None:
    from datasets import Dataset
    from trl.experimental.cpo import CPOConfig, CPOTrainer

    step = learned_step(learner, DPOConfig(loss="simpo", beta=2.0, margin=0.5, supervised=0))
    trainer = CPOTrainer(
        model=copy.deepcopy(learner.model),
        args=configure(CPOConfig, loss_type="simpo", cpo_alpha=0.0, beta=2.0, simpo_gamma=0.5,
                       remove_unused_columns=False, max_length=256),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"], "chosen": ["#7"], "rejected": ["#8"]}),
    )  # fmt: skip
    theirs = trainer.cpo_loss(*averages(learner, step))[0]
    ours = step.loss(learner.predict(step.rows)) / step.weight
    assert ours.item() == pytest.approx(theirs.mean().item(), rel=1e-5)


@pytest.mark.usefixtures("trl")
def test_orpo_agrees_with_trl(learner: Learner, configure: Callable[..., Any]) -> None:
    from datasets import Dataset
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

    # Far enough from certain for the odds to be exact.
    step = learned_step(learner, DPOConfig(loss="orpo", beta=0.3, supervised=0), 0.1)
    trainer = ORPOTrainer(
        model=copy.deepcopy(learner.model),
        args=configure(ORPOConfig, beta=0.3, remove_unused_columns=False, max_length=256),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"], "chosen": ["#7"], "rejected": ["#8"]}),
    )
    # TRL takes it from the cross-entropy, so its sign is the other one.
    theirs = -trainer.odds_ratio_loss(*averages(learner, step))[0]
    ours = step.loss(learner.predict(step.rows)) / step.weight
    assert ours.item() == pytest.approx(theirs.mean().item(), rel=1e-5)


def test_cross_entropy_beside_preferences_agrees_with_trl(
    learner: Learner, trl: Any, configure: Callable[..., Any]
) -> None:
    # TRL averages it over the tokens of all chosen answers, we over each answer first (Pang et al. 2024): with one
    # pair there is no difference.
    from datasets import Dataset

    reference = copy.deepcopy(learner.model)
    objective = DPO(DPOConfig(beta=0.3, supervised=0.5), setting(learner))
    (unit,) = objective.units(preferences(1), Random(1))
    move(learner.model)
    (step,) = objective.steps(unit)
    chosen, rejected = step.rows
    trainer = trl.DPOTrainer(
        model=copy.deepcopy(learner.model),
        ref_model=reference,
        args=configure(trl.DPOConfig, loss_type=["sigmoid", "sft"], loss_weights=[1.0, 0.5], beta=0.3),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["Q3+4\nA"], "chosen": ["#7"], "rejected": ["#8"]}),
    )
    batch = trainer.data_collator([{
        "prompt_ids": list(chosen.tokens[: chosen.start]),
        "chosen_ids": list(chosen.tokens[chosen.start :]),
        "rejected_ids": list(rejected.tokens[rejected.start :]),
    }])  # fmt: skip
    theirs = trainer._compute_loss(trainer.model, batch, False)
    ours = step.loss(learner.predict(step.rows)) / step.weight
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


def test_verdicts_by_hand() -> None:
    # r = ln 2, −ln 2 and z = 0: right 1 − 2/3 and 1 − 1/3, wrong 1 − 1/3 and 1 − 2/3, twice as heavy.
    ratios, right = torch.tensor([LN2, -LN2, LN2, -LN2]), torch.tensor([True, True, False, False])
    found = kto_losses(KTOConfig(beta=1.0, wrong=2.0), ratios, right, 0.0)
    assert found.tolist() == pytest.approx([1 / 3, 2 / 3, 4 / 3, 2 / 3], abs=1e-6)
    # z = ln 2 takes from what is right what it gives to what is wrong: right 1 − σ(0), 1 − σ(−ln 4) = 4/5;
    # wrong 1 − σ(0), 1 − σ(ln 4) = 1/5. β = 2 would double what σ is given, so σ(−2 ln 4) = 1/17.
    found = kto_losses(KTOConfig(beta=1.0, right=3.0), ratios, right, LN2)
    assert found.tolist() == pytest.approx([3 / 2, 12 / 5, 1 / 2, 1 / 5], abs=1e-6)
    assert kto_losses(KTOConfig(beta=2.0), ratios, right, LN2)[1].item() == pytest.approx(16 / 17, abs=1e-6)


def test_gradients_of_verdicts_are_the_derivatives() -> None:
    ratios = torch.randn(6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    right = torch.tensor([True, False] * 3)
    config = KTOConfig(beta=0.4, right=1.5, wrong=0.5)
    assert torch.autograd.gradcheck(lambda it: kto_losses(config, it, right, 0.2), (ratios,))


def test_a_step_of_verdicts_by_hand() -> None:
    # The answers of PAIR, with r = ln 3 and −ln 2. Elsewhere the student says p(0|0) = 1/4 and p(1|0) = 3/4 where the
    # reference said 1/8 and 1/2, so z = (ln 2 + ln 3/2) / 2 = ln 3 / 2.
    # Right: 1 − σ(ln 3 / 2) = 1 / (1 + √3) = 0.366025; wrong: 1 − σ(ln 3 / 2 + ln 2) = 1 / (1 + 2√3) = 0.224009.
    unit = [
        Marked((0, 1, 1), 1, "s", True, -math.log(8), Row((0, 0), 1, "s"), -math.log(8)),
        Marked((0, 0), 1, "s", False, -LN2, Row((0, 1), 1, "s"), -LN2),
    ]
    told = setting(reckoner(TABLE))
    (step,) = KTO(KTOConfig(beta=1.0), told).steps(unit)
    assert told.measures["kl"] == pytest.approx([LN3 / 2])
    assert loss_of(step, TABLE).item() == pytest.approx((0.366025 + 0.224009) / 2, abs=1e-6)


def test_the_estimate_of_how_far_the_student_is_is_never_below_nought() -> None:
    unit = [Marked((0, 1), 1, "s", True, -LN2, Row((0, 0), 1, "s"), 0.0)]
    told = setting(reckoner(TABLE))
    list(KTO(KTOConfig(), told).steps(unit))
    assert told.measures["kl"] == [0.0]


def reckoner(table_VV: torch.Tensor) -> Any:
    """Make a learner of the smallest language model."""

    class Reckoner:
        device = torch.device("cpu")

        def predict(self, rows: list[Row]) -> Any:
            return expect(table_VV, rows)

        def ask(self, rows: list[Row], tell: Callable[[Any], torch.Tensor]) -> torch.Tensor:
            with torch.no_grad():
                return tell(self.predict(rows))

    return Reckoner()


def test_the_gradient_of_a_step_of_verdicts_is_the_derivative() -> None:
    table = torch.randn(4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    unit = [
        Marked((0, 1, 2, 3), 1, "s", True, -3.0, Row((0, 2), 1, "s"), -1.0),
        Marked((1, 2, 0), 2, "s", False, -1.0, Row((1, 3), 1, "s"), -1.0),
    ]
    (step,) = KTO(KTOConfig(beta=0.5, right=2.0), setting(reckoner(table))).steps(unit)
    assert torch.autograd.gradcheck(lambda it: loss_of(step, it), (table,))


def test_verdicts_agree_with_trl(learner: Learner, trl: Any, configure: Callable[..., Any]) -> None:
    from datasets import Dataset

    reference = copy.deepcopy(learner.model)
    told = setting(learner, batch_size=16)
    objective = KTO(KTOConfig(beta=0.3, right=1.5, wrong=0.7), told)
    (unit,) = objective.units(preferences(6), Random(1))
    move(learner.model)
    (step,) = objective.steps(unit)
    ours = step.loss(learner.predict(step.rows)) / step.weight
    trainer = trl.KTOTrainer(
        model=copy.deepcopy(learner.model),
        ref_model=reference,
        args=configure(trl.KTOConfig, beta=0.3, desirable_weight=1.5, undesirable_weight=0.7,
                       per_device_train_batch_size=2),
        processing_class=learner.tokenizer,
        train_dataset=Dataset.from_dict(
            {"prompt": ["Q3+4\nA"] * 2, "completion": ["#7", "#8"], "label": [True, False]}
        ),
    )  # fmt: skip
    batch = trainer.data_collator(
        [
            {
                "prompt_ids": list(row.tokens[: row.start]),
                "completion_ids": list(row.tokens[row.start :]),
                "KL_completion_ids": list(row.elsewhere.tokens[row.start :]),
                "label": row.right,
            }
            for row in unit
        ]
    )
    theirs = trainer._compute_loss(trainer.model, batch, False)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    one = gradient(learner, ours)
    other = torch.cat([it.flatten() for it in torch.autograd.grad(theirs, list(trainer.model.parameters()))])
    assert (one - other).norm() < 1e-4 * other.norm()


def test_the_reference_is_the_student_as_it_came(learner: Learner) -> None:
    lessons = preferences(5)
    rows = [row for lesson in lessons for row in encode_pair(lesson, learner.tokenizer)]
    found = ask_reference(learner, rows, 3)
    assert found == pytest.approx(ask_reference(learner, rows, 100), abs=1e-4)
    for loss in ("sigmoid", "simpo"):
        (unit,) = DPO(DPOConfig(loss=loss), setting(learner, batch_size=16)).units(lessons, Random(1))  # type: ignore[arg-type]
        given = {row.tokens: row.reference for pair in unit for row in pair}
        for row, said in zip(rows, found, strict=True):
            # Where there is no reference, none is asked.
            assert given[row.tokens] == (0.0 if loss == "simpo" else pytest.approx(said, abs=1e-4))


def test_verdicts_alone_are_learned_beside_pairs(learner: Learner) -> None:
    pair, first, second = preferences(3)
    alone = [replace(first, kind="verdict", rejected=None), replace(second, kind="verdict", answer="")]
    again = replace(alone[1], id="again", rejected="#0")
    (unit,) = KTO(KTOConfig(), setting(learner, batch_size=16)).units([pair, *alone, again], Random(1))
    spoken = {learner.tokenizer.decode(row.tokens[row.start :], skip_special_tokens=True): row for row in unit}
    assert {text: row.right for text, row in spoken.items()} == {
        pair.answer: True, pair.rejected: False, first.answer: True, second.rejected: False, "#0": False,
    }  # fmt: skip
    # The answer elsewhere is one to another question, however often a question is asked.
    for row in unit:
        questions = {other.tokens[: other.start] for other in unit if other.tokens[other.start :] in elsewhere(row)}
        assert row.tokens[: row.start] not in questions


def elsewhere(row: Marked) -> tuple[tuple[int, ...], ...]:
    return (row.elsewhere.tokens[row.start :],)


def test_answers_elsewhere_are_those_of_other_questions(learner: Learner) -> None:
    lessons = preferences(4)
    (unit,) = KTO(KTOConfig(), setting(learner, batch_size=16)).units(lessons, Random(1))
    answers = {text for lesson in lessons for text in (lesson.answer, lesson.rejected)}
    for row in unit:
        moved = learner.tokenizer.decode(row.elsewhere.tokens[row.start :], skip_special_tokens=True)
        own = learner.tokenizer.decode(row.tokens[row.start :], skip_special_tokens=True)
        assert row.elsewhere.tokens[: row.start] == row.tokens[: row.start]
        assert moved in answers and moved != own
    assert sum(row.right for row in unit) == len(lessons)
