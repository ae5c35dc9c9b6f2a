"""What moves the weights: the optimiser of a student, and what it keeps for every weight."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tft.config._base import Frozen, name_to_type

Decay = Annotated[float, Field(ge=0, lt=1)]


class AdamWConfig(Frozen):
    """AdamW (Loshchilov and Hutter 2019): two numbers a weight."""

    type: Literal["adamw"] = "adamw"
    """Says that this is AdamW."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Of the running averages of the gradient and of its square."""


class AdamW8bitConfig(Frozen):
    """AdamW with its two numbers a weight in 8 bits each (Dettmers et al. 2022); needs the extra ``[qlora]``."""

    type: Literal["adamw_8bit"] = "adamw_8bit"
    """Says that this is AdamW in 8 bits."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Of the running averages of the gradient and of its square."""


class AdafactorConfig(Frozen):
    """Adafactor (Shazeer and Stern 2018): one number a row and one a column; rates are shares of a weight's size."""

    type: Literal["adafactor"] = "adafactor"
    """Says that this is Adafactor."""


class MuonConfig(Frozen):
    """Muon (Jordan 2024, scaled as by Liu et al. 2025): one number a weight of matrices; AdamW for all the others.

    Embeddings, the output head, prefixes, prompts and vectors are the others.
    """

    type: Literal["muon"] = "muon"
    """Says that this is Muon."""
    momentum: Decay = 0.95
    """Of the running average of the gradient."""
    betas: tuple[Decay, Decay] = (0.9, 0.98)
    """Of AdamW, for the others."""


class SGDConfig(Frozen):
    """Gradient descent with momentum: one number a weight, and none without momentum."""

    type: Literal["sgd"] = "sgd"
    """Says that this is gradient descent."""
    momentum: Decay = 0.9
    """Of the running sum of gradients."""


AnyOptimizer = AdamWConfig | AdamW8bitConfig | AdafactorConfig | MuonConfig | SGDConfig
"""One of them."""

Optimizer = Annotated[
    Annotated[AnyOptimizer, Field(discriminator="type")],
    BeforeValidator(
        name_to_type,
        json_schema_input_type=AnyOptimizer | Literal["adamw", "adamw_8bit", "adafactor", "muon", "sgd"],
    ),
]
"""What a user may write: the name alone, or the name with options."""
