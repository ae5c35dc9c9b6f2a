"""Supervised fine-tuning: cross-entropy on the tokens of the answer. On a tutor's answers: sequence distillation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.training.objective import Setting, Step
from tft.training.rows import batches, count_learned, encode

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    import torch

    from tft.config.training import SupervisedConfig
    from tft.records import Lesson
    from tft.training.learner import Predictions
    from tft.training.rows import Row


class Supervised:
    """Learns answers by heart."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: SupervisedConfig, setting: Setting) -> None:
        self._epochs = config.epochs
        self._setting = setting

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Row]]:
        """Cut lessons into batches of like length, anew for each pass."""
        rows = encode(lessons, self._setting.learner.tokenizer)
        size = self._setting.training.batch_size
        return batches(rows, size, rng, self._setting.passes(self._epochs, len(rows), size))

    def steps(self, unit: list[Row]) -> Iterator[Step]:
        """Make one step of a batch."""
        yield Step(unit, supervised_loss, count_learned(unit))


def supervised_loss(predictions: Predictions) -> torch.Tensor:
    """Add up the negative log-likelihood of the answers' tokens.

    L = −Σ log p(y_t | y_<t), over the learned tokens.
    """
    return -predictions.logprobs().sum()
