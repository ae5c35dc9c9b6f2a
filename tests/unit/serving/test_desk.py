"""The desk: rows that come one at a time go to the engine together."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tft.engines.transformers import TransformersEngine
from tft.errors import RefusedError, StageError
from tft.ports import Generation, Sampling
from tft.records import Message
from tft.serving.desk import Asked, Desk

GREEDY = Sampling(24)
QUESTIONS = [f"{a}+{b}" for a in range(1, 9) for b in range(1, 9)]

pytestmark = pytest.mark.usefixtures("one_thread")


def asked(question: str, sampling: Sampling = GREEDY, seed: int = 0) -> Asked:
    return Asked((Message("user", question),), sampling, seed)


class Watched:
    """An engine whose calls are counted, and which waits when it is told to."""

    def __init__(self, inner: TransformersEngine, *, concurrent: bool = False) -> None:
        self.inner = inner
        self.concurrent = concurrent
        self.batches: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.trouble: Exception | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def generate(self, prompts: Sequence[Any], sampling: Sampling, seeds: Sequence[int]) -> list[Generation]:
        self.batches.append(len(prompts))
        self.gate.wait(20)
        if self.trouble is not None:
            raise self.trouble
        return self.inner.generate(prompts, sampling, seeds)


def test_what_comes_while_the_engine_is_busy_goes_together(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.gate.clear()
    desk = Desk(engine)
    answers = [desk.generate(asked(question)) for question in QUESTIONS]
    engine.gate.set()
    texts = [answer.result(20).text for answer in answers]
    assert texts == [it.text for it in small.generate([asked(question).messages for question in QUESTIONS], GREEDY)]
    assert len(engine.batches) <= 3
    assert sum(engine.batches) == len(QUESTIONS)


def test_rows_that_are_sampled_differently_go_apart_and_come_back_right(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.gate.clear()
    desk = Desk(engine)
    warm = Sampling(24, 1.5)
    rows = [asked("3+4"), asked("write", warm, 5), asked("9*9"), asked("write", warm, 6)]
    answers = [desk.generate(row) for row in rows]
    score = desk.logprobs([1, 5, 6, 7])
    engine.gate.set()
    for row, answer in zip(rows, answers, strict=True):
        assert answer.result(20).text == small.generate([row.messages], row.sampling, [row.seed])[0].text
    found = [at[token] for at, token in zip(score.result(20), [5, 6, 7], strict=True)]
    assert found == pytest.approx(small.logprobs([[1, 5, 6, 7]])[0], abs=1e-4)
    wide = desk.logprobs([1, 5, 6, 7], 3).result(20)
    assert [at[token] for at, token in zip(wide, [5, 6, 7], strict=True)] == pytest.approx(found, abs=1e-4)
    assert all(3 <= len(at) <= 4 for at in wide)


def test_no_batch_is_larger_than_most(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.gate.clear()
    desk = Desk(engine, most=10)
    answers = [desk.generate(asked(question)) for question in QUESTIONS]
    engine.gate.set()
    assert all(answer.result(20).finished for answer in answers)
    assert max(engine.batches) == 10


def test_an_engine_that_takes_calls_side_by_side_is_not_kept_waiting(small: TransformersEngine) -> None:
    engine = Watched(small, concurrent=True)
    engine.gate.clear()
    desk = Desk(engine)
    first = desk.generate(asked("3+4"))
    while not engine.batches:
        pass
    second = desk.generate(asked("9*9"))
    while len(engine.batches) < 2:
        pass
    engine.gate.set()
    assert first.result(20).text != second.result(20).text


def test_who_gives_up_takes_nobody_along(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.gate.clear()
    desk = Desk(engine)
    under_way = desk.generate(asked("3+4"))
    while not engine.batches:
        pass
    queued, other = desk.generate(asked("9*9")), desk.generate(asked("8-3"))
    assert not under_way.cancel()
    assert queued.cancel()
    engine.gate.set()
    assert other.result(20).finished
    assert under_way.result(20).finished
    assert desk.generate(asked("3+4")).result(20).finished


def test_one_bad_row_spoils_no_other(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.gate.clear()
    desk = Desk(engine)
    first = desk.generate(asked("3+4"))
    scores = [desk.logprobs(row) for row in ([1, 5, 6], [1, 9999], [1, 7])]
    engine.gate.set()
    assert first.result(20).finished
    assert len(scores[0].result(20)) == 2
    with pytest.raises(RefusedError, match="tokens go from 0 to"):
        scores[1].result(20)
    assert len(scores[2].result(20)) == 1
    desk.check()


def test_an_engine_that_fails_at_once_is_found_out(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.trouble = RuntimeError("the device is gone")
    desk = Desk(engine)
    with pytest.raises(StageError):
        desk.generate(asked("3+4")).result(20)
    desk.check()
    for _ in range(100):
        if len(engine.batches) > 1:
            break
        threading.Event().wait(0.05)
    with pytest.raises(StageError, match="the engine fails: the tutor cannot answer: the device is gone"):
        for _ in range(20):
            threading.Event().wait(0.05)
            desk.check()
    engine.trouble = None
    assert desk.generate(asked("3+4")).result(20).finished
    desk.check()


def test_a_failure_reaches_all_who_wait_and_the_next_is_served(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.trouble = RuntimeError("out of memory")
    desk = Desk(engine)
    with pytest.raises(StageError, match="the tutor cannot answer: out of memory"):
        desk.generate(asked("3+4")).result(20)
    engine.trouble = None
    assert desk.generate(asked("3+4")).result(20).finished


def test_what_does_not_fit_is_refused_at_once(small: TransformersEngine) -> None:
    desk = Desk(small)
    with pytest.raises(RefusedError, match="max_tokens: 9999 were asked for, and of"):
        desk.generate(asked("3+4", Sampling(9999)))
    assert desk.generate(replace(asked("3+4", Sampling(9999)), as_room_allows=True)).result(20).finished
    with pytest.raises(RefusedError, match="prompt: it has 9999 tokens, and the context"):
        desk.logprobs([1] * 9999)
    with pytest.raises(RefusedError, match="schema"):
        desk.generate(asked("3+4", Sampling(24, schema={"type": "object"})))


def test_an_engine_that_hangs_is_found_out(small: TransformersEngine) -> None:
    engine = Watched(small)
    engine.gate.clear()
    desk = Desk(engine, patience=0.2)
    desk.check()
    answer = desk.generate(asked("3+4"))
    desk.check()
    threading.Event().wait(0.3)
    with pytest.raises(StageError, match="has work, and has done nothing"):
        desk.check()
    engine.gate.set()
    assert answer.result(20).finished
    desk.check()


def test_an_idle_engine_is_tried(small: TransformersEngine) -> None:
    engine = Watched(small)
    desk = Desk(engine, patience=0.2)
    threading.Event().wait(0.3)
    desk.check()
    for _ in range(100):
        if engine.batches:
            break
        threading.Event().wait(0.05)
    assert engine.batches == [1]
    desk.check()
    # One that hangs while it is idle is found by that.
    engine.gate.clear()
    threading.Event().wait(0.3)
    desk.check()
    threading.Event().wait(0.3)
    with pytest.raises(StageError, match="has done nothing"):
        desk.check()
    engine.gate.set()
