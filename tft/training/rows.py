"""Lessons as rows of tokens: the conversation up to the answer is read, the answer is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.records import Example, Lesson

IGNORED = -100
"""Label of a token that carries no loss."""


@dataclass(frozen=True, slots=True)
class Row:
    """One training example in tokens."""

    tokens: tuple[int, ...]
    start: int
    """Index of the first token that is learned."""
    skill: str


def encode(lessons: Sequence[Lesson], tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    """Write every example of every lesson with the chat template of the student.

    Raises:
        ValueError: if the template does not begin an answer as it ends a question, which would teach tokens
            that are never asked for.
    """
    return [_row(example, lesson.item.skill, tokenizer) for lesson in lessons for example in lesson.examples]


def _row(example: Example, skill: str, tokenizer: PreTrainedTokenizerBase) -> Row:
    messages = [{"role": message.role, "content": message.content} for message in example.messages]
    prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template(messages, tokenize=False)
    if not whole.startswith(prompt):
        raise ValueError("the chat template writes a finished answer differently from one that is asked for")
    head = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    tail = list(tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"])
    return Row((*head, *tail), len(head), skill)


def batches(rows: Sequence[Row], size: int, rng: random.Random) -> list[list[Row]]:
    """Cut rows into batches of like length in random order; every row once.

    Rows are shuffled, sorted by length within windows of eight batches, and the batches shuffled again: little
    is padded, and yet no two epochs are alike.
    """
    order = list(rows)
    rng.shuffle(order)
    cut: list[list[Row]] = []
    for start in range(0, len(order), 8 * size):
        window = sorted(order[start : start + 8 * size], key=lambda row: len(row.tokens))
        cut += [window[place : place + size] for place in range(0, len(window), size)]
    rng.shuffle(cut)
    return cut


def collate(rows: Sequence[Row], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """Make tensors of B rows and T tokens, padded on the right: ``input_ids``, ``attention_mask``, ``labels``."""
    longest = max(len(row.tokens) for row in rows)
    ids_BT = torch.full((len(rows), longest), pad)
    mask_BT = torch.zeros((len(rows), longest), dtype=torch.long)
    labels_BT = torch.full((len(rows), longest), IGNORED)
    for place, row in enumerate(rows):
        tokens = torch.tensor(row.tokens)
        ids_BT[place, : len(tokens)] = tokens
        mask_BT[place, : len(tokens)] = 1
        labels_BT[place, row.start : len(tokens)] = tokens[row.start :]
    batch = {"input_ids": ids_BT, "attention_mask": mask_BT, "labels": labels_BT}
    return {name: tensor.to(device) for name, tensor in batch.items()}
