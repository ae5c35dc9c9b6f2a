"""The tutor as scorer: what it would have expected at every token of an answer that somebody else wrote.

The tutor reads the question as it is asked itself, in its own template, and then the tokens of the answer as they are.
So what stands before an answer may differ between tutor and student, and every probability still belongs to the token
it is about.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tft.records import Message, Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.ports import TopLogprobs
    from tft.tutor.roles import Tutor


@dataclass(frozen=True, slots=True)
class Spelled:
    """An answer in the tutor's own tokens."""

    ends: tuple[int, ...]
    """Where each token ends, in characters of the answer; the token that ends the answer one beyond it."""
    logprobs: tuple[float, ...]
    """Of each token, in nats."""


class Scorer:
    """Scores answers with a tutor.

    Args:
        tutor: must have its tokenizer here.
    """

    def __init__(self, tutor: Tutor) -> None:
        self._tutor = tutor

    @property
    def version(self) -> str:
        """Name the version of the prompt in which it reads questions; ``plain`` where it reads them as they are."""
        return self._tutor.version("scorer") if "scorer" in self._tutor.card.roles else "plain"

    @property
    def context(self) -> int | None:
        """Tokens that question and answer may have together; None where nobody here knows."""
        return self._tutor.engine.context

    def count(self, answer: str) -> int:
        """Count the tokens of an answer, the one that ends it included."""
        own = self._tutor.engine.tokenizer
        return 1 + (len(own(answer, add_special_tokens=False)["input_ids"]) if own is not None else len(answer))

    def prompts(self, questions: Sequence[str]) -> list[list[int]]:
        """Write questions as the tutor reads them: with the prompt of its scorer, or plainly."""
        if "scorer" in self._tutor.card.roles:
            asked = [self._tutor.conversation("scorer", {"question": question}) for question in questions]
        else:
            asked = [(Message("user", question),) for question in questions]
        return self._tutor.engine.encode(asked)

    def shares_tokens(self, tokenizer: Any) -> bool:
        """Say whether a student's tokens mean the same to the tutor; a few more on either side are no difference."""
        own = self._tutor.engine.tokenizer
        if own is None:
            return False
        mine, theirs = own.get_vocab(), tokenizer.get_vocab()
        small, large = sorted((mine, theirs), key=len)
        texts = ("0123456789 +-*/=#", "The cat's name.\n")
        return all(large.get(token) == number for token, number in small.items()) and all(
            own(text, add_special_tokens=False)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in texts
        )

    def top(
        self, questions: Sequence[str], answers: Sequence[Sequence[int]], k: int | None
    ) -> tuple[list[TopLogprobs], Usage]:
        """Give the likeliest tokens at every place of answers, in tokens that both share.

        Args:
            questions: one an answer.
            answers: tokens, the end included.
            k: tokens a place; None means all.
        """
        heads = self.prompts(questions)
        rows = [[*head, *answer] for head, answer in zip(heads, answers, strict=True)]
        found = self._tutor.engine.top_logprobs(rows, [len(head) for head in heads], k)
        return found, _usage(heads, rows)

    def chosen(
        self, questions: Sequence[str], answers: Sequence[Sequence[int]]
    ) -> tuple[list[tuple[float, ...]], Usage]:
        """Give the log-probability of every token of answers, in tokens that both share."""
        heads = self.prompts(questions)
        rows = [[*head, *answer] for head, answer in zip(heads, answers, strict=True)]
        found = self._tutor.engine.logprobs(rows)
        cut = [tuple(row[len(head) - 1 :]) for head, row in zip(heads, found, strict=True)]
        return cut, _usage(heads, rows)

    def spell(
        self, questions: Sequence[str], texts: Sequence[str], finished: Sequence[bool]
    ) -> tuple[list[Spelled], Usage]:
        """Give the log-probabilities of answers in the tutor's own tokens.

        Args:
            questions: one an answer.
            texts: the answers.
            finished: whether the token that ends an answer belongs to it: the tutor's, as its template writes it.
        """
        own = self._tutor.engine.tokenizer
        assert own is not None
        heads = self.prompts(questions)
        end = self._tutor.engine.encode.end_of_answer
        written = own(list(texts), add_special_tokens=False, return_offsets_mapping=True)
        ends = [[end for _, end in offsets] for offsets in written["offset_mapping"]]
        answers = [list(row) for row in written["input_ids"]]
        for row, places, text, whole in zip(answers, ends, texts, finished, strict=True):
            if whole and end is not None:
                row.append(end)
                places.append(len(text) + 1)
        rows = [[*head, *answer] for head, answer in zip(heads, answers, strict=True)]
        found = self._tutor.engine.logprobs(rows)
        spelled = [
            Spelled(tuple(places), tuple(row[len(head) - 1 :]))
            for places, row, head in zip(ends, found, heads, strict=True)
        ]
        return spelled, _usage(heads, rows)


def _usage(heads: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]) -> Usage:
    prompt = sum(map(len, heads))
    return Usage(prompt=prompt, scored=sum(map(len, rows)) - prompt, requests=len(rows))
