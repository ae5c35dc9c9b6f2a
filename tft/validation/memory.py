"""What one student takes of memory while it is trained: worked out from the shape of its model, before anything runs.

With P weights of which Q are trained, L layers of width H with an inner width F, A heads and K heads of keys and values
of size D, a vocabulary V, B rows of T tokens in memory of which N tokens are learned, in float32:

    weights      4 P; in four bits 0.52 for each weight of a linear layer
    gradients    4 Q, and twice the largest matrix while it is added to
    optimiser    4 Q for each number it keeps a weight; in 8 bits a quarter of that
    activations  4 B T (L a + 4 H), a numbers a token and layer that the backward pass needs:
                   all weights   6 H + 4 A D + 4 F + A T
                   additions     4 H + 4 A D + 4 F + A T
                   else          2 H + 4 A D + 3 F + A T
                 and once more 4 B T a for the layer under way; computed again, 4 B T (L H + 2 a)
    logits       20 min(N V, 2²⁴)
    reference    the weights once more, where practice holds the student to what it was
    roll-outs    8 R U L K D keys and values of R rows of U tokens, and 40 R V for choosing a token

The layers are those of Llama as transformers 5 computes them: eager attention on a CPU keeps A T numbers a token, fused
attention on a GPU none. The terms are those of Korthikanti et al. 2022 (Reducing activation recomputation in large
transformer models, section 4), counted anew for these layers, for float32 and for weights that are frozen. Gradients
and activations are there while a step is taken, keys and values while the student writes, and never both.
``python -m benchmarks run memory`` compares this with what was measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tft.config.adapters import BottleneckAdapter, FullAdapter, LoraAdapter, PrefixAdapter, PromptAdapter
from tft.config.optimizers import AdafactorConfig, AdamW8bitConfig, MuonConfig, SGDConfig

if TYPE_CHECKING:
    from pathlib import Path

    from tft.config.adapters import AnyAdapter, FrozenBody
    from tft.config.optimizers import AnyOptimizer

_BYTES = 4
"""A number in float32."""
_FOUR_BITS = 0.52
"""A weight in four bits, its share of the scales included."""
_CHUNK = 2**24
"""Logits that are in memory at once; of ``tft.training.learner``, which loads torch."""
_NARROW = 512
"""Width up to which the additions of LoRA are added to the weights first; of ``tft.training.lora``."""
FRAMEWORK = 550 * 2**20
"""Python, torch, transformers and PEFT, in bytes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a model, as its config.json tells it."""

    layers: int
    hidden: int
    inner: int
    """Width within the feed-forward blocks."""
    heads: int
    kv_heads: int
    head: int
    """Width of a head."""
    vocabulary: int
    tied: bool
    """Whether embeddings and output head are one matrix."""
    context: int | None = None
    """Tokens it can read; None where it does not say."""

    @property
    def ends(self) -> tuple[tuple[int, int], ...]:
        """What goes into each linear layer of a block, and what comes out."""
        across, beside = self.heads * self.head, self.kv_heads * self.head
        attention = ((self.hidden, across), (self.hidden, beside), (self.hidden, beside), (across, self.hidden))
        return (*attention, (self.hidden, self.inner), (self.hidden, self.inner), (self.inner, self.hidden))

    @property
    def linear(self) -> int:
        """Weights of the linear layers but the output head."""
        return self.layers * sum(into * out for into, out in self.ends)

    @property
    def table(self) -> int:
        """Weights of the embeddings."""
        return self.vocabulary * self.hidden

    @property
    def weights(self) -> int:
        """All of them, but for biases."""
        return self.linear + self.table * (1 if self.tied else 2) + (2 * self.layers + 1) * self.hidden


@dataclass(frozen=True, slots=True)
class Load:
    """What is in memory at once."""

    rows: int
    """Of a step, or of its parts."""
    length: int
    """Tokens of the longest row, at most."""
    learned: int
    """Tokens of a row that are learned, at most."""
    written: int = 0
    """Rows that the student writes side by side."""
    answer: int = 0
    """Tokens of a row that is written, its question included, at most."""
    referred: bool = False
    """Whether it is held to what it was, by a second model."""
    recomputed: bool = False
    """Whether activations are computed again."""
    fused: bool = False
    """Whether attention is fused, as on a GPU."""


@dataclass(frozen=True, slots=True)
class Needed:
    """Bytes."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    reference: int
    roll_outs: int

    @property
    def total(self) -> int:
        """At the highest: while a step is taken, or while answers are written."""
        stays = self.weights + self.optimizer + self.reference + FRAMEWORK
        return stays + max(self.gradients + self.activations + self.logits, self.roll_outs)


