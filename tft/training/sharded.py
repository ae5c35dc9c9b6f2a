"""A student whose weights lie in shards, one a worker, and are gathered layer by layer as they are needed.

Zhao et al. 2023 (PyTorch FSDP), by ``torch.distributed.fsdp.fully_shard``. Gradients and moments of the optimiser lie
in shards throughout. While the student answers, every worker has all weights, because answers are of different
lengths, and a worker that gathers for each of its tokens would wait for others that have none left.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method
from transformers.modeling_layers import GradientCheckpointingLayer

from tft.errors import StageError
from tft.training.gradients import whole
from tft.training.learner import Learner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.training.workers import Workers


class ShardedLearner(Learner):
    """A student that several workers hold together; all of them do with it what one does, at the same time.

    Args:
        model: as it was opened by each of them.
        tokenizer: its tokenizer.
        workers: they.

    Raises:
        StageError: if the layers of the model are not found.
    """

    def __init__(
        self, model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, workers: Workers
    ) -> None:
        super().__init__(model, tokenizer)
        self._first = workers.rank == 0
        mesh = init_device_mesh(self.device.type, (workers.count,))
        layers = [it for it in self._base.modules() if isinstance(it, GradientCheckpointingLayer)]
        if not layers:
            raise StageError(f"{type(self._base).__name__} has no layers known here: take training.parallel: ddp")
        # The head shares its weights with the embeddings in many models, so both are gathered with the model itself.
        self._parts = [fully_shard(it, mesh=mesh) for it in (*layers, self._base)]
        for part in self._parts:
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)
        # Rows are read by the decoder, past the model's own forward, which would gather head and embeddings.
        self._base.read_rows = self._read_rows
        register_fsdp_forward_method(self._base, "read_rows")
        self._kept: list[torch.Tensor] | None = None

    def _read(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Give the last hidden states; [B, T, H]."""
        hidden: torch.Tensor = self._base.read_rows(ids_BT, mask_BT)
        return hidden

    def _read_rows(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        # What is gathered back before the backward pass hangs on this tensor, which a view of another would lose.
        return super()._read(ids_BT, mask_BT).clone()

    def as_it_is(self) -> Learner:
        """Give the student as it is now: the same layers, with weights that are put in while it answers."""
        frozen = object.__new__(ShardedLearner)
        frozen.__dict__.update(self.__dict__)
        frozen._kept = [weight.detach().clone() for weight in self.weights]
        return frozen

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Leave nothing out by chance, and keep no gradients; every worker has all weights meanwhile."""
        with self._put_in(), torch.no_grad():
            for part in self._parts:
                part.unshard()
            self._reshard_by_itself(False)
            try:
                with super().answering():
                    yield
            finally:
                self._reshard_by_itself(True)
                for part in self._parts:
                    part.reshard()

    def _reshard_by_itself(self, does: bool) -> None:
        for part in self._parts[:-1]:
            part.set_reshard_after_forward(does, recurse=False)

    @contextmanager
    def _put_in(self) -> Iterator[None]:
        """Put the weights in that it had when it was kept."""
        if self._kept is None:
            yield
            return
        learned = [weight.detach().clone() for weight in self.weights]
        try:
            _put(self._kept, self.weights)
            yield
        finally:
            _put(learned, self.weights)

    def whole(self) -> dict[str, torch.Tensor]:
        """Gather everything that is saved of the model, in the memory of the processor; all workers have to ask.

        The first of them gets it.
        """
        places = dict(self.model.named_parameters(remove_duplicate=False))
        gathered: dict[torch.Tensor, torch.Tensor] = {}
        found = {}
        for name, saved in self.model.state_dict().items():
            weight = places.get(name, saved)
            if weight not in gathered:
                # Held by one of them alone: memory of a machine is shared by all.
                complete = whole(weight)
                gathered[weight] = complete if self._first else complete[:0]
            if self._first:
                found[name] = gathered[weight]
        return found


@torch.no_grad()
def _put(values: list[torch.Tensor], weights: list[torch.nn.Parameter]) -> None:
    for weight, value in zip(weights, values, strict=True):
        weight.copy_(value)
