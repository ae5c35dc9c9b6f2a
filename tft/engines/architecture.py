"""What an engine asks of a model, so that it need not know how the model takes a prompt and an answer.

A decoder-only model goes on with one row of tokens (``decoder_only.py``). An encoder-decoder model (T5, BART and their
kin) reads the prompt with one half and writes the answer with the other (``encoder_decoder.py``). To everybody else a
row stays one row, with a start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedModel

    Rows = Sequence[Sequence[int]]
    Prefix = Sequence[tuple[torch.Tensor, torch.Tensor]]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model expected at T places of B rows, and what stands there."""

    logits_BTV: torch.Tensor
    tokens_BT: torch.Tensor
    places: list[slice]
    """Which of the T places are those of each row, from its start on."""


class Writing(Protocol):
    """A batch of prompts, and how they go on."""

    def next(self) -> torch.Tensor:
        """Give the logits of the next token; [B, V]."""

    def go_on(self, tokens_B: torch.Tensor, keep: torch.Tensor) -> None:
        """Take the tokens that were chosen, and leave out the rows that are not among those to keep."""


class Architecture(Protocol):
    """How a model takes prompts and answers."""

    model: PreTrainedModel
    prefix: Prefix | None
    """Keys and values that stand before every prompt, a pair a layer, each [1, heads, P, head size]."""
    in_one_piece: bool
    """Whether prompt and answer are one text to it, so that it expects something at every token of both."""

    def write(self, prompts: Rows) -> Writing:
        """Begin to answer prompts."""

    def read(self, rows: Rows, starts: Sequence[int]) -> Reading:
        """Read rows, and say what was expected from the start of each on."""

    def inside(self, ids_BT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Give the last hidden states at tokens, and the logits that the model makes of them."""


def fill(rows: Rows, pad: int, *, left: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Fill rows up to the longest, on one side; give tokens and mask, both [B, T]."""
    longest = max(len(row) for row in rows)
    short = [longest - len(row) for row in rows]
    if left:
        ids = [[pad] * gap + list(row) for gap, row in zip(short, rows, strict=True)]
        mask = [[0] * gap + [1] * len(row) for gap, row in zip(short, rows, strict=True)]
    else:
        ids = [list(row) + [pad] * gap for gap, row in zip(short, rows, strict=True)]
        mask = [[1] * len(row) + [0] * gap for gap, row in zip(short, rows, strict=True)]
    return torch.tensor(ids, dtype=torch.long), torch.tensor(mask, dtype=torch.long)
