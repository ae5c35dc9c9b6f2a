"""Put an adapter on a model, take it up again from a checkpoint, and write it down.

PEFT is imported where an adapter is: it takes seconds, which tutors and fully trained students need not spend.
"""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from tft.config.adapters import BottleneckAdapter, FullAdapter, LoraAdapter, PeftAdapter, PrefixAdapter, PromptAdapter
from tft.config.reading import closest
from tft.errors import Problem, UserError
from tft.fitting import refuse_student
from tft.student.bottleneck import add_bottlenecks, load_bottlenecks, save_bottlenecks
from tft.student.saved import BASE, TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from peft import PeftConfig, PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.config.adapters import AnyAdapter

# peft 0.21 asks transformers by a name that has been deprecated since; a user can do nothing about it.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)

Prefix = list[tuple[torch.Tensor, torch.Tensor]]
"""Keys and values that stand before every prompt: one pair a layer, [1, heads, P, head size]."""


def put_on(
    model: PreTrainedModel, adapter: AnyAdapter, seed: int, *, writes: bool = True
) -> PreTrainedModel | PeftModel:
    """Put a new adapter on a model, ready to be trained.

    Args:
        model: to adapt.
        adapter: what to put on it.
        seed: decides how it begins.
        writes: whether the model has a language model's head; PEFT wants to know.

    Raises:
        UserError: if PEFT has no such adapter, or not with these options, or it is none for an encoder-decoder model.
        PrerequisiteError: if the model cannot take it.
    """
    torch.manual_seed(seed)
    if isinstance(adapter, FullAdapter):
        return model
    if isinstance(adapter, BottleneckAdapter):
        add_bottlenecks(model, adapter.width)
        return model
    refused = refuse_student("encoder_decoder", adapter, "student", model.name_or_path)
    if model.config.is_encoder_decoder and refused:
        raise UserError(*refused)
    from peft import get_peft_model

    try:
        config = _peft_config(adapter)
        # PEFT 0.21 wraps encoder-decoder models for generation by a name that transformers no longer has; its plain
        # wrapper, which it takes where no task is named, hands everything on to the model.
        config.task_type = "CAUSAL_LM" if writes and not model.config.is_encoder_decoder else None
        with _one_end_adapted():
            adapted = get_peft_model(model, config)
    except (TypeError, ValueError) as error:
        raise UserError(Problem(f"PEFT refuses this adapter: {error}", key="adapter", value=adapter.type)) from error
    if isinstance(adapter, PeftAdapter) and not hasattr(adapted.base_model, "merge_and_unload"):
        message = "cannot be merged into the weights, so no engine could run it"
        raise UserError(Problem(message, key="adapter.method", value=adapter.method, remedy="take lora, IA3 or LOHA"))
    if isinstance(adapter, PrefixAdapter):
        _begin_with_real_keys(adapted, adapter.tokens)
    return _in_order(adapted)


def take_up(
    model: PreTrainedModel, adapter: AnyAdapter, folder: Path, *, training: bool
) -> PreTrainedModel | PeftModel:
    """Put the adapter of a checkpoint on a model."""
    if isinstance(adapter, BottleneckAdapter):
        load_bottlenecks(model, folder)
        return model
    from peft import PeftModel

    prompted = isinstance(adapter, PrefixAdapter | PromptAdapter)
    with _one_end_adapted():
        taken = _in_order(PeftModel.from_pretrained(model, folder, is_trainable=training and not prompted))
    if training and prompted:
        # PEFT opens a prompt for answering only.
        taken.active_peft_config.inference_mode = False
        taken.prompt_encoder.requires_grad_(True)
    return taken


def write_down(
    model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, adapter: AnyAdapter, folder: Path,
    state: dict[str, torch.Tensor] | None = None,
) -> None:  # fmt: skip
    """Write what a student has learned: its adapter, or the whole model with its tokenizer.

    Args:
        model: the student.
        tokenizer: its tokenizer.
        adapter: how it learns.
        folder: where to.
        state: what the model's ``state_dict`` would be, where its weights lie in shards; None where they do not.
    """
    if isinstance(adapter, BottleneckAdapter):
        save_bottlenecks(model, folder, adapter.width, state)
    else:
        # PEFT would write embeddings down, too, where one end of the model is adapted; nobody trains those.
        only = {"save_embedding_layers": False} if hasattr(model, "peft_config") else {}
        model.save_pretrained(folder, state_dict=state, **only)
        # PEFT leaves an empty card; the campaign writes one with what it found, once it knows.
        (folder / "README.md").unlink(missing_ok=True)
    if isinstance(adapter, LoraAdapter) and adapter.quantize is not None:
        # PEFT does not say on which form of the base it was learned.
        (folder / BASE).write_text(json.dumps({"quantize": adapter.quantize}) + "\n", encoding="utf-8")
    if isinstance(adapter, FullAdapter):
        tokenizer.save_pretrained(folder)
    elif tokenizer.chat_template is not None:
        # How it was asked while it learned; the base may bring no template, or another.
        (folder / TEMPLATE).write_text(tokenizer.get_chat_template(), encoding="utf-8")


