"""Gradients of weights that are here as a whole, and of those that lie in shards with other workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import torch
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.distributed.tensor import DTensor


def is_sharded(tensor: torch.Tensor) -> TypeGuard[DTensor]:
    """Say whether a tensor lies in shards; told by what it can do, because its class takes long to import."""
    return hasattr(tensor, "full_tensor")


def gathered(tensor: torch.Tensor) -> torch.Tensor:
    """Give a tensor as a whole; where it lies in shards, all workers have to ask."""
    return tensor.full_tensor() if is_sharded(tensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """Give a tensor as a whole, in the memory of the processor; where it lies in shards, all workers have to ask."""
    return gathered(tensor.detach()).cpu().contiguous()


def placed(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Put a tensor where another is; of one that lies in shards, this worker keeps its own."""
    if not is_sharded(like):
        return tensor.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    # Every worker has it, so that nobody has to send it.
    shard: torch.Tensor = distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )
    return shard


def alike(weights: Sequence[torch.nn.Parameter]) -> list[list[torch.nn.Parameter]]:
    """Part weights into those in shards and those that are whole; what torch does to many at once mixes them not."""
    groups = [[weight for weight in weights if is_sharded(weight) == sharded] for sharded in (True, False)]
    return [group for group in groups if group]


def clip(weights: Sequence[torch.nn.Parameter], most: float) -> torch.Tensor:
    """Scale gradients down to a norm at most, all by the same factor; give the norm they had, a scalar."""
    groups = alike(weights)
    if not any(is_sharded(weight) for weight in weights):
        return clip_grad_norm_(weights, most)
    gradients = [[weight.grad for weight in group if weight.grad is not None] for group in groups]
    norms = [get_total_norm(it) for it in gradients if it]
    norm: torch.Tensor = torch.linalg.vector_norm(torch.stack([gathered(it) for it in norms]))
    for group in groups:
        clip_grads_with_norm_(group, most, norm)
    return norm
