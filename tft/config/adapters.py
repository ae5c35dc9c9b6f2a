"""How a student may change: every weight, or something small that is added to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from tft.config._base import Frozen, name_to_type


class FullAdapter(Frozen):
    """Train every weight."""

    type: Literal["full"] = "full"
    """Says that this is full training."""


class LoraAdapter(Frozen):
    """Train low-rank additions to the linear layers (Hu et al. 2021)."""

    type: Literal["lora"] = "lora"
    """Says that this is LoRA."""
    r: Annotated[int, Field(ge=1, le=1024)] = 16
    """Rank of the additions."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """Scale of the additions, divided by the rank; None means twice the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the additions' inputs that is dropped while training."""
    targets: tuple[str, ...] | Literal["all-linear"] = "all-linear"
    """Names of the layers that get additions; ``all-linear`` means all but the output head."""
    dora: bool = False
    """Train the length of each weight's rows apart from their direction (Liu et al. 2024)."""
    rslora: bool = False
    """Divide the scale by the root of the rank instead of the rank (Kalajdzievski 2023)."""
    quantize: Literal["nf4"] | None = None
    """Keep the frozen weights of linear layers, all but the output head, in 4 bits (QLoRA, Dettmers et al. 2023); needs
    the extra ``[qlora]``. None means as they are."""


class PrefixAdapter(Frozen):
    """Train keys and values that stand before every prompt, in every layer (Li and Liang 2021)."""

    type: Literal["prefix"] = "prefix"
    """Says that this is prefix tuning."""
    tokens: Annotated[int, Field(ge=1, le=4096)] = 16
    """Positions before the prompt."""


class PromptAdapter(Frozen):
    """Train embeddings that stand before every prompt (Lester et al. 2021)."""

    type: Literal["prompt"] = "prompt"
    """Says that this is prompt tuning."""
    tokens: Annotated[int, Field(ge=1, le=4096)] = 16
    """Positions before the prompt."""


class BottleneckAdapter(Frozen):
    """Train a narrow network after the feed-forward block of every layer (Pfeiffer et al. 2021)."""

    type: Literal["bottleneck"] = "bottleneck"
    """Says that these are bottleneck adapters."""
    width: Annotated[int, Field(ge=1)] = 64
    """Of the bottleneck."""


class PeftAdapter(Frozen):
    """Train any other adapter that PEFT has for language models."""

    type: Literal["peft"] = "peft"
    """Says that PEFT names it."""
    method: str
    """PEFT's name for it: ``IA3``, ``LOHA``, ``OFT``, ``VERA`` …"""
    options: dict[str, Any] = Field(default_factory=dict)
    """What PEFT's config of that name takes."""

    @field_validator("method")
    @classmethod
    def _needs_no_trainer_of_its_own(cls, method: str) -> str:
        if method == "ADALORA":
            raise ValueError("ADALORA wants a trainer that allocates its ranks, which this one does not")
        return method


AnyAdapter = FullAdapter | LoraAdapter | PrefixAdapter | PromptAdapter | BottleneckAdapter | PeftAdapter
"""One of them."""

Adapter = Annotated[
    Annotated[AnyAdapter, Field(discriminator="type")],
    BeforeValidator(
        name_to_type,
        json_schema_input_type=AnyAdapter | Literal["full", "lora", "prefix", "prompt", "bottleneck"],
    ),
]
"""What a user may write: the name alone, or the name with options."""