def read_shape(folder: Path) -> Shape | None:
    """Read the shape of a model from its config.json; None where it does not tell, or has experts."""
    try:
        whole = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        told = {**whole, **whole.get("text_config", {})}
        if any(told.get(name) for name in ("num_experts", "num_local_experts", "n_routed_experts")):
            return None
        hidden = told["hidden_size"] if "hidden_size" in told else told["n_embd"]
        heads = told["num_attention_heads"] if "num_attention_heads" in told else told["n_head"]
        return Shape(
            layers=int(told["num_hidden_layers"] if "num_hidden_layers" in told else told["n_layer"]),
            hidden=int(hidden),
            inner=int(told.get("intermediate_size") or told.get("n_inner") or 4 * hidden),
            heads=int(heads),
            kv_heads=int(told.get("num_key_value_heads") or heads),
            head=int(told.get("head_dim") or hidden // heads),
            vocabulary=int(told["vocab_size"]),
            tied=bool(told.get("tie_word_embeddings", False)),
            context=told.get("max_position_embeddings"),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None


def estimate_training(
    shape: Shape, adapter: AnyAdapter | FrozenBody, optimizer: AnyOptimizer, load: Load, weights: int | None = None
) -> Needed:
    """Estimate what training one student takes, in a process of its own; see the formula above.

    Args:
        shape: of its model.
        adapter: what of it is trained.
        optimizer: that moves it.
        load: what is in memory at once.
        weights: how many there are, where that is known better than by the shape.
    """
    weights = weights or shape.weights
    trained = count_trained(shape, adapter, weights)
    whole = isinstance(adapter, FullAdapter)
    held = float(weights * _BYTES)
    if isinstance(adapter, LoraAdapter) and adapter.quantize is not None:
        held -= shape.linear * (_BYTES - _FOUR_BITS)
    held += 0 if whole else trained * _BYTES
    layer = _numbers_a_layer(shape, adapter, load)
    tokens = load.rows * load.length
    kept = shape.layers * shape.hidden + 2 * layer if load.recomputed else (shape.layers + 1) * layer
    activations = tokens * (kept + 4 * shape.hidden) * _BYTES
    if _adds_first(shape, adapter):
        # The sums that the products are made with: of all layers, or of the one that is computed again.
        activations += shape.linear * _BYTES // (shape.layers if load.recomputed else 1)
    logits = 5 * _BYTES * min(load.rows * load.learned * shape.vocabulary, _CHUNK)
    return Needed(
        weights=round(held),
        gradients=(trained + (2 * max(shape.table, shape.hidden * shape.inner) if whole else 0)) * _BYTES,
        optimizer=round(trained * _BYTES * _kept_a_weight(shape, optimizer, trained if whole else None)),
        activations=activations,
        logits=logits,
        reference=round(held) if load.referred else 0,
        roll_outs=_roll_outs(shape, load),
    )


def count_trained(shape: Shape, adapter: AnyAdapter | FrozenBody, weights: int) -> int:
    """Count the weights that are trained; of frozen bodies and of adapters that only PEFT knows, none."""
    match adapter:
        case FullAdapter():
            return weights
        case LoraAdapter():
            return shape.layers * adapter.r * sum(into + out for into, out in shape.ends)
        case BottleneckAdapter():
            return shape.layers * (2 * shape.hidden * adapter.width + shape.hidden + adapter.width)
        case PrefixAdapter():
            return adapter.tokens * shape.layers * 2 * shape.kv_heads * shape.head
        case PromptAdapter():
            return adapter.tokens * shape.hidden
    return 0


def _numbers_a_layer(shape: Shape, adapter: AnyAdapter | FrozenBody, load: Load) -> int:
    """Count the numbers a token that the backward pass through one layer needs."""
    across = 4 * shape.heads * shape.head + (0 if load.fused else shape.heads * load.length)
    match adapter:
        case FullAdapter():
            return across + 6 * shape.hidden + 4 * shape.inner
        case LoraAdapter():
            return across + 4 * shape.hidden + 4 * shape.inner + len(shape.ends) * adapter.r
    return across + 2 * shape.hidden + 3 * shape.inner


def _adds_first(shape: Shape, adapter: AnyAdapter | FrozenBody) -> bool:
    """Say whether LoRA adds its products to the weights before they are used."""
    plain = isinstance(adapter, LoraAdapter) and not (adapter.dropout or adapter.dora or adapter.quantize)
    return plain and shape.hidden <= _NARROW


def _kept_a_weight(shape: Shape, optimizer: AnyOptimizer, trained: int | None) -> float:
    """Say how many numbers an optimiser keeps a weight; ``trained`` are all, where all weights are."""
    match optimizer:
        case AdamW8bitConfig():
            return 0.5
        case AdafactorConfig():
            return 0.0
        case SGDConfig():
            return 1.0 if optimizer.momentum else 0.0
        case MuonConfig():
            # Two for what is looked up, one for matrices.
            return 1.0 if trained is None else 1.0 + min(1.0, shape.table * (1 if shape.tied else 2) / trained)
    return 2.0


def _roll_outs(shape: Shape, load: Load) -> int:
    cached = 2 * load.written * load.answer * shape.layers * shape.kv_heads * shape.head * _BYTES
    return cached + 10 * _BYTES * load.written * shape.vocabulary


def told(size: float) -> str:
    """Write bytes as people read them.

    >>> told(3 * 2**30), told(700 * 2**20)
    ('3.0 GiB', '0.7 GiB')
    """
    return f"{size / 2**30:.1f} GiB"
