"""How every engine writes a request down: conversations as tokens, and seeds for the rows of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.records import Message

_APART = 1_000_003
"""Between the seeds of two batches, so that their rows do not share seeds."""


def encode_prompt(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> list[int]:
    """Write a conversation with the model's chat template, ready for its answer."""
    text = tokenizer.apply_chat_template(
        [{"role": message.role, "content": message.content} for message in messages],
        add_generation_prompt=True,
        tokenize=False,
    )
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def encode_answered(
    tokenizer: PreTrainedTokenizerBase, prompts: Sequence[Sequence[Message]], completions: Sequence[str]
) -> Iterator[tuple[list[int], list[int]]]:
    """Write conversations and the answers to them, each answer with the token that ends it.

    Raises:
        ValueError: if there are not as many answers as conversations.
    """
    for messages, completion in zip(prompts, completions, strict=True):
        answer = list(tokenizer(completion, add_special_tokens=False)["input_ids"])
        yield encode_prompt(tokenizer, messages), [*answer, tokenizer.eos_token_id]


def row_seed(seed: int, place: int) -> int:
    """Give a row of a batch a seed of its own: the same question twice in a batch is two questions."""
    return (seed * _APART + place) % 2**31
