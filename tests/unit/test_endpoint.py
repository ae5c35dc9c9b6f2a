"""The endpoint engine in bad weather: what can be mended is mended, what cannot is said in the server's own words."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.endpoint import FAULTS, serve
from tft.config.campaign import EndpointEngineConfig
from tft.engines import endpoint
from tft.engines.endpoint import EndpointEngine
from tft.engines.transformers import TransformersEngine, load_model
from tft.errors import PrerequisiteError, StageError
from tft.ports import Generation, Sampling
from tft.records import Message

QUESTIONS = [(Message("user", question),) for question in ("3+4", "8-3", "7*8", "9+9", "6*7")]
GREEDY = Sampling(24)


@pytest.fixture(scope="module")
def model(novice: Path) -> TransformersEngine:
    return TransformersEngine(*load_model(novice), "novice")


class Quick:
    """A model that has one answer to everything, at once."""

    def generate(self, prompts: Sequence[object], _: Sampling, seeds: Sequence[int]) -> list[Generation]:
        return [Generation(f"#{seed}", 5, 3, True, None) for _, seed in zip(prompts, seeds, strict=True)]


class Slow(Quick):
    """A model that takes its time."""

    def generate(self, prompts: Sequence[object], sampling: Sampling, seeds: Sequence[int]) -> list[Generation]:
        time.sleep(0.05)
        return super().generate(prompts, sampling, seeds)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> Iterator[None]:  # noqa: ARG001
    """Wait as a test may: the rules stay, their seconds shrink."""
    monkeypatch.setattr(endpoint, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(endpoint, "_LONGEST_WAIT", 0.2)
    yield


def open_at(url: str, **changes: object) -> EndpointEngine:
    config = EndpointEngineConfig.model_validate({"url": url, "timeout": 2, "deadline": 60, **changes})
    return EndpointEngine.open("novice", "novice", config)


def healthy(model: TransformersEngine) -> list[Generation]:
    with serve(model) as server:
        return open_at(server.url).generate(QUESTIONS, GREEDY)


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "hang"])
def test_what_asking_again_can_mend_is_mended(model: TransformersEngine, fault: str) -> None:
    with serve(model, [fault, fault, None, None]) as server:
        assert open_at(server.url).generate(QUESTIONS, GREEDY) == healthy(model)
        assert server.met[fault] >= 2


def test_a_request_that_hangs_is_given_up_and_made_again(model: TransformersEngine) -> None:
    with serve(model, ["hang", *[None] * 20]) as server:
        start = time.monotonic()
        assert open_at(server.url).generate(QUESTIONS, GREEDY) == healthy(model)
        assert time.monotonic() - start < 5


def test_an_answer_that_never_ends_is_given_up_and_asked_for_again() -> None:
    with serve(Quick(), ["drip", *[None] * 20]) as server:
        start = time.monotonic()
        assert len(open_at(server.url, timeout=0.5).generate(QUESTIONS, GREEDY)) == len(QUESTIONS)
        assert time.monotonic() - start < 4


def test_what_asking_again_cannot_mend_ends_the_call_at_once(model: TransformersEngine) -> None:
    with serve(model, ["refuse"]) as server:
        with pytest.raises(PrerequisiteError, match=r"status 400: .*no such model"):
            open_at(server.url, concurrency=1).generate(QUESTIONS, GREEDY)
        assert server.calls == 1


LONG = (Message("user", "9" * 30),)


def test_a_row_that_is_too_long_has_no_answer_where_others_have() -> None:
    with serve(Quick(), quirks=["narrow"]) as server:
        tutor = open_at(server.url)
        first, second, third = tutor.generate([QUESTIONS[0], LONG, QUESTIONS[1]], GREEDY)
        assert (first.finished, third.finished) == (True, True)
        assert second == Generation("", 0, 0, False, None)
        assert tutor.generate([LONG], GREEDY) == [second]
        # Nobody got so long an answer: that may be the fault of the config.
        with pytest.raises(PrerequisiteError, match=r"status 400.*maximum context length"):
            tutor.generate([LONG, QUESTIONS[0]], Sampling(39))


def test_rows_that_are_all_too_long_end_the_call() -> None:
    with (
        serve(Quick(), quirks=["narrow"]) as server,
        pytest.raises(PrerequisiteError, match=r"status 400.*maximum context length"),
    ):
        open_at(server.url).generate([LONG, LONG], GREEDY)


def test_what_is_too_long_cannot_be_scored(novice: Path) -> None:
    with (
        serve(Quick(), quirks=["narrow"]) as server,
        pytest.raises(PrerequisiteError, match=r"status 400.*maximum context length"),
    ):
        open_at(server.url, tokenizer=str(novice)).score([LONG], ["#7" * 10])


def test_what_was_answered_before_a_failure_is_handed_over() -> None:
    with serve(Quick(), [None, None, None, "refuse"]) as server:
        came = {}
        with pytest.raises(PrerequisiteError):
            for place, answer in open_at(server.url, concurrency=1).answers(QUESTIONS, GREEDY, [7, 8, 9, 10, 11]):
                came[place] = answer.text
    assert came == {0: "#7", 1: "#8", 2: "#9"}


def test_a_server_that_never_answers_ends_at_the_deadline_with_its_last_word(model: TransformersEngine) -> None:
    with serve(model, ["error"]) as server:
        start = time.monotonic()
        with pytest.raises(StageError, match=rf"{server.url}.* within 1 s.*last: status 500"):
            open_at(server.url, deadline=1).generate(QUESTIONS, GREEDY)
        assert time.monotonic() - start < 4


def test_nobody_at_home_is_said_with_the_address(free_port: int) -> None:
    with pytest.raises(StageError, match=rf"127.0.0.1:{free_port}.*Connect"):
        open_at(f"http://127.0.0.1:{free_port}/v1", deadline=0.5).generate(QUESTIONS, GREEDY)


def test_a_server_that_asks_for_peace_gets_it_from_everybody(model: TransformersEngine) -> None:
    with serve(model, ["retry_after", *[None] * 100]) as server:
        start = time.monotonic()
        open_at(server.url, concurrency=1).generate(QUESTIONS, GREEDY)
        assert time.monotonic() - start >= 0.2


def test_a_server_that_is_down_is_tried_now_and_then(model: TransformersEngine) -> None:
    with serve(model, ["error"]) as server:
        with pytest.raises(StageError):
            open_at(server.url, deadline=1.5, breaker=3).generate(QUESTIONS * 4, GREEDY)
        # 20 rows that came back every 0.1 s would have made hundreds of calls.
        assert server.calls < 40


def test_a_short_outage_ends_nothing_and_holds_nobody_up() -> None:
    with serve(Quick(), ["error"]) as server:
        threading.Timer(0.3, setattr, (server, "faults", ())).start()
        start = time.monotonic()
        # If each of 64 had a fifth of a second for its own trial, the last one would come after the deadline.
        answers = open_at(server.url, deadline=10, breaker=3).generate(QUESTIONS * 40, GREEDY)
        assert time.monotonic() - start < 8
    assert len(answers) == 200


def test_one_request_at_a_time_tries_a_server_that_is_down() -> None:
    with serve(Quick(), ["hang"]) as server:
        with pytest.raises(StageError, match="last: no answer"):
            open_at(server.url, timeout=0.2, deadline=1.5, breaker=3).generate(QUESTIONS * 4, GREEDY)
        # All twenty, two that came back before the third had failed, and what fits into 1.3 s one after the other.
        assert 20 < server.calls < 32


def test_who_has_too_much_to_do_is_not_down() -> None:
    with serve(Quick(), ["retry_after"]) as server:
        with pytest.raises(StageError, match="last: status 429"):
            open_at(server.url, deadline=3, breaker=3).generate(QUESTIONS * 4, GREEDY)
        # All twenty, and all again when they may; one at a time would be another fourteen.
        assert server.calls > 45


def test_a_refusal_says_that_a_server_is_back(model: TransformersEngine) -> None:
    with serve(model, ["error", "refuse"]) as server:
        tutor = open_at(server.url, breaker=1, deadline=5)
        with pytest.raises(PrerequisiteError):
            tutor.generate(QUESTIONS[:1], GREEDY)
        server.faults = ()
        assert tutor.generate(QUESTIONS, GREEDY) == healthy(model)


def test_no_wait_is_longer_than_the_longest_however_often_it_failed() -> None:
    assert max(endpoint._pause(failed) for failed in (1, 10, 5000) for _ in range(100)) <= 0.2


def test_requests_a_minute_are_kept(model: TransformersEngine) -> None:
    with serve(model) as server:
        start = time.monotonic()
        open_at(server.url, requests_per_minute=600).generate(QUESTIONS, GREEDY)
        assert time.monotonic() - start >= 0.4


def test_after_an_interruption_nothing_more_is_asked() -> None:
    def interrupt() -> None:
        while server.calls == 0:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # Whoever starts the tests in the background has them ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with serve(Slow()) as server:
            threading.Thread(target=interrupt).start()
            with pytest.raises(KeyboardInterrupt):
                open_at(server.url, concurrency=2).generate(QUESTIONS * 20, GREEDY)
            assert 0 < server.calls < 50
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_key_comes_from_the_environment(model: TransformersEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(model, key="open sesame") as server:
        with pytest.raises(PrerequisiteError, match=r"401.*key"):
            open_at(server.url).generate(QUESTIONS, GREEDY)
        monkeypatch.delenv("TUTOR_KEY", raising=False)
        with pytest.raises(PrerequisiteError, match="TUTOR_KEY"):
            open_at(server.url, key_env="TUTOR_KEY")
        monkeypatch.setenv("TUTOR_KEY", "open sesame")
        assert open_at(server.url, key_env="TUTOR_KEY").generate(QUESTIONS, GREEDY) == healthy(model)


def test_a_schema_is_sent_where_the_endpoint_knows_it(model: TransformersEngine) -> None:
    asked = Sampling(8, schema={"type": "object"})
    with serve(model) as server:
        open_at(server.url).generate(QUESTIONS[:1], asked)
        open_at(server.url, guided=False).generate(QUESTIONS[:1], asked)
        first, second = server.bodies
    assert first["response_format"]["json_schema"]["schema"] == {"type": "object"}
    assert "response_format" not in second


def test_without_a_tokenizer_the_count_is_a_bound(model: TransformersEngine, novice: Path) -> None:
    here = open_at("http://127.0.0.1:1/v1", tokenizer=str(novice))
    elsewhere = open_at("http://127.0.0.1:1/v1")
    assert here.count(QUESTIONS) == model.count(QUESTIONS)
    assert all(most >= exact for most, exact in zip(elsewhere.count(QUESTIONS), model.count(QUESTIONS), strict=True))


def test_scoring_wants_a_tokenizer(model: TransformersEngine) -> None:
    with serve(model) as server, pytest.raises(PrerequisiteError, match=r"engine\.tokenizer"):
        open_at(server.url).score(QUESTIONS[:1], ["#7"])
