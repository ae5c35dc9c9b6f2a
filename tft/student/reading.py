"""What a student with a head makes of what it reads: labels and numbers in place of answers, rewards of answers.

A question is read as the student would be asked it, an answered one as the conversation it ends. A model without a
chat template, as encoders are, reads a question as its tokenizer writes any text.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch
from jinja2 import TemplateError

from tft.config.adapters import RegressorTask
from tft.engines.architecture import fill
from tft.engines.encoding import PromptEncoder, cannot_write, end_of_answer
from tft.records import Attempt, Message
from tft.student.shortage import in_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.records import Item
    from tft.student.heads import HeadedModel

_ROWS = 64
"""That are read side by side, where memory suffices."""


def encode_questions(questions: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Write questions as they are read."""
    if tokenizer.chat_template is None:
        return [list(row) for row in tokenizer(list(questions))["input_ids"]]
    return PromptEncoder(tokenizer, {})([(Message("user", question),) for question in questions])


def encode_answered(
    asked: Sequence[Sequence[Message]],
    answers: Sequence[str],
    finished: Sequence[bool],
    tokenizer: PreTrainedTokenizerBase,
) -> list[list[int]]:
    """Write answered conversations as they are read, up to the token that ends the answer; one cut off has none.

    Raises:
        StageError: if the chat template cannot write one of them.
    """
    begun, texts = [], []
    for messages, answer, whole in zip(asked, answers, finished, strict=True):
        turns = [{"role": message.role, "content": message.content} for message in messages]
        try:
            begun.append(tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))
            if whole:
                turns.append({"role": "assistant", "content": answer})
                texts.append(tokenizer.apply_chat_template(turns, tokenize=False))
            else:
                texts.append(begun[-1] + answer)
        except TemplateError as error:
            raise cannot_write([it["role"] for it in turns], error) from error
    end = end_of_answer(tokenizer)
    heads, rows = (tokenizer(written, add_special_tokens=False)["input_ids"] for written in (begun, texts))
    return [
        _up_to(end, row, len(head)) if whole else list(row)
        for row, head, whole in zip(rows, heads, finished, strict=True)
    ]


def _up_to(end: int | None, row: Sequence[int], start: int) -> list[int]:
    """Leave out what a template writes after the token that ends an answer, where there is one from its start on."""
    return list(row[: row.index(end, start) + 1] if end in row[start:] else row)


class HeadReader:
    """A body with a head that has learned, and reads.

    Args:
        model: body and head; a body with everything merged.
        tokenizer: of the body.
    """

    def __init__(self, model: HeadedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self._rows = _ROWS

    def read(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Say what comes out of rows of tokens, in the order they came; [rows, outputs]."""
        said, fitted = in_parts(partial(self._read, rows), max(1, min(len(rows), self._rows)))
        self._rows = fitted or self._rows
        return said

    @torch.inference_mode()
    def _read(self, rows: Sequence[Sequence[int]], size: int) -> torch.Tensor:
        device = self.model.base.device
        order = sorted(range(len(rows)), key=lambda row: (len(rows[row]), row))
        said = torch.zeros(len(rows), self.model.head.out.out_features)
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            ids_BT, mask_BT = fill([rows[row] for row in batch], self.tokenizer.pad_token_id)
            states_BH = self.model.states(ids_BT.to(device), mask_BT.to(device))
            said[batch] = self.model.head(states_BH).cpu()
        return said

    def answer(self, items: Sequence[Item], marker: str | None) -> tuple[Attempt, ...]:
        """Answer items with labels, each with its probability, or with numbers.

        Args:
            items: to answer.
            marker: what the grader wants before an answer; None if nothing.
        """
        said = self.read(encode_questions([item.question for item in items], self.tokenizer))
        task, before = self.model.adapter.task, marker or ""
        if isinstance(task, RegressorTask):
            numbers = said[:, 0].double() * self.model.head.spread.cpu() + self.model.head.centre.cpu()
            # Adding nought makes minus nought nought.
            texts = [f"{round(number, task.decimals) + 0.0:.{task.decimals}f}" for number in numbers.tolist()]
            return tuple(Attempt(item, before + text, 0) for item, text in zip(items, texts, strict=True))
        likeliest = said.softmax(1).max(1)
        return tuple(
            Attempt(item, before + self.model.labels[place], 0, sure)
            for item, place, sure in zip(items, likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
        )

    def rewards(self, questions: Sequence[str], answers: Sequence[str], finished: Sequence[bool]) -> list[float]:
        """Say what answers are worth; only differences between answers to one question mean something."""
        asked = [(Message("user", question),) for question in questions]
        rewards: list[float] = self.read(encode_answered(asked, answers, finished, self.tokenizer))[:, 0].tolist()
        return rewards
