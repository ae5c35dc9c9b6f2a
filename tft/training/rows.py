"""Lessons as rows of tokens: the conversation up to the answer is read, the answer is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch
from jinja2 import TemplateError

from tft.engines.architecture import fill
from tft.engines.encoding import cannot_write, end_of_answer
from tft.errors import StageError
from tft.records import Example, Message

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.records import Lesson

Member = TypeVar("Member")
AnyRow = TypeVar("AnyRow", bound="Row")
IGNORED = -100
"""Label of a token that carries no loss."""


@dataclass(frozen=True)
class Row:
    """One training example in tokens; objectives add what they know of it in classes of their own."""

    tokens: tuple[int, ...]
    start: int
    """Index of the first token that is learned."""
    skill: str

    @property
    def learned(self) -> int:
        """How many tokens are learned."""
        return len(self.tokens) - self.start


def count_learned(rows: Sequence[Row]) -> int:
    """Count the learned tokens of rows."""
    return sum(row.learned for row in rows)


def encode(lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """Write every example of every lesson with the chat template of the student.

    Raises:
        StageError: if the template does not begin an answer as it ends a question, which would teach tokens
            that are never asked for, ends it with no token of its own, or cannot write a conversation.
    """
    end = end_of_answer(tokenizer)
    return [
        _row(it, lesson.item.skill, tokenizer, end, whole=it.messages[-1].content not in lesson.cut_off)
        for lesson in lessons
        for it in lesson.examples
    ]


def encode_answers(lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """Write the question and the answer of lessons, without what else they may teach."""
    end = end_of_answer(tokenizer)
    return [
        _row(Example.of(lesson.item.question, lesson.answer), lesson.item.skill, tokenizer, end) for lesson in lessons
    ]


def _row(
    example: Example, skill: str, tokenizer: PreTrainedTokenizerBase, end: int | None, *, whole: bool = True
) -> Row:
    """Write one example, up to the token that ends its answer; one that was cut off has none."""
    messages = [{"role": message.role, "content": message.content} for message in example.messages]
    try:
        prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
        text = tokenizer.apply_chat_template(messages, tokenize=False)
    except TemplateError as error:
        raise cannot_write([message.role for message in example.messages], error) from error
    if not text.startswith(prompt):
        raise StageError(
            "the student's chat template writes a finished answer differently from one that is asked for, so that it "
            "would learn tokens that it is never asked for. Set a switch of it in students.template, or name another "
            "with students.chat_template"
        )
    head = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    answer = text[len(prompt) :] if whole else messages[-1]["content"]
    tail = list(tokenizer(answer, add_special_tokens=False)["input_ids"])
    if whole:
        tail = tail[: _place_of(end, tail) + 1]
    return Row((*head, *tail), len(head), skill)


def _place_of(end: int | None, tail: Sequence[int]) -> int:
    """Find where an answer ends; what the template writes after that is never asked for."""
    if end not in tail:
        raise StageError(
            "the student's chat template writes no single token that ends an answer, so that it would never learn to "
            "stop. Name another with students.chat_template, such as `plain`, or write {{ eos_token }} after answers"
        )
    return tail.index(end)


def refuse_template(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make sure that a student's chat template can be learned with.

    Raises:
        StageError: if it cannot write a question with its answer, or not as it asks, or without an end.
    """
    _row(Example.of("1+1", "2"), "", tokenizer, end_of_answer(tokenizer))


def encode_pair(lesson: Lesson, tokenizer: PreTrainedTokenizerBase) -> tuple[Row, Row]:
    """Write the two answers of a preference, the better one first."""
    (chosen, _), (rejected, _) = encode_verdicts(lesson, tokenizer)
    return chosen, rejected


def encode_verdicts(lesson: Lesson, tokenizer: PreTrainedTokenizerBase) -> list[tuple[Row, bool]]:
    """Write the answers of a preference or a verdict, each with whether it is right, the right one first."""
    end = end_of_answer(tokenizer)
    # A student may have answered with nothing, and that is a worse answer too.
    right = [(lesson.answer, True)] if lesson.kind != "verdict" or lesson.answer else []
    wrong = [(lesson.rejected, False)] if lesson.rejected is not None else []
    return [
        (_row(Example((*lesson.conversation, Message("assistant", text))), lesson.item.skill, tokenizer, end,
              whole=text not in lesson.cut_off), good)
        for text, good in [*right, *wrong]
    ]  # fmt: skip


def batches(rows: Sequence[AnyRow], size: int, rng: random.Random, passes: int = 1) -> list[list[AnyRow]]:
    """Cut rows into batches; see :func:`batches_of`."""
    return batches_of(rows, size, rng, lambda row: len(row.tokens), passes)


def batches_of(
    members: Sequence[Member], size: int, rng: random.Random, length: Callable[[Member], int], passes: int = 1
) -> list[list[Member]]:
    """Cut rows, or pairs, into batches of like length in random order; every one once a pass.

    Rows are shuffled, sorted by length within windows of eight batches, and the batches shuffled again: little
    is padded, and yet no two passes are alike.
    """
    return [batch for _ in range(passes) for batch in _pass(members, size, rng, length)]


def _pass(
    members: Sequence[Member], size: int, rng: random.Random, length: Callable[[Member], int]
) -> list[list[Member]]:
    order = list(members)
    rng.shuffle(order)
    cut: list[list[Member]] = []
    for start in range(0, len(order), 8 * size):
        window = sorted(order[start : start + 8 * size], key=length)
        cut += [window[place : place + size] for place in range(0, len(window), size)]
    rng.shuffle(cut)
    return cut


def collate(rows: Sequence[Row], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Make tensors of B rows and T tokens, padded on the right: ``input_ids``, ``attention_mask``, ``labels``."""
    ids_BT, mask_BT = fill([row.tokens for row in rows], pad)
    starts_B1 = torch.tensor([[row.start] for row in rows])
    learned_BT = mask_BT.bool() & (torch.arange(ids_BT.shape[1]) >= starts_B1)
    labels_BT = ids_BT.masked_fill(~learned_BT, IGNORED)
    batch = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
    return {name: tensor.to(device) for name, tensor in batch.items()}
