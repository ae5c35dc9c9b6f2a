"""REINFORCE leave-one-out (Ahmadian et al. 2024): an answer against the mean of the others to its question.

A group whose answers are all worth the same teaches nothing, and is left out of the step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.training.policy import Policy

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    import torch

    from tft.config.training import RLOOConfig
    from tft.records import Lesson
    from tft.training.objective import Setting, Step


class RLOO:
    """Practises with several answers a question."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: RLOOConfig, setting: Setting) -> None:
        self._policy = Policy(config, setting)

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Lesson]]:
        """Cut lessons into roll-outs of a step each."""
        return self._policy.units(lessons, rng)

    def steps(self, unit: list[Lesson]) -> Iterator[Step]:
        """Make a step of what the student answers."""
        return self._policy.steps(unit, rloo_advantages)


def rloo_advantages(rewards_QG: torch.Tensor) -> torch.Tensor:
    """Give every answer its lead over the mean of the others of its group; [Q, G]."""
    size = rewards_QG.shape[1]
    others_QG = (rewards_QG.sum(1, keepdim=True) - rewards_QG) / (size - 1)
    return rewards_QG - others_QG
