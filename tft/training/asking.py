"""The tutor as scorer of a student that several workers train: the first of them asks it, and everybody hears."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.tutor import Scorer, TutorRef, open_tutor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.ports import TopLogprobs
    from tft.records import Usage
    from tft.training.workers import Workers
    from tft.tutor.scoring import Spelled


def open_scorer(tutor: TutorRef | None, workers: Workers) -> Scorer | None:
    """Open the tutor where it is asked for, and only there; None where there is none."""
    if tutor is None:
        return None
    return Scorer(open_tutor(tutor)) if workers.alone else OneAsks(tutor, workers)


class OneAsks(Scorer):
    """The tutor, asked by the first worker alone; everybody hears what it said.

    Args:
        tutor: opened by the first worker alone.
        workers: those who hear it.
    """

    def __init__(self, tutor: TutorRef, workers: Workers) -> None:
        self._workers = workers
        if workers.rank == 0:
            self._scorer = Scorer(open_tutor(tutor))

    def shares_tokens(self, tokenizer: PreTrainedTokenizerBase) -> bool:
        """Say whether a student's tokens mean the same to the tutor."""
        return self._workers.first(lambda: self._scorer.shares_tokens(tokenizer))

    def top(
        self, questions: Sequence[str], answers: Sequence[Sequence[int]], k: int | None
    ) -> tuple[list[TopLogprobs], Usage]:
        """Give the likeliest tokens at every place of answers."""
        return self._workers.first(lambda: self._scorer.top(questions, answers, k))

    def chosen(
        self, questions: Sequence[str], answers: Sequence[Sequence[int]]
    ) -> tuple[list[tuple[float, ...]], Usage]:
        """Give the log-probability of every token of answers."""
        return self._workers.first(lambda: self._scorer.chosen(questions, answers))

    def spell(
        self, questions: Sequence[str], texts: Sequence[str], finished: Sequence[bool]
    ) -> tuple[list[Spelled], Usage]:
        """Give the log-probabilities of answers in the tutor's own tokens."""
        return self._workers.first(lambda: self._scorer.spell(questions, texts, finished))
