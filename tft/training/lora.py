"""LoRA in narrow models: one matrix product a layer instead of three.

x (W + s·B·A)ᵀ equals x Wᵀ + s·(x Aᵀ) Bᵀ (Hu et al. 2021, equation 3). Adding the low-rank product to the weight
first costs more arithmetic and a copy of the weight, but in a narrow model the extra operations of the usual order
cost more still: a step of 32 rows of 32 tokens at width 128 and rank 64 took 125 ms with them and 96 ms without, on
one core. In wide models the usual order is the better one, and is left alone; on GPUs, too, whose products round the
sum to bfloat16, and a small addition away with it.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812

if TYPE_CHECKING:
    from collections.abc import Iterator

    from peft import PeftModel
    from transformers import PreTrainedModel

NARROW = 512
"""Width up to which merging pays."""


def may_merge(model: PreTrainedModel | PeftModel) -> bool:
    """Say whether products may be added to the weights of a model where it is."""
    place: str = model.device.type
    return place != "cuda"


def merge_while_training(model: PreTrainedModel | PeftModel) -> None:
    """Let the LoRA layers of a narrow model add their product to the weight before they use it.

    What is trained and saved stays the same; layers with dropout, which acts between the two, and with DoRA, which
    also scales, are left alone.
    """
    wide = model.config.get_text_config().hidden_size > NARROW
    if wide or not hasattr(model, "peft_config") or not may_merge(model):
        return
    for layer in _layers(model):
        layer.forward = partial(_forward, layer, _name(layer))


@contextmanager
def merged(model: PreTrainedModel | PeftModel) -> Iterator[None]:
    """While nothing is learned, add the products to the weights once, and not at every token."""
    layers = [layer for layer in _layers(model) if isinstance(layer.forward, partial)]
    for layer in layers:
        layer.forward = partial(F.linear, weight=_weight(layer, _name(layer)), bias=layer.base_layer.bias)
    try:
        yield
    finally:
        for layer in layers:
            layer.forward = partial(_forward, layer, _name(layer))


def _layers(model: PreTrainedModel | PeftModel) -> list[Any]:
    if not hasattr(model, "peft_config"):
        return []
    # PEFT takes seconds to import, and a student whose weights are all trained does without.
    from peft.tuners.lora import Linear

    return [layer for layer in model.modules() if isinstance(layer, Linear) and _can_merge(layer)]


def _can_merge(layer: Any) -> bool:
    name = _name(layer)
    # PEFT wraps the layers of GPT-2 too, which keep their weights the other way round.
    plain = (
        isinstance(layer.base_layer, torch.nn.Linear) and name not in layer.lora_variant and not layer.lora_bias[name]
    )
    return plain and isinstance(layer.lora_dropout[name], torch.nn.Identity)


def _name(layer: Any) -> str:
    return str(layer.active_adapters[0])


def _forward(layer: Any, name: str, x_BTI: torch.Tensor) -> torch.Tensor:
    return F.linear(x_BTI, _weight(layer, name), layer.base_layer.bias)


def _weight(layer: Any, name: str) -> torch.Tensor:
    return torch.addmm(
        layer.base_layer.weight, layer.lora_B[name].weight, layer.lora_A[name].weight, alpha=layer.scaling[name]
    )
