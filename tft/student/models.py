"""Open a student, for training or to answer questions."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.adapters import FullAdapter, LoraAdapter
from tft.engines.encoding import find_template
from tft.engines.transformers import TransformersEngine, load_model
from tft.records import Attempt, Item, Message
from tft.student.adapting import put_on, settle, take_up
from tft.student.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.ports import Sampling
    from tft.student.ref import StudentRef


@lru_cache(maxsize=2)
def open_student(student: StudentRef) -> TransformersEngine:
    """Open a student for answering; its checkpoint is verified first.

    Raises:
        StageError: if the checkpoint is damaged.
    """
    model, tokenizer = load_base(student, training=False)
    if student.digest is not None:
        model = adapt_model(model, student, 0, training=False)
    model, prefix = settle(model)
    return TransformersEngine(model, tokenizer, student.digest or student.base, prefix=prefix)


def adapt(student: StudentRef, seed: int) -> tuple[PreTrainedModel | PeftModel, PreTrainedTokenizerBase]:
    """Load a student for training: with every weight thawed, or with an adapter that is."""
    model, tokenizer = load_base(student)
    return adapt_model(model, student, seed), tokenizer


def load_base(student: StudentRef, *, training: bool = True) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load what an adapter goes on; of a student whose weights are all trained, what it has learned."""
    learned = _learned(student) if isinstance(student.adapter, FullAdapter) else None
    template = find_template(student.chat_template)
    four_bits = isinstance(student.adapter, LoraAdapter) and student.adapter.quantize is not None
    return load_model(learned or student.base_path, training=training, chat_template=template, four_bits=four_bits)


def adapt_model(
    model: PreTrainedModel, student: StudentRef, seed: int, *, training: bool = True
) -> PreTrainedModel | PeftModel:
    """Put the adapter of a student on its base: the one it has learned, or a new one."""
    if isinstance(student.adapter, FullAdapter):
        return model
    learned = _learned(student)
    if learned is None:
        return put_on(model, student.adapter, seed)
    return take_up(model, student.adapter, learned, training=training)


def _learned(student: StudentRef) -> Path | None:
    if student.checkpoint_path is None or student.digest is None:
        return None
    return read_checkpoint(Path(student.checkpoint_path), student.digest)


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
