"""Regression: the head learns the number that answers a question.

Numbers are counted from the mean of what was taught in the first cycle, and in its standard deviations, so that one
learning rate fits ages and incomes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tft.student.reading import encode_questions
from tft.student.references import read_number
from tft.training.objective import Setting, Step
from tft.training.rows import Row, batches

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tft.config.training import RegressionConfig
    from tft.records import Lesson
    from tft.training.reader import Readings


@dataclass(frozen=True)
class Numbered(Row):
    """A question with its number."""

    number: float
    """In standard deviations from the mean."""


class Regression:
    """Learns numbers."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: RegressionConfig, setting: Setting) -> None:
        self._epochs = config.epochs
        self._setting = setting

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Numbered]]:
        """Cut questions into batches of like length, anew for each pass.

        Raises:
            StageError: if a reference is no number.
        """
        learner = self._setting.learner
        centre, spread = learner.model.head.centre.item(), learner.model.head.spread.item()
        encoded = encode_questions([it.item.question for it in lessons], learner.tokenizer)
        rows = [
            Numbered(tuple(tokens), len(tokens), it.item.skill, (read_number(str(it.item.reference)) - centre) / spread)
            for it, tokens in zip(lessons, encoded, strict=True)
        ]
        size = self._setting.training.batch_size
        return batches(rows, size, rng, self._setting.passes(self._epochs, len(rows), size))

    def steps(self, unit: list[Numbered]) -> Iterator[Step]:
        """Make one step of a batch."""
        yield Step(unit, self._loss, len(unit))

    def _loss(self, readings: Readings) -> torch.Tensor:
        """Add up the squared errors: L = Σ (said − number)²."""
        rows: list[Numbered] = list(readings.rows)  # type: ignore[arg-type]
        said_B = readings.outputs_BO[:, 0]
        numbers_B = torch.tensor([row.number for row in rows]).to(said_B)
        return ((said_B - numbers_B) ** 2).sum()
