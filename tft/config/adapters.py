"""How a student may change: every weight, something small that is added to it, or a head that answers in its place."""

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


class FrozenBody(Frozen):
    """Train nothing of the body."""

    type: Literal["frozen"] = "frozen"
    """Says that the body stays as it is."""


class ClassifierTask(Frozen):
    """Give a question one of a few labels."""

    type: Literal["classifier"] = "classifier"
    """Says that the head names labels."""
    labels: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """What it can answer; None means the references of what it was taught so far."""


class RegressorTask(Frozen):
    """Answer a question with a number."""

    type: Literal["regressor"] = "regressor"
    """Says that the head names a number."""
    decimals: Annotated[int, Field(ge=0, le=9)] = 0
    """Digits after the point of what it answers."""


class RewardTask(Frozen):
    """Say which of several answers is better; what it answers itself is the best of several drafts."""

    type: Literal["reward"] = "reward"
    """Says that the head rates answers."""
    best_of: Annotated[int, Field(ge=1, le=256)] = 4
    """Answers that the base model writes to a question, for the head to choose from."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """At which it writes them."""


AnyTask = ClassifierTask | RegressorTask | RewardTask
"""One of them."""
Task = Annotated[
    Annotated[AnyTask, Field(discriminator="type")],
    BeforeValidator(name_to_type, json_schema_input_type=AnyTask | Literal["classifier", "regressor", "reward"]),
]
AnyBody = FrozenBody | FullAdapter | LoraAdapter
"""What of a body may change."""
Body = Annotated[
    Annotated[AnyBody, Field(discriminator="type")],
    BeforeValidator(name_to_type, json_schema_input_type=AnyBody | Literal["frozen", "full", "lora"]),
]


class HeadAdapter(Frozen):
    """Train new layers on a model that is read and does not write: a label, a number or a reward comes out of them."""

    type: Literal["head"] = "head"
    """Says that this is a head."""
    task: Task
    """What comes out: ``classifier``, ``regressor``, ``reward``, or one of them with options."""
    layers: Annotated[int, Field(ge=0, le=16)] = 1
    """New layers below the head, with a GELU after each; 0 means the head alone."""
    width: Annotated[int, Field(ge=1)] | None = None
    """Of the new layers; None means that of the body."""
    body: Body = FrozenBody()
    """What of the model below changes with them: ``frozen``, ``full``, or ``lora`` with options."""
    pool: Literal["last", "mean", "first"] | None = None
    """Which hidden states stand for a conversation: of its last token, the mean over all, or of its first. None means
    the last of a model that reads from left to right, and the mean of one that reads both ways."""

    @field_validator("body")
    @classmethod
    def _is_whole(cls, body: AnyBody) -> AnyBody:
        if isinstance(body, LoraAdapter) and body.quantize is not None:
            raise ValueError("below a head no weights are kept in four bits: leave quantize out")
        return body

    @property
    def learns_from(self) -> Literal["demonstration", "preference"]:
        """Which kind of lesson teaches it: a reward head wants pairs, the others references."""
        return "preference" if isinstance(self.task, RewardTask) else "demonstration"


AnyAdapter = FullAdapter | LoraAdapter | PrefixAdapter | PromptAdapter | BottleneckAdapter | PeftAdapter | HeadAdapter
"""One of them."""

Adapter = Annotated[
    Annotated[AnyAdapter, Field(discriminator="type")],
    BeforeValidator(
        name_to_type,
        json_schema_input_type=AnyAdapter | Literal["full", "lora", "prefix", "prompt", "bottleneck"],
    ),
]
"""What a user may write: the name alone, or the name with options."""
