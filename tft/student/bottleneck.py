"""Bottleneck adapters: a narrow network after the feed-forward block of every layer, added to what that block says.

x + U·gelu(D·x), with U nought at first, so that nothing changes before something is learned (Pfeiffer et al. 2021,
which found one adapter a layer, after the feed-forward block, as good as the two of Houlsby et al. 2019). PEFT has no
such adapters. They are not linear, so they cannot be merged into the weights: only this package runs them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812
from safetensors.torch import load_file, save_file

from tft.errors import PrerequisiteError
from tft.student.saved import BOTTLENECK as CONFIG

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

WEIGHTS = "bottleneck.safetensors"
_NAME = "bottleneck"
_BLOCK = re.compile(
    r"(layers|h|blocks)\.\d+\.(mlp|feed_forward|ffn)$"
    r"|block\.\d+\.layer\.\d+\.DenseReluDense$"  # T5 and its kin
    r"|layers\.\d+\.fc2$"  # BART and its kin: the layer that ends a block without a name
)


class Bottleneck(torch.nn.Module):
    """Down to a narrow width, a bend, and up again.

    Args:
        hidden: width of the model.
        width: of the bottleneck.
    """

    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.down = torch.nn.Linear(hidden, width)
        self.up = torch.nn.Linear(width, hidden)
        torch.nn.init.zeros_(self.up.weight)
        torch.nn.init.zeros_(self.up.bias)

    def forward(self, x_BTH: torch.Tensor) -> torch.Tensor:
        """Add what the bottleneck makes of a block's output."""
        added: torch.Tensor = self.up(F.gelu(self.down(x_BTH)))
        return x_BTH + added


def add_bottlenecks(model: PreTrainedModel, width: int) -> None:
    """Freeze a model, and add a bottleneck after each of its feed-forward blocks.

    Raises:
        PrerequisiteError: if no such blocks are found.
    """
    model.requires_grad_(False)
    blocks = [block for name, block in model.named_modules() if _BLOCK.search(name)]
    if not blocks:
        raise PrerequisiteError(
            f"no feed-forward blocks were found in {type(model).__name__}, so it cannot take bottleneck adapters; "
            "adapter: lora works with any linear layers"
        )
    for block in blocks:
        # Attention beside it keeps its place on a device; the adapter goes where the block is.
        like = next(block.parameters())
        block.add_module(
            _NAME, Bottleneck(model.config.get_text_config().hidden_size, width).to(like.device, like.dtype)
        )
        block.register_forward_hook(_apply)


def _apply(block: torch.nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
    changed: torch.Tensor = block.get_submodule(_NAME)(output)
    return changed


def save_bottlenecks(
    model: PreTrainedModel, folder: Path, width: int, state: dict[str, torch.Tensor] | None = None
) -> None:
    """Write the adapters of a model, without the model; ``state`` is its ``state_dict`` where that is elsewhere."""
    every = model.state_dict() if state is None else state
    added = {name: weight.contiguous() for name, weight in every.items() if f".{_NAME}." in name}
    save_file(added, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps({"width": width, "base": model.name_or_path}) + "\n", encoding="utf-8")


def load_bottlenecks(model: PreTrainedModel, folder: Path) -> None:
    """Add the adapters that were written to a folder."""
    add_bottlenecks(model, json.loads((folder / CONFIG).read_text(encoding="utf-8"))["width"])
    missing = model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    if missing.unexpected_keys:
        raise PrerequisiteError(f"{folder} holds adapters of another model: {', '.join(missing.unexpected_keys[:3])}")
