"""What an objective is: it cuts lessons into units, and each unit into optimiser steps.

A new objective is a class with these two methods and an entry point in the group ``tft.objectives``; ``supervised.py``
is the shortest example, ``grpo.py`` one whose student writes.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import torch

from tft.config.cards import GraderConfig
from tft.config.training import TrainingConfig
from tft.records import Usage
from tft.student.reading import HeadReader
from tft.training.learner import Learner
from tft.training.rows import Row
from tft.training.workers import ALONE, Workers
from tft.tutor import Scorer

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tft.records import Lesson

Unit = Any
"""What an objective takes at once: rows, pairs or lessons, as it likes."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the optimiser."""

    rows: Sequence[Row]
    """What goes through the student."""
    loss: Callable[[Any], torch.Tensor]
    """Adds up the loss over the rows it is given, which may be a part of them: a scalar. What it is given is what the
    learner says of them: ``Predictions`` of a student that writes, ``Readings`` of one with a head."""
    weight: float
    """What the sum over all rows is divided by."""
    together: int = 1
    """Rows that are never parted: two for pairs."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What an objective may use."""

    learner: Learner
    training: TrainingConfig
    seed: int
    max_tokens: int
    """Longest answer of the student."""
    grader: GraderConfig | None = None
    scorer: Scorer | None = None
    """The tutor as scorer of tokens; None where there is none to ask."""
    reward: HeadReader | None = None
    """Who gives rewards in practice; None means the grader."""
    measures: dict[str, list[float]] = field(default_factory=dict)
    """What objectives tell of themselves, step by step: rewards, divergences, margins."""
    used: list[Usage] = field(default_factory=list)
    """What was asked of the tutor."""

    asked: Counter[str] = field(default_factory=Counter)
    """How often the student has answered each lesson."""
    workers: Workers = ALONE
    """Those who train it together."""

    def passes(self, own: int | None, members: int, size: int) -> int:
        """Say how often lessons are read.

        Args:
            own: passes that the objective asks for itself; None leaves it to the training.
            members: rows or pairs there are.
            size: of them a step.
        """
        if own is not None or members == 0:
            return own or 1
        steps = math.ceil(members / size)
        return max(self.training.epochs, math.ceil((self.training.min_steps or 0) / steps))

    def note(self, name: str, value: float) -> None:
        """Tell a measure of a step."""
        self.measures.setdefault(name, []).append(value)


class Objective(Protocol):
    """Learns from lessons of one kind.

    A class is made with its config and the :class:`Setting`.
    """

    modules: Sequence[torch.nn.Module]
    """What it trains beside the student, such as a value head."""

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[Unit]:
        """Cut lessons into the units of all its passes over them, in the order they are taken."""

    def steps(self, unit: Unit) -> Iterator[Step]:
        """Make steps of a unit; each is taken before the next is asked for."""
