"""Which models can write, and which can only be read; told from ``config.json``, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.config.adapters import HeadAdapter, RewardTask
from tft.errors import Problem
from tft.library import is_file

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.config.adapters import AnyAdapter

_ENCODERS = frozenset({
    "albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert",
    "electra", "ernie", "esm", "eurobert", "flaubert", "fnet", "funnel", "gte", "ibert", "longformer", "luke",
    "megatron-bert", "mobilebert", "modernbert", "mpnet", "mra", "nomic_bert", "nystromformer", "rembert", "roberta",
    "roberta-prelayernorm", "roc_bert", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod", "yoso",
})  # fmt: skip
"""Model types of transformers that read both ways unless their config says ``is_decoder``."""


def reads_both_ways(config: Mapping[str, Any]) -> bool:
    """Say whether a model is an encoder: it sees what comes after a token, and so cannot write.

    >>> reads_both_ways({"model_type": "bert"}), reads_both_ways({"model_type": "llama"})
    (True, False)
    """
    if config.get("is_decoder") or config.get("is_encoder_decoder"):
        return False
    masked = any(name.endswith("ForMaskedLM") for name in config.get("architectures") or ())
    return masked or config.get("model_type") in _ENCODERS


def is_encoder(folder: str) -> bool:
    """Say whether the model in a folder is an encoder; what has no folder here has yet to be fetched."""
    path = Path(folder) / "config.json"
    return is_file(path) and reads_both_ways(json.loads(path.read_text(encoding="utf-8")))


def refuse_body(folder: str, adapter: AnyAdapter, key: str, name: str) -> list[Problem]:
    """Say what a student cannot do with the model in a folder.

    Args:
        folder: where the model lies.
        adapter: of the student.
        key: of the student in the config.
        name: of the model there.
    """
    if not is_encoder(folder):
        return []
    head = "{type: head, task: classifier}"
    if not isinstance(adapter, HeadAdapter):
        message = "reads both ways and cannot write, so it cannot answer"
        return [Problem(message, key=f"{key}.model", value=name, remedy=f"give it adapter: {head}, or a regressor")]
    if isinstance(adapter.task, RewardTask):
        message = f"{name} reads both ways and cannot write, so there would be no answers to choose from"
        remedy = f"take a model that writes, or {head}"
        return [Problem(message, key=f"{key}.adapter.task", value="reward", remedy=remedy)]
    return []
