"""Direct preference optimisation (Rafailov et al. 2023) and its variants: of two answers the better gets likelier.

The reference is the student as it came into the cycle. What it said of the pairs is asked once, before the first step,
so no second model is kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from tft.training.objective import Setting, Step
from tft.training.rows import Row, batches_of, encode_pair

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tft.config.training import DPOConfig
    from tft.records import Lesson
    from tft.training.learner import Learner, Predictions

_WITHOUT_REFERENCE = ("simpo", "orpo")


@dataclass(frozen=True)
class Compared(Row):
    """One answer of a pair."""

    reference: float
    """Its log-probability under the reference, in nats."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """What a student says of P pairs; each tensor is [P], log-probabilities of whole answers in nats."""

    chosen: torch.Tensor
    rejected: torch.Tensor
    reference_chosen: torch.Tensor
    reference_rejected: torch.Tensor
    chosen_tokens: torch.Tensor
    rejected_tokens: torch.Tensor


class DPO:
    """Learns from pairs of answers."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: DPOConfig, setting: Setting) -> None:
        self._config = config
        self._setting = setting

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[tuple[Compared, Compared]]]:
        """Ask the reference about every pair, and cut the pairs into batches of like length."""
        learner = self._setting.learner
        flat = [row for lesson in lessons for row in encode_pair(lesson, learner.tokenizer)]
        if self._config.loss in _WITHOUT_REFERENCE:
            said = [0.0] * len(flat)
        else:
            size = self._setting.training.batch_size
            said = self._setting.workers.each(flat, lambda mine: ask_reference(learner, mine, size))
        rows = [Compared(row.tokens, row.start, row.skill, it) for row, it in zip(flat, said, strict=True)]
        pairs = list(zip(rows[::2], rows[1::2], strict=True))
        size = max(1, self._setting.training.batch_size // 2)
        passes = self._setting.passes(self._config.epochs, len(pairs), size)
        return batches_of(pairs, size, rng, lambda it: len(it[0].tokens), passes)

    def steps(self, unit: list[tuple[Compared, Compared]]) -> Iterator[Step]:
        """Make one step of a batch of pairs."""
        yield Step([row for pair in unit for row in pair], self._loss, len(unit), together=2)

    def _loss(self, predictions: Predictions) -> torch.Tensor:
        logprobs_N = predictions.logprobs()
        sums_B = predictions.by_row(logprobs_N)
        tokens_B = torch.tensor([float(row.learned) for row in predictions.rows], device=sums_B.device)
        reference_B = torch.tensor([row.reference for row in predictions.rows], device=sums_B.device)  # type: ignore[attr-defined]
        pairs = Pairs(*(it[side::2] for it in (sums_B, reference_B, tokens_B) for side in (0, 1)))
        losses_P = dpo_losses(self._config, pairs)
        with torch.no_grad():
            self._setting.note("preferred", (margins(pairs) > 0).float().mean().item())
        if self._config.supervised:
            losses_P = losses_P - self._config.supervised * pairs.chosen / pairs.chosen_tokens
        return losses_P.sum()


def margins(pairs: Pairs) -> torch.Tensor:
    """Give by how much the student has come to favour the chosen answer, in nats; [P]."""
    return (pairs.chosen - pairs.reference_chosen) - (pairs.rejected - pairs.reference_rejected)


def ask_reference(learner: Learner, rows: Sequence[Row], size: int) -> list[float]:
    """Give the log-probability of each answer under the student as it is now, in nats."""
    said: list[float] = learner.ask(rows, lambda found: found.by_row(found.logprobs()), size).tolist()
    return said


def dpo_losses(config: DPOConfig, pairs: Pairs) -> torch.Tensor:
    """Measure the loss of each pair; [P].

    With w and l the log-ratios of chosen and rejected answer to the reference, d = w − l, σ the logistic function and
    ε the label smoothing:

    sigmoid: −(1−ε) log σ(β d) − ε log σ(−β d) · hinge: max(0, 1 − β d) · ipo: (d̄ − 1/(2β))², d̄ of averages a token
    (Azar et al. 2023) · robust: ((ε−1) log σ(β d) + ε log σ(−β d)) / (1 − 2ε) (Chowdhury et al. 2024) · exo_pair: Ji et
    al. 2024, equation 16 · nca_pair: Chen et al. 2024 · bco_pair: −log σ(β w) − log σ(−β l) (Jung et al. 2024, without
    its running mean) · sppo_hard: (w − 1/(2β))² + (l + 1/(2β))² (Wu et al. 2024) · apo_zero, apo_down: D'Oosterlinck
    et al. 2024 · discopop: Lu et al. 2024 · sigmoid_norm: sigmoid on averages a token · simpo: −log σ(β averages
    apart − margin) (Meng et al. 2024) · orpo: −β log σ(log-odds apart) of averages a token (Hong et al. 2024, without
    its supervised part, which ``supervised`` adds).
    """
    beta, epsilon = config.beta, config.label_smoothing
    won, lost = pairs.chosen - pairs.reference_chosen, pairs.rejected - pairs.reference_rejected
    lead = beta * (won - lost)
    match config.loss:
        case "sigmoid":
            return -(1 - epsilon) * F.logsigmoid(lead) - epsilon * F.logsigmoid(-lead)
        case "hinge":
            return torch.relu(1 - lead)
        case "ipo":
            return (won / pairs.chosen_tokens - lost / pairs.rejected_tokens - 1 / (2 * beta)) ** 2
        case "robust":
            return (-(1 - epsilon) * F.logsigmoid(lead) + epsilon * F.logsigmoid(-lead)) / (1 - 2 * epsilon)
        case "exo_pair":
            return torch.sigmoid(lead) * (F.logsigmoid(lead) - math.log1p(-epsilon)) + torch.sigmoid(-lead) * (
                F.logsigmoid(-lead) - math.log(epsilon)
            )
        case "nca_pair":
            return -F.logsigmoid(beta * won) - 0.5 * F.logsigmoid(-beta * won) - 0.5 * F.logsigmoid(-beta * lost)
        case "bco_pair":
            return -F.logsigmoid(beta * won) - F.logsigmoid(-beta * lost)
        case "sppo_hard":
            return (won - 0.5 / beta) ** 2 + (lost + 0.5 / beta) ** 2
        case "apo_zero":
            return 1 - torch.sigmoid(beta * won) + torch.sigmoid(beta * lost)
        case "apo_down":
            return torch.sigmoid(beta * won) + 1 - torch.sigmoid(lead)
        case "discopop":
            modulation = torch.sigmoid(lead / 0.05)
            return -F.logsigmoid(lead) * (1 - modulation) + torch.exp(-lead) * modulation
        case "sigmoid_norm":
            return -F.logsigmoid(beta * (won / pairs.chosen_tokens - lost / pairs.rejected_tokens))
        case "simpo":
            apart = pairs.chosen / pairs.chosen_tokens - pairs.rejected / pairs.rejected_tokens
            return -F.logsigmoid(beta * apart - config.margin)
        case "orpo":
            odds = [log_odds(pairs.chosen / pairs.chosen_tokens), log_odds(pairs.rejected / pairs.rejected_tokens)]
            return -beta * F.logsigmoid(odds[0] - odds[1])


def log_odds(logprob: torch.Tensor) -> torch.Tensor:
    """log(p / (1 − p)) of log p."""
    return logprob - torch.log(-torch.expm1(logprob.clamp(max=-1e-7)))
