"""How every engine writes a request down: conversations as tokens, and seeds for the rows of a batch."""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tft.errors import StageError
from tft.ports import Sampling, Scores, TopLogprobs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.records import Message

_REMEMBERED = 4096
"""Conversations whose tokens are kept."""
_APART = 1_000_003
"""Between the seeds of two batches, so that their rows do not share seeds."""


class PromptEncoder:
    """Writes conversations with a model's chat template, ready for the answer, as tokens.

    The last few thousand are remembered: a conversation is counted before it is asked.

    Args:
        tokenizer: of the model.
        template: switches of its chat template.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        # The template itself, where one is given, may be called by its name.
        self._template = dict(template)
        if "chat_template" in template:
            self._template["chat_template"] = find_template(template["chat_template"])
        self._known: dict[tuple[Message, ...], list[int]] = {}

    @cached_property
    def end_of_answer(self) -> int | None:
        """The token that ends an answer: the first special one that the chat template writes after its last turn.

        That need not be the tokenizer's ``eos_token``: Gemma ends a turn with ``<end_of_turn>``. It is that where the
        template writes no special token there, or no answers; None where there is neither.
        """
        asked, tokenizer = {"role": "user", "content": "1"}, self._tokenizer
        told = [[asked, {"role": "assistant", "content": answer}] for answer in ("2", "3")]
        texts = tokenizer.apply_chat_template(told, tokenize=False, **self._template)
        one, other = tokenizer(texts, add_special_tokens=False)["input_ids"]
        differ = [place for place, tokens in enumerate(zip(one, other, strict=False)) if tokens[0] != tokens[1]]
        special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
        after = one[differ[-1] + 1 :] if differ else []
        eos: int | None = tokenizer.eos_token_id
        return next((it for it in after if it in special or it == eos), eos)

    def __call__(self, prompts: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Write conversations, those that are new all at once."""
        wanted = [tuple(messages) for messages in prompts]
        found = {messages: self._known.get(messages) for messages in wanted}
        new = [messages for messages, tokens in found.items() if tokens is None]
        if new:
            plain = [[{"role": turn.role, "content": turn.content} for turn in messages] for messages in new]
            texts = self._tokenizer.apply_chat_template(
                plain, add_generation_prompt=True, tokenize=False, **self._template
            )
            written = dict(zip(new, self._tokenizer(texts, add_special_tokens=False)["input_ids"], strict=True))
            if len(self._known) > _REMEMBERED:
                self._known.clear()
            self._known.update(written)
            found.update(written)
        return [list(found[messages] or ()) for messages in wanted]


PLAIN = (
    "{{ bos_token }}{% for message in messages %}{{ message.content }}"
    "{% if message.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
)
"""Turns one after the other: for models that go on with a text and know nothing of conversations."""


def find_template(named: str | None) -> str | None:
    """Give the template of a name: ``plain``, or the template itself."""
    return PLAIN if named == "plain" else named


_AROUND = (
    "{{ BEFORE }}{% for message in messages %}"
    "{% if loop.last and message.role == 'assistant' %}{{ AFTER }}{{ message.content }}{{ eos_token }}"
    "{% else %}{{ '' if loop.first else '\\n' }}{{ message.content }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ AFTER }}{% endif %}"
)


def template_around(tokenizer: PreTrainedTokenizerBase) -> str:
    """Make the chat template of an encoder-decoder model that brings none, which is the rule.

    The encoder reads all turns before the answer, a line each, with what the tokenizer puts around a text, as in
    pretraining: T5's puts ``</s>`` behind it, BART's ``<s>`` before and ``</s>`` behind. The decoder writes the answer
    and the token that ends it.
    """
    bare, whole = tokenizer("1", add_special_tokens=False)["input_ids"], tokenizer("1")["input_ids"]
    at = next(place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
    around = {"BEFORE": whole[:at], "AFTER": whole[at + len(bare) :]}
    template = _AROUND
    for name, tokens in around.items():
        template = template.replace(name, json.dumps("".join(tokenizer.convert_ids_to_tokens(tokens))))
    return template


def cannot_write(roles: Sequence[str], error: Exception) -> StageError:
    """Say that a chat template has no form for a conversation with turns of these roles."""
    return StageError(
        f"the student's chat template cannot write {' → '.join(roles)}: {error}. Take such rows out of the material, "
        "or name another with students.chat_template"
    )


def name_template(template: dict[str, Any]) -> str:
    """Name the switches of a chat template, for a fingerprint; empty where there are none."""
    return f"/{json.dumps(template, sort_keys=True)}" if template else ""


def end_of_answer(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Give :attr:`PromptEncoder.end_of_answer` of the chat template that a tokenizer brings."""
    return _end_of(tokenizer, str(tokenizer.chat_template))


@lru_cache(maxsize=4)
def _end_of(tokenizer: PreTrainedTokenizerBase, _template: str) -> int | None:
    """Find it once for each template: lessons ask one by one."""
    return PromptEncoder(tokenizer, {}).end_of_answer


def score_answers(
    tokenizer: PreTrainedTokenizerBase,
    heads: Sequence[Sequence[int]],
    completions: Sequence[str],
    end: int | None,
    logprobs: Callable[[Sequence[Sequence[int]]], list[list[float]]],
) -> list[Scores]:
    """Score answers to conversations, each with the token that ends it.

    Args:
        tokenizer: of the model that scores.
        heads: the conversations as tokens.
        completions: the answers to them.
        end: the token that ends an answer; see :attr:`PromptEncoder.end_of_answer`.
        logprobs: gives the log-probabilities of the tokens of rows, but of their first.

    Raises:
        ValueError: if there are not as many answers as conversations.
    """
    ends = [] if end is None else [end]
    answers = [[*tokenizer(text, add_special_tokens=False)["input_ids"], *ends] for text in completions]
    found = logprobs([[*head, *answer] for head, answer in zip(heads, answers, strict=True)])
    return [Scores(tuple(it), tuple(row[-len(it) :])) for it, row in zip(answers, found, strict=True)]


def read_tops(places: Sequence[Mapping[int, float]], tokens: Sequence[int], k: int) -> TopLogprobs:
    """Put log-probabilities by token, one mapping a place, into arrays.

    Args:
        places: the log-probabilities of the likeliest tokens, and of the token that stands there.
        tokens: that stand there.
        k: tokens a place.
    """
    ids = np.zeros((len(places), k), np.int32)
    logprobs = np.full((len(places), k), -np.inf, np.float32)
    chosen = np.zeros(len(places), np.float32)
    for place, (at, token) in enumerate(zip(places, tokens, strict=True)):
        top = sorted(at.items(), key=lambda it: (-it[1], it[0]))[:k]
        ids[place, : len(top)] = [it[0] for it in top]
        logprobs[place, : len(top)] = [it[1] for it in top]
        chosen[place] = at[token]
    return TopLogprobs(ids, logprobs, chosen)


def row_seeds(sampling: Sampling, seeds: Sequence[int] | None, rows: int) -> list[int]:
    """Give each row of a batch a seed of its own, so that what it is told does not depend on the rows beside it.

    Raises:
        ValueError: if seeds are given, and not one a row.
    """
    if seeds is None:
        return [(sampling.seed * _APART + place) % 2**31 for place in range(rows)]
    if len(seeds) != rows:
        raise ValueError(f"{len(seeds)} seeds for {rows} rows")
    return list(seeds)
