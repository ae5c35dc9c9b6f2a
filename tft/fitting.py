"""What a model cannot do because of how it is built, found before anything is taught.

It reads a model's ``config.json`` and its chat template, and loads no framework. Left out on purpose: whether a size
fits into memory.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import TemplateError, meta
from jinja2.sandbox import SandboxedEnvironment

from tft.config.adapters import HeadAdapter, RewardTask
from tft.config.reading import closest
from tft.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.config.adapters import AnyAdapter
    from tft.config.campaign import EngineConfig, StudentConfig

Build = Literal["decoder", "encoder", "encoder_decoder"]
"""``decoder``: goes on with a text, as Llama. ``encoder``: reads in both directions and cannot write, as BERT.
``encoder_decoder``: reads with one half and writes with the other, as T5 and BART."""
_ENCODERS = frozenset({
    "albert", "bert", "big_bird", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert",
    "electra", "ernie", "esm", "eurobert", "flaubert", "fnet", "funnel", "gte", "ibert", "longformer", "luke",
    "megatron-bert", "mobilebert", "modernbert", "mpnet", "mra", "nomic_bert", "nystromformer", "rembert", "roberta",
    "roberta-prelayernorm", "roc_bert", "roformer", "squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod", "yoso",
})  # fmt: skip
"""Model types of transformers that read both ways unless their config says ``is_decoder``."""
_GIVEN = frozenset({"messages", "tools", "documents", "add_generation_prompt", "raise_exception", "strftime_now"})
"""What transformers gives to every chat template; beside it, special tokens by their names."""
_LEARNED = re.compile(r"\{%[-+]?\s*(?:end)?generation\s*[-+]?%\}")
"""Tags around what is learned of a conversation, which only transformers knows."""


def build_of(config: Mapping[str, Any]) -> Build:
    """Tell how a model is built from its ``config.json``.

    >>> build_of({"model_type": "bert"}), build_of({"model_type": "llama"})
    ('encoder', 'decoder')
    """
    if config.get("is_encoder_decoder"):
        return "encoder_decoder"
    masked = any(name.endswith("ForMaskedLM") for name in config.get("architectures") or ())
    both_ways = masked or config.get("model_type") in _ENCODERS
    return "encoder" if both_ways and not config.get("is_decoder") else "decoder"


def read_build(folder: str) -> Build:
    """Tell how the model in a folder is built; ``decoder`` where that cannot be read, and whoever loads it says why."""
    config = read_json(folder, "config.json")
    return "decoder" if config is None else build_of(config)


def read_json(folder: str, name: str) -> dict[str, Any] | None:
    """Read a JSON file of a model; None where it is not there, or no mapping."""
    try:
        found = json.loads((Path(folder) / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def dropout_of(config: Mapping[str, Any]) -> float:
    """Give the largest share that a language model leaves out by chance while it is trained, from its ``config.json``.

    Every family has names of its own for it; all of them say ``drop``. What belongs to classifiers on top of the model
    does not count.

    >>> dropout_of({"dropout_rate": 0.1, "classifier_dropout": 0.2, "attention_dropout": 0})
    0.1
    """
    found = [0.0]
    # Names of labels are numbers, once the config is loaded.
    for name, value in ((str(name), value) for name, value in config.items()):
        if isinstance(value, dict):
            found.append(dropout_of(value))
        elif "drop" in name and not name.startswith(("classif", "summary")) and type(value) in (int, float):
            found.append(float(value))
    return max(found)


def read_dropout(folder: str) -> float:
    """Give the dropout of the model in a folder; 0 where it cannot be read, and whoever loads it looks again."""
    config = read_json(folder, "config.json")
    return 0.0 if config is None else dropout_of(config)


def refuse_shards(build: Build, parallel: str, key: str, name: str) -> list[Problem]:
    """Say that a student which is built so cannot be parted into shards, where ``training.parallel`` asks for them."""
    if build != "encoder_decoder" or parallel != "fsdp":
        return []
    message, remedy = "has two halves, which training.parallel: fsdp cannot part into shards", "take parallel: ddp"
    return [Problem(message, key=f"{key}.model", value=name, remedy=remedy)]


def refuse_student(build: Build, adapter: AnyAdapter, key: str, name: str) -> list[Problem]:
    """Say what a student cannot learn by, or cannot do, with a model that is built so.

    Args:
        build: of the model.
        adapter: of the student.
        key: of the student in the config.
        name: of the model there.
    """
    if build == "encoder" and not isinstance(adapter, HeadAdapter):
        message = "reads both ways and cannot write, so it cannot answer"
        remedy = "give it adapter: {type: head, task: classifier}, or a regressor"
        return [Problem(message, key=f"{key}.model", value=name, remedy=remedy)]
    if build == "encoder" and isinstance(adapter, HeadAdapter) and isinstance(adapter.task, RewardTask):
        message = f"{name} reads both ways and cannot write, so there would be no answers to choose from"
        remedy = "take a model that writes, or {type: head, task: classifier}"
        return [Problem(message, key=f"{key}.adapter.task", value="reward", remedy=remedy)]
    if build == "encoder_decoder" and isinstance(adapter, HeadAdapter):
        message, remedy = "a head is put on models of one half", "take a decoder-only model, or an encoder such as BERT"
        return [Problem(message, key=f"{key}.adapter", value=adapter.type, remedy=remedy)]
    if build == "encoder_decoder" and adapter.type in ("prefix", "prompt"):
        what = "reads in both directions, so what stands before a prompt is not the same before every prompt"
        message = f"an encoder-decoder student cannot learn by it: the encoder {what}"
        remedy = "take adapter: lora, or a decoder-only model"
        return [Problem(message, key=f"{key}.adapter", value=adapter.type, remedy=remedy)]
    return []


def read_template(folder: str) -> str | None:
    """Read the chat template of the model in a folder; None where it brings none."""
    own = Path(folder) / "chat_template.jinja"
    if own.is_file():
        return own.read_text(encoding="utf-8")
    told = (read_json(folder, "tokenizer_config.json") or {}).get("chat_template")
    # Some models bring several, by name.
    named = {it["name"]: it["template"] for it in told} if isinstance(told, list) else {"default": told}
    return named.get("default")


def list_switches(template: str) -> set[str]:
    """List the switches of a chat template: what it reads although it need not be set there, and is not given anyway.

    Among them may be names that it sets itself, where Jinja cannot tell that it always does.

    Raises:
        TemplateError: if it cannot be read.

    >>> list_switches("{{ bos_token }}{{ 'aloud' if enable_thinking }}{{ messages[0].content }}")
    {'enable_thinking'}
    """
    environment = SandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    read = meta.find_undeclared_variables(environment.parse(_LEARNED.sub("", template)))
    return {name for name in read - _GIVEN if not name.endswith(("_token", "_tokens"))}


def refuse_switches(student: StudentConfig, folder: str, key: str) -> list[Problem]:
    """Say which switches of a student its chat template does not have.

    Args:
        student: with its switches.
        folder: of its base model.
        key: of the student in the config.
    """
    template = student.chat_template or read_template(folder)
    if not student.template:
        return []
    if template is None:
        remedy = f"leave it out, or name a template in {key}.chat_template"
        return [Problem("the model brings no chat template", key=f"{key}.template", remedy=remedy)]
    try:
        known = list_switches(template)
    except TemplateError as error:
        return [Problem(f"its chat template does not work: {error}", key=f"{key}.template", remedy="name another")]
    message = "is no switch of its chat template, or is set there already"
    return [
        Problem(message, key=f"{key}.template", value=name,
                remedy=f"write it as {key}.chat_template" if name == "chat_template" else closest(name, known))
        for name in student.template
        if name not in known
    ]  # fmt: skip


def refuse_tutor(build: Build, engine: EngineConfig, methods: str) -> list[Problem]:
    """Say why a model that is built so cannot be the tutor."""
    if build == "encoder":
        message, remedy = "reads both ways and cannot write, so it cannot teach", "take a model that writes"
        return [Problem(message, key="tutor.model", remedy=remedy)]
    if build == "encoder_decoder" and engine.type == "vllm":
        remedy = "run it with engine: transformers, or take a decoder-only model"
        message = "vLLM does not run encoder-decoder models"
        return [Problem(message, key="tutor.engine.type", value=engine.type, remedy=remedy)]
    if build == "encoder_decoder" and methods == "feedback":
        message = "an encoder-decoder tutor answers, but is not asked for the probabilities of a student's tokens"
        remedy = "take critique, or a decoder-only tutor"
        return [Problem(message, key="tuition.methods", value=methods, remedy=remedy)]
    return []
