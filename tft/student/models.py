"""Open a student, for training or to answer questions."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tft.config.adapters import (
    BottleneckAdapter,
    ClassifierTask,
    FrozenBody,
    FullAdapter,
    HeadAdapter,
    LoraAdapter,
    RegressorTask,
    RewardTask,
)
from tft.engines.encoding import find_template
from tft.engines.transformers import TransformersEngine, load_encoder, load_model
from tft.fitting import read_build
from tft.records import Attempt, Item, Message, make_seed
from tft.student.adapting import put_on, settle, take_up
from tft.student.checkpoints import read_checkpoint
from tft.student.heads import HeadedModel, new_head, read_head
from tft.student.reading import HeadReader
from tft.student.shortage import AtOnce, give_back, write_in_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from tft.config.adapters import AnyAdapter
    from tft.ports import Generation, Sampling
    from tft.student.ref import StudentRef

_at_once: defaultdict[str, AtOnce] = defaultdict(AtOnce)
"""What is known in this process of the memory that students take, by their base: it stays when they learn."""


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
    learned = _learned(student) if isinstance(_of_body(student), FullAdapter) else None
    template = find_template(student.chat_template)
    path = learned or student.base_path
    if read_build(student.base_path) == "encoder":
        return load_encoder(path, training=training, chat_template=template)
    four_bits = isinstance(student.adapter, LoraAdapter) and student.adapter.quantize is not None
    return load_model(path, training=training, chat_template=template, four_bits=four_bits)


def adapt_model(
    model: PreTrainedModel, student: StudentRef, seed: int, *, training: bool = True
) -> PreTrainedModel | PeftModel:
    """Put the adapter of a student on its base: the one it has learned, or a new one."""
    adapter = _of_body(student)
    if isinstance(adapter, FrozenBody):
        return model.requires_grad_(False)
    if isinstance(adapter, FullAdapter):
        return model
    learned = _learned(student)
    if learned is None:
        return put_on(model, adapter, seed, writes=read_build(student.base_path) != "encoder")
    return take_up(model, adapter, learned, training=training)


def merge(student: StudentRef) -> tuple[PreTrainedModel, PreTrainedTokenizerBase] | str:
    """Load a student as a plain model that has all it learned in its weights; where that cannot be, why.

    Raises:
        StageError: if the checkpoint is damaged.
    """
    if isinstance(student.adapter, HeadAdapter):
        return "a head is no language model"
    model, tokenizer = load_base(student)
    if getattr(model, "is_loaded_in_4bit", False):
        # What the student was taught on: the rounded weights, at full width.
        model = model.dequantize()
    if student.digest is None:
        return model.eval(), tokenizer
    model, prefix = settle(adapt_model(model, student, 0, training=False))
    if prefix is not None:
        return "what stands before the prompt is no part of the weights"
    if isinstance(student.adapter, BottleneckAdapter):
        return "bottleneck adapters are no part of the weights"
    return model, tokenizer


def adapt_head(
    student: StudentRef, seed: int, references: Iterable[str]
) -> tuple[HeadedModel, PreTrainedTokenizerBase]:
    """Load a student with a head for training.

    Args:
        student: whose adapter is a head.
        seed: decides how what is new begins.
        references: of what it will be taught: new labels, or numbers that say how large numbers are.

    Raises:
        StageError: if a regressor is to learn what is no number.
    """
    body, tokenizer = adapt(student, seed)
    torch.manual_seed(seed)
    return put_head(body, student, references), tokenizer


def put_head(body: PreTrainedModel | PeftModel, student: StudentRef, references: Iterable[str] = ()) -> HeadedModel:
    """Put the head of a student on its body: the one it has learned, with what is new, or a new one."""
    adapter, learned = student.adapter, _learned(student)
    assert isinstance(adapter, HeadAdapter)
    hidden = body.config.get_text_config().hidden_size
    head, known = read_head(learned, hidden, adapter) if learned is not None else (None, ())
    labels = known
    if isinstance(adapter.task, ClassifierTask):
        labels = tuple(sorted({*known, *(adapter.task.labels or references)}))
    if head is None:
        head = new_head(hidden, adapter, len(labels) or 1)
        if isinstance(adapter.task, RegressorTask):
            head.count_from(references)
    elif labels != known:
        head.rename(known, labels)
    writes = read_build(student.base_path) != "encoder"
    return HeadedModel(body, head.to(body.device), adapter, labels, writes)


@lru_cache(maxsize=2)
def open_reader(student: StudentRef, *, exact: bool = False) -> HeadReader:
    """Open a student with a head that has learned; its checkpoint is verified first.

    Args:
        student: who reads.
        exact: in float32 wherever it is, with everything merged.

    Raises:
        StageError: if the checkpoint is damaged.
    """
    assert isinstance(student.adapter, HeadAdapter)
    if isinstance(student.adapter.body, FrozenBody) and read_build(student.base_path) != "encoder" and not exact:
        # The model that writes for it is the one that it reads with.
        writer = open_student(_base_of(student))
        return HeadReader(put_head(writer.model, student), writer.tokenizer)
    body, tokenizer = load_base(student, training=exact)
    body, _ = settle(adapt_model(body, student, 0, training=False))
    return HeadReader(put_head(body, student), tokenizer)


def close_students() -> None:
    """Close all students that are open in this process, so that what comes next has their memory."""
    open_student.cache_clear()
    open_reader.cache_clear()
    give_back()


def _of_body(student: StudentRef) -> AnyAdapter | FrozenBody:
    return student.adapter.body if isinstance(student.adapter, HeadAdapter) else student.adapter


def _base_of(student: StudentRef) -> StudentRef:
    """Give a student with a head as it was before it learned anything: who writes for it."""
    return replace(student, adapter=FullAdapter(), checkpoint_path=None, digest=None)


def _learned(student: StudentRef) -> Path | None:
    if student.checkpoint_path is None or student.digest is None:
        return None
    return read_checkpoint(Path(student.checkpoint_path), student.digest)


def ask(question: str) -> tuple[Message, ...]:
    """Put a question to a student."""
    return (Message("user", question),)


def answer(
    student: StudentRef,
    prompts: Sequence[Sequence[Message]],
    sampling: Sampling,
    seeds: Sequence[int] | None = None,
) -> list[Generation]:
    """Let a student answer conversations, in the order they came; with fewer side by side where memory runs out."""
    engine = open_student(student)
    generate = partial(engine.generate, prompts, sampling, seeds)
    return write_in_parts(engine, generate, len(prompts), _at_once[student.base])


def attempt(
    student: StudentRef, items: Sequence[Item], sampling: Sampling, marker: str | None = None
) -> tuple[Attempt, ...]:
    """Let a student answer items, in the order they come.

    Args:
        student: who answers.
        items: what it is asked.
        sampling: how it writes.
        marker: what the grader wants before an answer; a head that names labels or numbers puts it there.
    """
    match student.adapter:
        case HeadAdapter(task=RewardTask() as task):
            return _best_of(student, task, items, sampling)
        case HeadAdapter() if student.digest is None:
            # It knows no label and no number yet.
            return tuple(Attempt(item, "", 0) for item in items)
        case HeadAdapter():
            return open_reader(student).answer(items, marker) if items else ()
    return draft(student, items, sampling)


def draft(
    student: StudentRef, items: Sequence[Item], sampling: Sampling, seeds: Sequence[int] | None = None
) -> tuple[Attempt, ...]:
    """Let a student write answers to items; for a student with a head its base model writes."""
    writer = _base_of(student) if isinstance(student.adapter, HeadAdapter) else student
    generations = answer(writer, [ask(item.question) for item in items], sampling, seeds)
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


def _best_of(student: StudentRef, task: RewardTask, items: Sequence[Item], sampling: Sampling) -> tuple[Attempt, ...]:
    """Let the base model write several answers to each item, and the head choose; one that came to its end goes first.

    Before it has learned anything, the first answer is as good as any.
    """
    size = task.best_of if student.digest is not None else 1
    asked = [item for item in items for _ in range(size)]
    seeds = [make_seed([sampling.seed, item.question, turn]) for item in items for turn in range(size)]
    written = draft(student, asked, replace(sampling, temperature=task.temperature), seeds)
    # How sure the base is of a draft does not say how sure the student is of its choice.
    drafts = tuple(replace(it, confidence=None) for it in written)
    if size == 1 or not drafts:
        return drafts
    rewards = open_reader(student).rewards(
        [it.item.question for it in drafts], [it.text for it in drafts], [it.finished for it in drafts]
    )
    groups = (range(start, start + size) for start in range(0, len(drafts), size))
    return tuple(drafts[max(group, key=lambda place: (drafts[place].finished, rewards[place]))] for group in groups)
