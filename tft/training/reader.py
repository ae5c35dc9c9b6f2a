"""A student with a head while it learns: what comes out of rows of tokens, one vector a row."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tft.student.shortage import AtOnce
from tft.training.learner import Learner
from tft.training.lora import merge_while_training, merged
from tft.training.rows import Row, collate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedTokenizerBase

    from tft.student.heads import HeadedModel


@dataclass(frozen=True, slots=True)
class Readings:
    """What a head made of B rows."""

    rows: Sequence[Row]
    outputs_BO: torch.Tensor
    """A score a label, or one number."""


class Reader(Learner):
    """A body with a head, with its weights in hand; it is read, and writes nothing.

    Args:
        model: body and head; trained in place.
        tokenizer: of the body.
    """

    def __init__(self, model: HeadedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._base = model.base
        self.at_once = AtOnce()
        merge_while_training(model.body)
        model.train()

    def checkpoint_activations(self) -> None:
        """Compute activations of the body again in the backward pass, where that goes through it at all."""
        if any(weight.requires_grad for weight in self._base.parameters()):
            super().checkpoint_activations()

    def predict(self, rows: Sequence[Row]) -> Any:
        """Read rows, and say what comes out of each: :class:`Readings`."""
        batch = collate(rows, self.tokenizer.pad_token_id, self.device)
        with self._precision():
            states_BH = self.model.states(batch["input_ids"], batch["attention_mask"])
        return Readings(rows, self.model.head(states_BH.float()))

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Leave nothing out by chance, and keep no gradients."""
        self.model.eval()
        try:
            with torch.no_grad(), merged(self.model.body):
                yield
        finally:
            self.model.train()
