"""Open a student, adapt it, and let it answer questions.

PEFT is imported where an adapter is: it takes seconds, which tutors and fully trained students need not spend.
"""

from __future__ import annotations

import math
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tft.config.campaign import FullAdapter, LoraAdapter
from tft.engines.transformers import TransformersEngine, load_model
from tft.records import Attempt, Item, Message
from tft.student.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.ports import Sampling
    from tft.student.ref import StudentRef

# peft 0.21 asks transformers by a name that has been deprecated since; a user can do nothing about it.
warnings.filterwarnings("ignore", message="`is_gradient_checkpointing`", category=FutureWarning)


@lru_cache(maxsize=2)
def open_student(student: StudentRef) -> TransformersEngine:
    """Open a student for answering; its checkpoint is verified first.

    Raises:
        StageError: if the checkpoint is damaged.
    """
    learned = None
    if student.checkpoint_path is not None and student.digest is not None:
        learned = read_checkpoint(Path(student.checkpoint_path), student.digest)
    whole = learned if learned is not None and isinstance(student.adapter, FullAdapter) else Path(student.base_path)
    model, tokenizer = load_model(whole if whole.is_dir() else student.base_path)
    if learned is not None and isinstance(student.adapter, LoraAdapter):
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, learned).merge_and_unload().eval()
    return TransformersEngine(model, tokenizer, student.digest or student.base)


def adapt(student: StudentRef, seed: int) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Load a student for training: with every weight thawed, or with an adapter that is."""
    learned = None
    if student.checkpoint_path is not None and student.digest is not None:
        learned = read_checkpoint(Path(student.checkpoint_path), student.digest)
    if isinstance(student.adapter, FullAdapter):
        model, tokenizer = load_model(learned or student.base_path, training=True)
        return model, tokenizer
    from peft import LoraConfig, PeftModel, get_peft_model

    model, tokenizer = load_model(student.base_path, training=True)
    if learned is not None:
        return _in_order(PeftModel.from_pretrained(model, learned, is_trainable=True)), tokenizer
    torch.manual_seed(seed)
    lora = student.adapter
    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha if lora.alpha is not None else 2 * lora.r,
        lora_dropout=lora.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    return _in_order(get_peft_model(model, config)), tokenizer


def _in_order(model: PeftModel) -> PeftModel:
    """Sort what PEFT keeps as a set: it is written into the checkpoint, and hashes differ between processes."""
    for config in model.peft_config.values():
        config.target_modules = sorted(config.target_modules)
    return model


def ask(question: str) -> tuple[Message, ...]:
    """Put a question to a student."""
    return (Message("user", question),)


def attempt(student: StudentRef, items: Sequence[Item], sampling: Sampling) -> tuple[Attempt, ...]:
    """Let a student answer items, in the order they come."""
    generations = open_student(student).generate([ask(item.question) for item in items], sampling)
    return tuple(
        Attempt(
            item=item,
            text=generation.text,
            tokens=generation.tokens,
            confidence=None if generation.logprob is None else math.exp(min(0.0, generation.logprob)),
            finished=generation.finished,
        )
        for item, generation in zip(items, generations, strict=True)
    )
