"""Group-relative policy optimisation (Shao et al. 2024): an answer is as good as it is better than the others.

A group whose answers are all right or all wrong teaches nothing, and is left out of the step.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tft.training.policy import Policy

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    import torch

    from tft.config.training import GRPOConfig
    from tft.records import Lesson
    from tft.training.objective import Setting, Step

_LEAST = 1e-4


class GRPO:
    """Practises with several answers a question."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: GRPOConfig, setting: Setting) -> None:
        self._scale = config.scale
        self._policy = Policy(config, setting)

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Lesson]]:
        """Cut lessons into roll-outs of a step each."""
        return self._policy.units(lessons, rng)

    def steps(self, unit: list[Lesson]) -> Iterator[Step]:
        """Make a step of what the student answers."""
        return self._policy.steps(unit, partial(grpo_advantages, scale=self._scale))


def grpo_advantages(rewards_QG: torch.Tensor, *, scale: bool = True) -> torch.Tensor:
    """Give every answer its lead over the mean of its group, in standard deviations of the group; [Q, G]."""
    lead_QG = rewards_QG - rewards_QG.mean(1, keepdim=True)
    return lead_QG / (rewards_QG.std(1, keepdim=True) + _LEAST) if scale else lead_QG