def settle(model: PreTrainedModel | PeftModel) -> tuple[PreTrainedModel, Prefix | None]:
    """Make a model ready to answer: merge what can be merged, and compute what stands before every prompt.

    Only float32 weights can take an addition up; rounded once more with it, to four bits or to bfloat16, they would
    answer as nobody was taught.
    """
    if not hasattr(model, "peft_config"):
        return model.eval(), None
    if model.active_peft_config.is_prompt_learning:
        return model.get_base_model().eval(), read_prefix(model)
    base = model.get_base_model()
    if base.dtype != torch.float32 or getattr(base, "quantization_method", None) is not None:
        return base.eval(), None
    _part_adapted(base)
    with _one_end_adapted():
        # The config of a T5 says that head and embeddings are one where they are not; PEFT notices when it merges.
        warnings.filterwarnings("ignore", message="Input and output embeddings are no longer tied")
        return model.merge_and_unload().eval(), None


@contextmanager
def _one_end_adapted() -> Iterator[None]:
    """Keep PEFT from warning of embeddings or an output head that are adapted alone: merging parts them here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Model (has|with) `tie_word_embeddings=True`")
        yield


def _part_adapted(base: PreTrainedModel) -> None:
    """Give embeddings and output head weights of their own where one of them is adapted and both share theirs.

    Merged into what both share, what one has learned would change the other.
    """
    layers = [layer for layer in (base.get_input_embeddings(), base.get_output_embeddings()) if layer is not None]
    plain = [getattr(layer, "base_layer", layer) for layer in layers]
    if len({layer.weight.data_ptr() for layer in plain}) == len(plain):
        return
    for layer, inner in zip(layers, plain, strict=True):
        if inner is not layer:
            inner.weight = torch.nn.Parameter(inner.weight.detach().clone(), requires_grad=False)


@torch.no_grad()
def read_prefix(model: PreTrainedModel | PeftModel) -> Prefix | None:
    """Give the keys and values that prefix or prompt tuning puts before every prompt; None where nothing does."""
    if not hasattr(model, "peft_config") or not model.active_peft_config.is_prompt_learning:
        return None
    found = model.get_prompt(1)
    if isinstance(found, torch.Tensor):
        # Embeddings: what the layers make of them is the same before every prompt.
        base = model.get_base_model()
        found = base(inputs_embeds=found.to(base.dtype), use_cache=True).past_key_values
    return [(layer.keys, layer.values) for layer in found.layers]


def _peft_config(adapter: AnyAdapter) -> PeftConfig:
    import peft

    match adapter:
        case LoraAdapter():
            return peft.LoraConfig(
                r=adapter.r,
                lora_alpha=adapter.alpha if adapter.alpha is not None else 2 * adapter.r,
                lora_dropout=adapter.dropout,
                target_modules=adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets),
                use_dora=adapter.dora,
                use_rslora=adapter.rslora,
            )
        case PrefixAdapter():
            return peft.PrefixTuningConfig(num_virtual_tokens=adapter.tokens)
        case PromptAdapter():
            return peft.PromptTuningConfig(num_virtual_tokens=adapter.tokens, prompt_tuning_init="SAMPLE_VOCAB")
        case PeftAdapter():
            known = {
                kind.value: config
                for kind, config in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()
                if not issubclass(config, peft.PromptLearningConfig)
            }
            if adapter.method not in known:
                remedy = f"prefix and prompt tuning have types of their own; {closest(adapter.method, known)}"
                message = "PEFT has no such adapter that can be merged"
                raise UserError(Problem(message, key="adapter.method", value=adapter.method, remedy=remedy))
            try:
                return known[adapter.method](**adapter.options)
            except (TypeError, ValueError) as error:
                raise UserError(Problem(str(error), key="adapter.options", value=adapter.method)) from error
    raise AssertionError(adapter)


@torch.no_grad()
def _begin_with_real_keys(model: PeftModel, tokens: int) -> None:
    """Let a prefix begin as the keys and values of tokens, drawn at random.

    PEFT draws the prefix itself, which no token would ever leave there: a student then begins as if it had been hit
    on the head.
    """
    base = model.get_base_model()
    drawn = torch.randint(base.config.vocab_size, (1, tokens), device=base.device)
    cache = base(input_ids=drawn, use_cache=True).past_key_values
    pairs = torch.stack(
        [torch.stack([layer.keys[0], layer.values[0]]) for layer in cache.layers]
    )  # [L, 2, heads, P, D]
    embedding = model.prompt_encoder[model.active_adapter].embedding.weight
    embedding.copy_(pairs.permute(3, 0, 1, 2, 4).reshape(tokens, -1))


def _in_order(model: PeftModel) -> PeftModel:
    """Sort what PEFT keeps as a set: it is written into the checkpoint, and hashes differ between processes."""
    for config in model.peft_config.values():
        targets: Any = getattr(config, "target_modules", None)
        if targets is not None and not isinstance(targets, str):
            config.target_modules = sorted(targets)
    return model
