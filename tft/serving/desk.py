"""The desk: many requests of one row each, for an engine that wants batches.

What has come in while the engine was busy goes to it together, as far as it is sampled alike. Every row brings its
own seed, so that its answer does not depend on who came with it. The desk also knows whether its engine still moves.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from tft.errors import RefusedError, StageError
from tft.ports import Sampling
from tft.records import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.ports import Engine, Generation, TopLogprobs

_QUESTION = (Message("user", "1"),)


@dataclass(frozen=True, slots=True)
class Asked:
    """One row: a conversation, how to answer it, and from which seed."""

    messages: tuple[Message, ...]
    sampling: Sampling
    """Its own ``seed`` is not read."""
    seed: int
    as_room_allows: bool = False
    """Whether ``max_tokens`` may be less where the context has less room."""


class Desk:
    """Takes rows for an engine, one at a time, from any thread.

    Args:
        engine: answers.
        most: rows that go to it together.
        callers: threads that call an engine which takes calls side by side.
        patience: seconds of work without a step after which it is taken to hang; an idle engine is given a row to
            try after as long.
    """

    def __init__(self, engine: Engine, most: int = 512, callers: int = 64, patience: float = 30.0) -> None:
        self.engine = engine
        self._most = most
        self._patience = patience
        self._rows: deque[_Waiting] = deque()
        self._came = threading.Condition()
        self._busy = 0
        self._seen = (engine.steps, time.monotonic())
        self._failed = False
        self._trial: Future[Any] | None = None
        for number in range(callers if engine.concurrent else 1):
            threading.Thread(target=self._live, name=f"desk-{number}", daemon=True).start()

    def generate(self, asked: Asked) -> Future[Generation]:
        """Let a conversation be answered.

        Raises:
            RefusedError: if it cannot be written as tokens, prompt and answer do not fit into the context, or the
                engine cannot keep to a schema.
            StageError: from the future, if the engine failed.
        """
        if asked.sampling.schema is not None and not self.engine.guided:
            raise RefusedError("response_format: this tutor cannot be held to a schema")
        try:
            (tokens,) = self.engine.count([asked.messages])
        except Exception as error:  # a chat template may refuse a conversation with whatever it likes
            raise RefusedError(f"messages: the chat template refuses them: {error}") from error
        longest = self._room(tokens, asked)
        return self._put(replace(asked.sampling, seed=0, max_tokens=longest), asked)

    def _room(self, tokens: int, asked: Asked) -> int:
        context, longest = self.engine.context, asked.sampling.max_tokens
        room = longest if context is None else context - tokens
        if room < 1 or (room < longest and not asked.as_room_allows):
            raise RefusedError(
                f"max_tokens: {longest} were asked for, and of {context} in the context {max(0, room)} are left"
            )
        return min(room, longest)

    def logprobs(self, row: Sequence[int], k: int = 0) -> Future[list[dict[int, float]]]:
        """Let the tokens of a row be scored, but its first.

        Args:
            row: tokens.
            k: likeliest tokens a place that are wanted beside those of the row.

        Returns:
            The log-probabilities by token, a mapping a place.

        Raises:
            RefusedError: if they do not fit into the context.
        """
        if self.engine.context is not None and len(row) >= self.engine.context:
            raise RefusedError(f"prompt: it has {len(row)} tokens, and the context {self.engine.context}")
        return self._put(k, list(row))

    def check(self) -> None:
        """Say whether the engine moves; one that is idle, or has failed, is given a row to try.

        Raises:
            StageError: if it has work and does nothing, or fails at that row.
        """
        trouble = self._tried()
        if trouble is not None:
            raise StageError(f"the engine fails: {trouble}")
        steps, now = self.engine.steps, time.monotonic()
        before, since = self._seen
        still = now - since > self._patience
        if steps != before:
            self._seen = (steps, now)
        elif still and (self._busy or self._rows):
            raise StageError(f"the engine has work, and has done nothing for {now - since:.0f} s")
        if self._trial is None and (self._failed or (steps == before and still)):
            self._trial = self._put(Sampling(1), Asked(_QUESTION, Sampling(1), 0))

    def _tried(self) -> BaseException | None:
        """Give what went wrong with the last trial, if it is over."""
        if self._trial is None or not self._trial.done():
            return None
        trouble, self._trial = self._trial.exception(), None
        return trouble

    def _put(self, sampling: Sampling | int, row: Any) -> Future[Any]:
        waiting = _Waiting(sampling, row, Future())
        with self._came:
            if not self._busy and not self._rows:
                self._seen = (self.engine.steps, time.monotonic())
            self._rows.append(waiting)
            self._came.notify()
        return waiting.answer

    def _live(self) -> None:
        while True:
            batch = self._take()
            try:
                self._answer(batch)
            finally:
                with self._came:
                    self._busy -= 1

    def _answer(self, batch: list[_Waiting]) -> None:
        """Answer rows together; where that fails, each by itself, because one of them may be to blame."""
        try:
            found = self._ask(batch[0].sampling, [it.row for it in batch])
        except Exception as error:
            if len(batch) > 1:
                for it in batch:
                    self._answer([it])
                return
            refused = isinstance(error, RefusedError)
            self._failed = not refused
            batch[0].answer.set_exception(error if refused else StageError(f"the tutor cannot answer: {error}"))
            return
        self._failed = False
        for it, one in zip(batch, found, strict=True):
            it.answer.set_result(one)

    def _ask(self, sampling: Sampling | int, rows: Sequence[Any]) -> Sequence[Any]:
        if sampling == 0:
            found = self.engine.logprobs(rows)
            return [
                [{token: it} for token, it in zip(row[1:], given, strict=True)]
                for row, given in zip(rows, found, strict=True)
            ]
        if isinstance(sampling, int):
            tops = self.engine.top_logprobs(rows, [1] * len(rows), sampling)
            return [_by_token(top, row[1:]) for top, row in zip(tops, rows, strict=True)]
        return self.engine.generate([row.messages for row in rows], sampling, [row.seed for row in rows])

    def _take(self) -> list[_Waiting]:
        """Wait for rows, and take those that are sampled like the one that came first; nobody can take them back."""
        with self._came:
            while True:
                self._came.wait_for(lambda: self._rows)
                first = self._rows[0].sampling
                batch = [it for it in self._rows if it.sampling == first][: self._most]
                gone = set(map(id, batch))
                self._rows = deque(it for it in self._rows if id(it) not in gone)
                wanted = [it for it in batch if it.answer.set_running_or_notify_cancel()]
                if wanted:
                    self._busy += 1
                    return wanted


def _by_token(top: TopLogprobs, tokens: Sequence[int]) -> list[dict[int, float]]:
    return [
        {**dict(zip(ids, logprobs, strict=True)), token: chosen}
        for ids, logprobs, token, chosen in zip(
            top.ids.tolist(), top.logprobs.tolist(), tokens, top.chosen.tolist(), strict=True
        )
    ]


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    """A row, and who waits for it."""

    sampling: Sampling | int
    """How many likeliest tokens are wanted, where it is to be scored."""
    row: Any
    answer: Future[Any]
