"""The page of a served tutor: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from tft.engines.transformers import TransformersEngine
from tft.errors import StageError
from tft.ports import Generation, Sampling
from tft.records import Message
from tft.serving import Asked, Desk, Front, build_app, key_digest

KEY = "a-key"
CHAT: dict[str, Any] = {"model": "novice", "messages": [{"role": "user", "content": "3+4"}], "max_tokens": 24,
                        "temperature": 0, "seed": 1}  # fmt: skip

pytestmark = pytest.mark.usefixtures("one_thread")


class Here:
    """A backend in this process."""

    def __init__(self, engine: TransformersEngine) -> None:
        self.desk = Desk(engine)
        self.well = True

    async def generate(self, asked: Asked) -> Generation:
        return await asyncio.wrap_future(self.desk.generate(asked))

    async def logprobs(self, row: list[int], k: int) -> list[dict[int, float]]:
        return await asyncio.wrap_future(self.desk.logprobs(row, k))

    async def check(self) -> None:
        if not self.well:
            raise StageError("the engine hangs")


@pytest.fixture
def backend(small: TransformersEngine) -> Here:
    return Here(small)


@pytest.fixture
def app(backend: Here) -> FastAPI:
    return build_app(Front("novice", key_digest(KEY), 8), backend)


def ask(app: FastAPI, method: str, path: str, body: Any = None, key: str | None = f"Bearer {KEY}") -> httpx2.Response:
    async def call() -> httpx2.Response:
        headers = {} if key is None else {"Authorization": key}
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://tutor") as client:
            return await client.request(method, path, json=body, headers=headers)

    return asyncio.run(call())


def routes(app: FastAPI) -> list[tuple[str, str]]:
    return [(method, route.path) for route in app.routes for method in sorted(route.methods)]  # type: ignore[attr-defined]


def test_the_routes_are_these(app: FastAPI) -> None:
    assert routes(app) == [
        ("GET", "/health"), ("GET", "/metrics"), ("GET", "/v1/models"), ("POST", "/v1/chat/completions"),
        ("POST", "/v1/completions"),
    ]  # fmt: skip


@pytest.mark.parametrize("key", [None, "", "Bearer", "Bearer ", "Bearer wrong", f"Basic {KEY}", KEY, f"Bearer {KEY}x"])
def test_every_route_but_health_wants_the_key(app: FastAPI, key: str | None) -> None:
    for method, path in [*routes(app), ("GET", "/docs"), ("GET", "/openapi.json"), ("POST", "/tokenize")]:
        answer = ask(app, method, path, CHAT, key)
        assert answer.status_code == (200 if path == "/health" else 401), path
        assert path == "/health" or "a key is wanted" in answer.text


def test_a_chat_is_what_the_engine_answers(app: FastAPI, small: TransformersEngine) -> None:
    (expected,) = small.generate([(Message("user", "3+4"),)], Sampling(24))
    found = ask(app, "POST", "/v1/chat/completions", {**CHAT, "logprobs": True}).json()
    (choice,) = found["choices"]
    assert choice["message"] == {"role": "assistant", "content": expected.text}
    assert choice["finish_reason"] == "stop"
    assert sum(it["logprob"] for it in choice["logprobs"]["content"]) == pytest.approx(expected.logprob)
    assert found["usage"]["prompt_tokens"] == expected.prompt_tokens
    assert found["usage"]["completion_tokens"] == expected.tokens
    plain = ask(app, "POST", "/v1/chat/completions", CHAT).json()["choices"][0]
    assert plain["logprobs"] is None


def test_what_is_cut_off_is_said_to_be(app: FastAPI) -> None:
    found = ask(app, "POST", "/v1/chat/completions", {**CHAT, "max_tokens": 2}).json()
    assert found["choices"][0]["finish_reason"] == "length"
    assert found["usage"]["completion_tokens"] == 2


def test_a_sampled_answer_is_a_function_of_its_seed(app: FastAPI, small: TransformersEngine) -> None:
    body = {**CHAT, "messages": [{"role": "user", "content": "write"}], "temperature": 1.5, "seed": 7}
    (expected,) = small.generate([(Message("user", "write"),)], Sampling(24, 1.5), [7])
    texts = {ask(app, "POST", "/v1/chat/completions", body).json()["choices"][0]["message"]["content"] for _ in "ab"}
    assert texts == {expected.text}
    del body["seed"]
    texts = {ask(app, "POST", "/v1/chat/completions", body).json()["choices"][0]["message"]["content"] for _ in "abcd"}
    assert len(texts) > 1


def test_tokens_are_scored(app: FastAPI, small: TransformersEngine) -> None:
    row = [1, 5, 6, 7, 8]
    body = {"model": "novice", "prompt": row, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    (choice,) = ask(app, "POST", "/v1/completions", body).json()["choices"]
    assert choice["prompt_logprobs"][0] is None
    found = [at[str(token)]["logprob"] for at, token in zip(choice["prompt_logprobs"][1:], row[1:], strict=True)]
    assert found == pytest.approx(small.logprobs([row])[0], abs=1e-4)


@pytest.mark.parametrize(
    ("change", "status", "told"),
    [
        ({"model": "other"}, 404, "known: novice"),
        ({"top_p": 0.5}, 400, "top_p"),
        ({"n": 2}, 400, "n: "),
        ({"stream": True}, 400, "stream"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, 400, "role"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"max_tokens": 9999}, 400, "max_tokens: 9999 were asked for"),
        ({"temperature": -1}, 400, "temperature"),
        ({"chat_template_kwargs": {"enable_thinking": False}}, 400, "this tutor is served with {}"),
        ({"response_format": {"type": "json_schema"}}, 400, "json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}}, 400,
         "cannot be held to a schema"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_name(app: FastAPI, change: dict[str, Any], status: int, told: str) -> None:
    answer = ask(app, "POST", "/v1/chat/completions", {**CHAT, **change})
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]


def test_switches_that_are_its_own_are_taken(backend: Here) -> None:
    app = build_app(Front("novice", key_digest(KEY), 8, {"loud": True}), backend)
    assert ask(app, "POST", "/v1/chat/completions", {**CHAT, "chat_template_kwargs": {"loud": True}}).status_code == 200
    assert ask(app, "POST", "/v1/chat/completions", CHAT).status_code == 200
    assert ask(app, "POST", "/v1/chat/completions", {**CHAT, "chat_template_kwargs": {}}).status_code == 400


def test_without_a_length_the_answer_has_the_room_there_is(app: FastAPI) -> None:
    body = {name: value for name, value in CHAT.items() if name != "max_tokens"}
    assert ask(app, "POST", "/v1/chat/completions", body).json()["choices"][0]["finish_reason"] == "stop"


def test_a_reason_is_told_without_the_way_it_came(app: FastAPI, backend: Here) -> None:
    class FromFarAwayError(StageError):
        cause = StageError("the reason")

    async def fail(_: Asked) -> Generation:
        raise FromFarAwayError("Traceback of a machine at 10.0.0.1\nthe reason")

    backend.generate = fail  # type: ignore[method-assign]
    answer = ask(app, "POST", "/v1/chat/completions", CHAT)
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "the reason")


def test_models_are_listed(app: FastAPI) -> None:
    assert [it["id"] for it in ask(app, "GET", "/v1/models").json()["data"]] == ["novice"]


def test_health_is_that_of_the_backend(app: FastAPI, backend: Here) -> None:
    assert ask(app, "GET", "/health", key=None).status_code == 200
    backend.well = False
    answer = ask(app, "GET", "/health", key=None)
    assert (answer.status_code, answer.text) == (503, "the engine hangs\n")


def test_requests_and_tokens_are_counted(app: FastAPI) -> None:
    ask(app, "POST", "/v1/chat/completions", CHAT)
    ask(app, "POST", "/v1/chat/completions", {**CHAT, "top_p": 1})
    ask(app, "POST", "/v1/chat/completions", CHAT, None)
    ask(app, "POST", "/anything", CHAT, None)
    text = ask(app, "GET", "/metrics").text
    for status in (200, 400, 401):
        assert f'tft_requests_total{{route="/v1/chat/completions",status="{status}"}} 1.0' in text
    assert 'tft_requests_total{route="other",status="401"} 1.0' in text
    assert 'tft_tokens_total{kind="prompt"} 6.0' in text
    assert "tft_under_way 0.0" in text
