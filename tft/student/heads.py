"""A head: new layers on the hidden states of a model, which make a label, a number or a reward of a conversation.

The head says nothing before it has learned: its last matrix begins at nought. What is new to it, a label that it never
met, begins as the mean of what it knows, which never says more than the most certain of them; so no answer changes
before something is learned. Left out on purpose: a bias in the last matrix, which sequence classifiers of transformers
do not have either, and several answers to one question.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file

from tft.config.adapters import FrozenBody
from tft.errors import StageError
from tft.student.adapting import write_down
from tft.student.references import read_number
from tft.student.saved import HEAD, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.config.adapters import HeadAdapter

    Pool = Literal["last", "mean", "first"]

WEIGHTS = "head.safetensors"


class Head(torch.nn.Module):
    """Layers with a GELU after each, and a matrix without a bias.

    Args:
        hidden: width of the body.
        layers: how many.
        width: of the layers.
        outputs: numbers that come out.
    """

    centre: torch.Tensor
    spread: torch.Tensor

    def __init__(self, hidden: int, layers: int, width: int, outputs: int) -> None:
        super().__init__()
        sizes = [hidden, *[width] * layers]
        self.layers = torch.nn.ModuleList(torch.nn.Linear(*pair) for pair in pairwise(sizes))
        self.out = torch.nn.Linear(sizes[-1], outputs, bias=False)
        torch.nn.init.zeros_(self.out.weight)
        # What a number is counted from and in; 0 and 1 but in a regressor. In float64, for years and large sums.
        self.register_buffer("centre", torch.zeros((), dtype=torch.float64))
        self.register_buffer("spread", torch.ones((), dtype=torch.float64))

    def forward(self, states_BH: torch.Tensor) -> torch.Tensor:
        """Say what comes out of pooled hidden states; [B, outputs]."""
        for layer in self.layers:
            states_BH = F.gelu(layer(states_BH))
        said_BO: torch.Tensor = self.out(states_BH)
        return said_BO

    def count_from(self, references: Iterable[str]) -> None:
        """Let numbers be counted from the mean of what is taught, and in its standard deviations.

        Raises:
            StageError: if one of them is no number.
        """
        numbers = torch.tensor([read_number(it) for it in references], dtype=torch.float64)
        if len(numbers):
            spread = numbers.std(correction=0)
            self.centre.fill_(numbers.mean())
            self.spread.fill_(spread if spread > 0 else 1.0)

    @torch.no_grad()
    def rename(self, known: Sequence[str], labels: Sequence[str]) -> None:
        """Put what is said of known labels at their places among all of them, and let new ones begin as their mean."""
        before = self.out.weight
        after = before.mean(0).repeat(len(labels), 1)
        for place, label in enumerate(known):
            after[list(labels).index(label)] = before[place]
        self.out = torch.nn.Linear(before.shape[1], len(labels), bias=False)
        self.out.weight.copy_(after)


def pool_states(hidden_BTH: torch.Tensor, mask_BT: torch.Tensor, pool: Pool) -> torch.Tensor:
    """Let one vector stand for each row; padding counts for nothing; [B, H].

    >>> hidden = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> mask = torch.tensor([[1, 1, 0]])
    >>> [pool_states(hidden, mask, how).item() for how in ("first", "last", "mean")]
    [1.0, 3.0, 2.0]
    """
    match pool:
        case "first":
            return hidden_BTH[:, 0]
        case "last":
            rows_B = torch.arange(len(mask_BT), device=mask_BT.device)
            return hidden_BTH[rows_B, mask_BT.sum(1) - 1]
        case "mean":
            mask_BT1 = mask_BT[..., None].to(hidden_BTH.dtype)
            return (hidden_BTH * mask_BT1).sum(1) / mask_BT1.sum(1)


class HeadedModel(torch.nn.Module):
    """A body with a head.

    Args:
        body: a model, adapted or not.
        head: what reads its hidden states.
        adapter: how the two were put together.
        labels: what the head can answer, in the order of its outputs; empty where it answers with a number.
        writes: whether the body is a language model, and not an encoder.
    """

    def __init__(
        self, body: PreTrainedModel | PeftModel, head: Head, adapter: HeadAdapter, labels: tuple[str, ...], writes: bool
    ) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.labels = labels
        self.adapter = adapter
        self._writes = writes
        # A model that reads from left to right knows the whole only at the end. One that reads both ways knows it
        # everywhere, and its first state means little unless it was trained to (Reimers and Gurevych 2019).
        self.pool: Pool = adapter.pool or ("last" if writes else "mean")

    @property
    def config(self) -> Any:
        """Of the body."""
        return self.body.config

    @property
    def base(self) -> PreTrainedModel:
        """The body, without what PEFT puts around it."""
        # PEFT leaves its ``peft_config`` on the base as well.
        return self.body.get_base_model() if hasattr(self.body, "get_base_model") else self.body

    def states(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        """Give the pooled hidden states of rows that are padded on the right; [B, H].

        Raises:
            StageError: if a row is longer than the body can read.
        """
        most = getattr(self.config.get_text_config(), "max_position_embeddings", None)
        if most is not None and ids_BT.shape[1] > most:
            raise StageError(f"a row of {ids_BT.shape[1]} tokens is longer than the {most} that its body can read")
        if self._writes:
            read = self.base.get_decoder()(input_ids=ids_BT, attention_mask=mask_BT, use_cache=False)
        else:
            read = self.base(input_ids=ids_BT, attention_mask=mask_BT)
        pooled_BH = pool_states(read.last_hidden_state, mask_BT, self.pool)
        return pooled_BH.to(torch.promote_types(pooled_BH.dtype, torch.float32))


def new_head(hidden: int, adapter: HeadAdapter, outputs: int) -> Head:
    """Make a head that has learned nothing; chance decides how its layers begin."""
    return Head(hidden, adapter.layers, adapter.width or hidden, outputs)


def write_head(model: HeadedModel, tokenizer: PreTrainedTokenizerBase, base: str, folder: Path) -> None:
    """Write what a student with a head has learned: the head, and of the body what has changed.

    Args:
        model: body and head.
        tokenizer: of the body.
        base: where the base model lies.
        folder: where to.
    """
    if not isinstance(model.adapter.body, FrozenBody):
        write_down(model.body, tokenizer, model.adapter.body, folder)
    save_file({name: it.contiguous() for name, it in model.head.state_dict().items()}, folder / WEIGHTS)
    told = {"base": base, "adapter": model.adapter.model_dump(mode="json"), "labels": list(model.labels)}
    (folder / HEAD).write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    if tokenizer.chat_template is not None:
        (folder / TEMPLATE).write_text(tokenizer.get_chat_template(), encoding="utf-8")


def read_head(folder: Path, hidden: int, adapter: HeadAdapter) -> tuple[Head, tuple[str, ...]]:
    """Read a head and its labels from a checkpoint."""
    weights = load_file(folder / WEIGHTS)
    head = new_head(hidden, adapter, len(weights["out.weight"]))
    head.load_state_dict(weights)
    labels = json.loads((folder / HEAD).read_text(encoding="utf-8"))["labels"]
    return head, tuple(labels)
