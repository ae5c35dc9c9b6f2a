"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are right or wrong, each by itself.

What an answer gains is measured against z, an estimate of how far the student has moved from the reference at large:
the mean log-ratio of answers that are put after questions they do not belong to.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch

from tft.training.dpo import ask_reference
from tft.training.objective import Setting, Step
from tft.training.rows import Row, batches, encode_verdicts

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tft.config.training import KTOConfig
    from tft.records import Lesson
    from tft.training.learner import Predictions


@dataclass(frozen=True)
class Marked(Row):
    """An answer, and whether it is right."""

    right: bool
    reference: float
    """Its log-probability under the reference, in nats."""
    elsewhere: Row
    """The same question with the answer to another one."""
    elsewhere_reference: float


class KTO:
    """Learns from verdicts."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: KTOConfig, setting: Setting) -> None:
        self._config = config
        self._setting = setting

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Marked]]:
        """Take pairs apart, ask the reference about every answer and verdict, and cut them into batches."""
        learner, size = self._setting.learner, self._setting.training.batch_size
        answers = [answer for lesson in lessons for answer in encode_verdicts(lesson, learner.tokenizer)]
        rows = [row for row, _ in answers]
        moved = move_answers(rows)
        said, said_moved = (
            self._setting.workers.each(them, lambda mine: ask_reference(learner, mine, size)) for them in (rows, moved)
        )
        marked = [
            Marked(row.tokens, row.start, row.skill, right, own, other, theirs)
            for (row, right), own, other, theirs in zip(answers, said, moved, said_moved, strict=True)
        ]
        return batches(marked, size, rng, self._setting.passes(self._config.epochs, len(marked), size))

    def steps(self, unit: list[Marked]) -> Iterator[Step]:
        """Estimate z on the whole batch, and make one step of it."""
        learner = self._setting.learner

        def say(mine: Sequence[Marked]) -> list[float]:
            return learner.ask([row.elsewhere for row in mine], lambda found: found.by_row(found.logprobs())).tolist()

        said = self._setting.workers.each(unit, say)
        ratios = torch.tensor(said) - torch.tensor([row.elsewhere_reference for row in unit])
        z = max(0.0, ratios.mean().item())
        self._setting.note("kl", z)
        yield Step(unit, partial(_loss, self._config, z), len(unit))


def move_answers(rows: Sequence[Row]) -> list[Row]:
    """Put after every question an answer to the question before it, the last one before the first."""
    answers: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    for row in rows:
        answers.setdefault(row.tokens[: row.start], []).append(row.tokens[row.start :])
    others = dict(zip(answers, [*list(answers.values())[-1:], *list(answers.values())[:-1]], strict=True))
    met: Counter[tuple[int, ...]] = Counter()
    moved = []
    for row in rows:
        question = row.tokens[: row.start]
        other = others[question][met[question] % len(others[question])]
        met[question] += 1
        moved.append(Row((*question, *other), row.start, row.skill))
    return moved


def _loss(config: KTOConfig, z: float, predictions: Predictions) -> torch.Tensor:
    rows: list[Marked] = list(predictions.rows)  # type: ignore[arg-type]
    sums_B = predictions.by_row(predictions.logprobs())
    ratios_B = sums_B - torch.tensor([row.reference for row in rows], device=sums_B.device)
    right_B = torch.tensor([row.right for row in rows], device=sums_B.device)
    return kto_losses(config, ratios_B, right_B, z).sum()


def kto_losses(config: KTOConfig, ratios_B: torch.Tensor, right_B: torch.Tensor, z: float) -> torch.Tensor:
    """Measure the loss of each answer; [B].

    Right: λ (1 − σ(β (r − z))); wrong: λ (1 − σ(β (z − r))), with r the log-ratio to the reference (equation 8).
    """
    return torch.where(
        right_B,
        config.right * (1 - torch.sigmoid(config.beta * (ratios_B - z))),
        config.wrong * (1 - torch.sigmoid(config.beta * (z - ratios_B))),
    )
