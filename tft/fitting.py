"""What a model cannot do because of how it is built, found before anything is taught.

It reads a model's ``config.json`` and loads no framework. Left out on purpose: whether a size fits into memory.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tft.errors import Problem

if TYPE_CHECKING:
    from tft.config.adapters import AnyAdapter
    from tft.config.campaign import EngineConfig


def is_encoder_decoder(folder: str) -> bool:
    """Say whether the model in a folder reads with one half and writes with the other, as T5 and BART do."""
    try:
        config = json.loads((Path(folder) / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # whoever loads it says what is wrong with it
    return isinstance(config, dict) and config.get("is_encoder_decoder") is True


def refuse_adapter(adapter: AnyAdapter, key: str) -> Problem | None:
    """Say why an encoder-decoder student cannot learn by an adapter; None if it can."""
    if adapter.type == "head":
        message = "a head is put on models of one half"
        return Problem(message, None, key, adapter.type, "take a decoder-only model, or an encoder such as BERT")
    if adapter.type not in ("prefix", "prompt"):
        return None
    what = "the encoder reads in both directions, so what stands before a prompt is not the same before every prompt"
    remedy = "take adapter: lora, or a decoder-only model"
    return Problem(f"an encoder-decoder student cannot learn by it: {what}", None, key, adapter.type, remedy)


def refuse_tutor(engine: EngineConfig, methods: str) -> Problem | None:
    """Say why an encoder-decoder model cannot be the tutor; None if it can."""
    if engine.type == "vllm":
        remedy = "run it with engine: transformers, or take a decoder-only model"
        return Problem("vLLM does not run encoder-decoder models", None, "tutor.engine.type", engine.type, remedy)
    if methods == "feedback":
        message = "an encoder-decoder tutor answers, but is not asked for the probabilities of a student's tokens"
        remedy = "take critique, or a decoder-only tutor"
        return Problem(message, None, "tuition.methods", methods, remedy)
    return None
