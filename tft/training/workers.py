"""Those who train one student together: each takes its share of every step, and all take the same steps.

They are the members of the process group of ``torch.distributed``, where whoever started them has opened one. Each runs
the same course, with the same seeds, over the same lessons. Whatever decides which step comes next is told by the first
of them, so that all go the same way; gradients and losses are added up, not averaged, because an objective divides by
the weight of the whole step. A worker that is alone does all of it, and talks to nobody.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import distributed

from tft.errors import StageError
from tft.training.gradients import is_sharded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tft.config.training import TrainingConfig
    from tft.training.objective import Step
    from tft.training.rows import Row

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
_BUCKET = 2**24
"""Numbers that are added up at once."""


@dataclass(frozen=True, slots=True)
class Workers:
    """All of them, as one of them sees it."""

    rank: int = 0
    """Which one this is; the first is 0, writes files and asks the tutor."""
    count: int = 1
    in_step: bool = False
    """Whether each must read as often as the others, because the weights of a layer are gathered from all of them."""

    @classmethod
    def here(cls, config: TrainingConfig) -> Workers:
        """Find out who is here.

        Raises:
            StageError: if they are not as many as the config says.
        """
        together = distributed.is_available() and distributed.is_initialized()
        rank, count = (distributed.get_rank(), distributed.get_world_size()) if together else (0, 1)
        if count != config.workers:
            raise StageError(f"training.workers is {config.workers}, and {count} of them were started")
        return cls(rank, count, count > 1 and config.parallel == "fsdp")

    @property
    def alone(self) -> bool:
        """Whether there is nobody else."""
        return self.count == 1

    def gather(self, mine: Answer) -> list[Answer]:
        """Give everybody what each has; all have to call it."""
        if self.alone:
            return [mine]
        found: list[Answer | None] = [None] * self.count
        distributed.all_gather_object(found, mine)
        return found  # type: ignore[return-value]

    def first(self, call: Callable[[], Answer]) -> Answer:
        """Let the first worker do something once, and tell everybody what came of it."""
        if self.alone:
            return call()
        told = [call() if self.rank == 0 else None]
        distributed.broadcast_object_list(told)
        return told[0]  # type: ignore[return-value]

    def each(self, asked: Sequence[Asked], answer: Callable[[Sequence[Asked]], Sequence[Answer]]) -> list[Answer]:
        """Let every worker answer its share, which may be nothing; give everybody all answers, in the order asked."""
        found: list[Answer] = [None] * len(asked)  # type: ignore[list-item]
        for rank, answers in enumerate(self.gather(answer(asked[self.rank :: self.count]))):
            found[rank :: self.count] = answers
        return found

    def parts(self, step: Step, size: int) -> Iterator[tuple[Sequence[Row], float]]:
        """Cut this worker's share of a step into what is in memory at once, each with what its loss is divided by.

        Every so manieth row is its own, so that long rows, which lie beside each other, are shared too. Workers in step
        take equally many parts: whoever has fewer reads rows of somebody else, and divides them by infinity.
        """
        groups = [step.rows[start : start + step.together] for start in range(0, len(step.rows), step.together)]
        most = [row for group in groups[:: self.count] for row in group]
        mine = [row for group in groups[self.rank :: self.count] for row in group]
        for start in range(0, len(most), size):
            part = mine[start : start + size]
            if part:
                yield part, step.weight
            elif self.in_step:
                yield groups[0], math.inf

    def agree(self, weights: Sequence[torch.nn.Parameter]) -> None:
        """Begin with the same weights: those of the first worker."""
        if not self.alone:
            for weight in weights:
                distributed.broadcast(weight.data, 0)

    def add_up(self, weights: Sequence[torch.nn.Parameter]) -> None:
        """Add up everybody's gradients; a weight that nobody used in a step gets none.

        Those of weights that lie in shards are added up while the backward pass runs.
        """
        whole = [weight for weight in weights if not is_sharded(weight)]
        used = self.gather([weight.grad is not None for weight in whole])
        shared = [weight for weight, *by in zip(whole, *used, strict=True) if any(by)]
        for weight in shared:
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        for bucket in _buckets(shared):
            gradients = [weight.grad for weight in bucket if weight.grad is not None]
            flat = torch.cat([it.flatten() for it in gradients])
            distributed.all_reduce(flat)
            added = torch.split(flat, [it.numel() for it in gradients])
            for gradient, it in zip(gradients, added, strict=True):
                gradient.copy_(it.view_as(gradient))


def _buckets(weights: Sequence[torch.nn.Parameter]) -> Iterator[list[torch.nn.Parameter]]:
    """Cut weights into groups of one number format that are not too large."""
    for dtype in dict.fromkeys(weight.dtype for weight in weights):
        bucket, size = list[torch.nn.Parameter](), 0
        for weight in (it for it in weights if it.dtype == dtype):
            if bucket and size + weight.numel() > _BUCKET:
                yield bucket
                bucket, size = [], 0
            bucket.append(weight)
            size += weight.numel()
        yield bucket


def average(told: Sequence[tuple[float, Mapping[str, float]]]) -> dict[str, float]:
    """Give the mean of what workers noted by name, each weighed by its rows.

    >>> average([(2, {"margin": 1.0}), (1, {"margin": 4.0}), (0, {})])
    {'margin': 2.0}
    """
    found = {}
    for name in sorted({name for _, notes in told for name in notes}):
        noted = [(rows, notes[name]) for rows, notes in told if name in notes]
        found[name] = sum(rows * it for rows, it in noted) / sum(rows for rows, _ in noted)
    return found


ALONE = Workers()
