"""Proximal policy optimisation (Schulman et al. 2017): a value head says what to expect at every token.

The value head reads the hidden states of the student, begins at nought, and is thrown away after the cycle. The reward
comes with the last token; advantages are generalised (Schulman et al. 2016). Several steps are taken on the same
answers, held back by the clip.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tft.training.objective import Setting, Step
from tft.training.policy import Played, Policy, by_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tft.config.training import PPOConfig
    from tft.records import Lesson
    from tft.training.learner import Predictions


@dataclass(frozen=True)
class Valued(Played):
    """An answer with what was expected of it."""

    values: np.ndarray
    """[T]: of the value head, when it was written."""
    returns: np.ndarray
    """[T]: what it should have said."""


class PPO:
    """Practises with a value head."""

    def __init__(self, config: PPOConfig, setting: Setting) -> None:
        self._config = config
        self._policy = Policy(config, setting)
        self._setting = setting
        width = setting.learner.model.config.get_text_config().hidden_size
        self._value = torch.nn.Linear(width, 1).to(setting.learner.device)
        torch.nn.init.zeros_(self._value.weight)
        torch.nn.init.zeros_(self._value.bias)
        self.modules: tuple[torch.nn.Module, ...] = (self._value,)

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Lesson]]:
        """Cut lessons into roll-outs of several steps each."""
        return self._policy.units(lessons, rng, self._config.minibatches)

    def steps(self, unit: list[Lesson]) -> Iterator[Step]:
        """Let the student answer, and go over what it wrote several times."""
        played = self._value_rows(unit)
        size = -(-len(played) // self._config.minibatches)
        for number in range(self._config.passes):
            order = list(played)
            random.Random(f"{self._setting.seed} {number} {len(self._setting.measures['reward'])}").shuffle(order)
            for start in range(0, len(order), size):
                part = order[start : start + size]
                yield Step(part, self._loss, self._policy.weight(part))

    def _value_rows(self, unit: list[Lesson]) -> list[Valued]:
        rows, rewards_QG = self._policy.play(unit)
        learner = self._setting.learner
        said = self._setting.workers.each(rows, lambda mine: by_rows(mine, learner.ask(mine, self._look)))
        before, values = ([it[:, column] for it in said] for column in (0, 1))
        advantages = [
            gae(reward, value, self._config.discount, self._config.gae)
            for reward, value in zip(rewards_QG.flatten().tolist(), values, strict=True)
        ]
        every = np.concatenate(advantages)
        centre, spread = float(every.mean()), float(every.std()) + 1e-8
        references = self._policy.refer(rows)
        return [
            Valued(row.tokens, row.start, row.skill, (it - centre) / spread, was, reference, value, it + value)
            for row, it, was, reference, value in zip(rows, advantages, before, references, values, strict=True)
        ]

    def _look(self, predictions: Predictions) -> torch.Tensor:
        """Give the log-probability of every token, and what the value head expects there; [N, 2]."""
        return torch.stack([predictions.logprobs(self._config.temperature), self._values(predictions)], 1)

    def _values(self, predictions: Predictions) -> torch.Tensor:
        """Give what the value head expects at every token, as exactly as it reckons; [N]."""
        values_N: torch.Tensor = self._value(predictions.states_NH.to(self._value.weight.dtype))[:, 0]
        return values_N

    def _loss(self, predictions: Predictions) -> torch.Tensor:
        """Add the value head's loss to the policy's: half the square of its error, clipped like the ratio."""
        rows: list[Valued] = list(predictions.rows)  # type: ignore[arg-type]
        values_N = self._values(predictions)
        old_N, returns_N = (torch.from_numpy(np.concatenate(it)).to(values_N) for it in
                            ([row.values for row in rows], [row.returns for row in rows]))  # fmt: skip
        near_N = old_N + (values_N - old_N).clamp(-self._config.clip, self._config.clip)
        errors_N = 0.5 * torch.maximum((values_N - returns_N) ** 2, (near_N - returns_N) ** 2)
        if self._config.normalize == "rows":
            errors_N = errors_N / predictions.spread([float(row.learned) for row in rows])
        return self._policy.loss(predictions) + self._config.value * errors_N.sum()


def gae(reward: float, values: np.ndarray, discount: float, trace: float) -> np.ndarray:
    """Give the generalised advantage of every token of an answer whose reward comes at its end.

    δ_t = r_t + γ V_(t+1) − V_t, A_t = δ_t + γ λ A_(t+1) (Schulman et al. 2016, equation 16).

    Args:
        reward: of the answer.
        values: what was expected at each token; [T].
        discount: γ.
        trace: λ.

    >>> gae(1.0, np.array([0.5, 0.5]), 1.0, 0.5).tolist()
    [0.25, 0.5]
    """
    advantages = np.zeros(len(values), np.float32)
    after, following = 0.0, 0.0
    for place in range(len(values) - 1, -1, -1):
        given = reward if place == len(values) - 1 else 0.0
        after = given + discount * following - float(values[place]) + discount * trace * after
        advantages[place], following = after, float(values[place])
    return advantages
