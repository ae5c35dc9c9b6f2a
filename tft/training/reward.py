"""Reward modelling (Bradley and Terry 1952, Ouyang et al. 2022): of two answers the better one is worth more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from tft.errors import StageError
from tft.student.reading import encode_answered
from tft.training.objective import Setting, Step
from tft.training.rows import Row, batches_of

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tft.config.training import RewardConfig
    from tft.records import Lesson
    from tft.training.reader import Readings


class Reward:
    """Learns which of two answers is better."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: RewardConfig, setting: Setting) -> None:
        self._config = config
        self._setting = setting

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[tuple[Row, Row]]]:
        """Cut pairs into batches of like length, anew for each pass.

        Raises:
            StageError: if a lesson is no pair.
        """
        lone = sorted({it.kind for it in lessons if it.rejected is None or it.kind == "verdict"})
        if lone:
            raise StageError(f"a reward head learns from pairs of answers, and was to be taught {', '.join(lone)}")
        better = self._rows(lessons, [it.answer for it in lessons])
        worse = self._rows(lessons, [str(it.rejected) for it in lessons])
        pairs = list(zip(better, worse, strict=True))
        size = max(1, self._setting.training.batch_size // 2)
        passes = self._setting.passes(self._config.epochs, len(pairs), size)
        return batches_of(pairs, size, rng, lambda it: len(it[0].tokens), passes)

    def _rows(self, lessons: Sequence[Lesson], answers: Sequence[str]) -> list[Row]:
        finished = [answer not in lesson.cut_off for lesson, answer in zip(lessons, answers, strict=True)]
        asked = [it.conversation for it in lessons]
        encoded = encode_answered(asked, answers, finished, self._setting.learner.tokenizer)
        return [Row(tuple(it), len(it), lesson.item.skill) for lesson, it in zip(lessons, encoded, strict=True)]

    def steps(self, unit: list[tuple[Row, Row]]) -> Iterator[Step]:
        """Make one step of a batch of pairs."""
        yield Step([row for pair in unit for row in pair], self._loss, len(unit), together=2)

    def _loss(self, readings: Readings) -> torch.Tensor:
        better_P, worse_P = readings.outputs_BO[0::2, 0], readings.outputs_BO[1::2, 0]
        with torch.no_grad():
            self._setting.note("preferred", (better_P > worse_P).float().mean().item())
        return reward_losses(self._config, better_P, worse_P).sum()


def reward_losses(config: RewardConfig, better_P: torch.Tensor, worse_P: torch.Tensor) -> torch.Tensor:
    """Measure the loss of each pair; [P].

    −log σ(r_w − r_l − margin) + centering (r_w + r_l)² (Touvron et al. 2023, equation 2; Eisenstein et al. 2023).

    Args:
        config: margin and centering.
        better_P: rewards of the better answers.
        worse_P: rewards of the others.
    """
    return -F.logsigmoid(better_P - worse_P - config.margin) + config.centering * (better_P + worse_P) ** 2
