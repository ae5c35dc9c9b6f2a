"""The page of a served tutor: OpenAI's chat completions, and completions that score tokens as vLLM does.

Everything but ``/health`` wants the key. What cannot be done is refused with the field's name, never overlooked: a
client that asks for ``top_p`` and gets something else would not know. Left out on purpose: streaming, several
choices, tools, and every other route of the original, because teaching uses none of them.
"""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, ConfigDict, Field

from tft.errors import RefusedError, StageError
from tft.ports import Sampling
from tft.records import Message
from tft.serving.desk import Asked
from tft.serving.turns import Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tft.ports import Generation

_OPEN = frozenset({"/health"})
_LONGEST = 1024
"""Tokens of an answer where a request does not say how long it may be."""


class Backend(Protocol):
    """Who answers: the replicas of a tutor."""

    async def generate(self, asked: Asked) -> Generation:
        """Answer a conversation."""

    async def logprobs(self, row: list[int], k: int) -> list[dict[int, float]]:
        """Score the tokens of a row, but its first; give the k likeliest of each place with them."""

    async def check(self) -> None:
        """Raise if nobody would answer."""


@dataclass(frozen=True, slots=True)
class Front:
    """What the page has to know of its tutor."""

    name: str
    """The name of the model, as requests give it."""
    key_digest: str
    """SHA-256 of the key, as hexadecimal digits."""
    most: int
    """Requests under way at once; the others wait, and clients take turns."""
    template: dict[str, Any] = field(default_factory=dict)
    """Switches of the chat template, as its engine has them."""


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Turn(_Closed):
    role: Literal["system", "user", "assistant"]
    content: str


class _Named(_Closed):
    name: str = "answer"
    schema_: Annotated[dict[str, Any], Field(alias="schema")]
    strict: bool | None = None


class _Format(_Closed):
    type: Literal["json_schema", "text"]
    json_schema: _Named | None = None


class _Request(_Closed):
    model: str
    temperature: Annotated[float, Field(ge=0)] = 1.0
    seed: int | None = None
    user: str = ""
    n: Literal[1] = 1
    stream: Literal[False] = False


class ChatRequest(_Request):
    """A chat completion, as far as it can be asked for."""

    messages: Annotated[list[_Turn], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    logprobs: bool = False
    response_format: _Format | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class ScoreRequest(_Request):
    """A completion that is asked for the log-probabilities of its prompt's tokens."""

    prompt: Annotated[list[int], Field(min_length=1)]
    prompt_logprobs: Annotated[int, Field(ge=0, le=1024)]
    max_tokens: Literal[1] = 1


class _Refusal(Exception):  # noqa: N818
    """A request that is not answered, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def build_app(front: Front, backend: Backend) -> FastAPI:
    """Build the page of one tutor.

    Args:
        front: what it has to know.
        backend: answers.
    """
    app = FastAPI(title=f"tutor {front.name}", docs_url=None, redoc_url=None, openapi_url=None)
    turns, counts = Turns(front.most), _Counts()

    @app.middleware("http")
    async def with_key(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
        # Of the scope, because a URL is put together with what the client says of the host.
        path = request.scope["path"]
        if path not in _OPEN and not _has_key(request, front.key_digest):
            counts.requests.labels(path if path in _KNOWN else "other", 401).inc()
            return _error(401, "a key is wanted: Authorization: Bearer …")
        began = time.monotonic()
        status = 500
        try:
            answer = await go_on(request)
            status = answer.status_code
        finally:
            if path in _WORK:
                counts.requests.labels(path, status).inc()
                counts.seconds.labels(path).observe(time.monotonic() - began)
        return answer

    @app.exception_handler(_Refusal)
    async def refused(_: Request, error: _Refusal) -> Response:
        return _error(error.status, str(error))

    @app.exception_handler(RequestValidationError)
    async def misread(_: Request, error: RequestValidationError) -> Response:
        told = "; ".join(f"{'.'.join(map(str, it['loc'][1:]))}: {it['msg']}" for it in error.errors())
        return _error(400, told)

    @app.get("/health")
    async def health() -> Response:
        try:
            await backend.check()
        except Exception as error:
            return PlainTextResponse(f"{_reason(error)}\n", 503)
        return PlainTextResponse("ok\n")

    @app.get("/metrics")
    async def metrics() -> Response:
        counts.waiting.set(turns.waiting)
        counts.under_way.set(turns.under_way)
        return Response(generate_latest(counts.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [{"id": front.name, "object": "model", "owned_by": "tft"}]}

    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest) -> dict[str, Any]:
        _check_model(body.model, front.name)
        if body.chat_template_kwargs is not None and body.chat_template_kwargs != front.template:
            raise _Refusal(400, f"chat_template_kwargs: this tutor is served with {json.dumps(front.template)}")
        asked = _asked(body)
        async with turns.turn(body.user):
            found = await _answered(backend.generate(asked))
        counts.tokens.labels("prompt").inc(found.prompt_tokens)
        counts.tokens.labels("completion").inc(found.tokens)
        return _completion(body, found)

    @app.post("/v1/completions")
    async def score(body: ScoreRequest) -> dict[str, Any]:
        _check_model(body.model, front.name)
        async with turns.turn(body.user):
            found = await _answered(backend.logprobs(body.prompt, body.prompt_logprobs))
        counts.tokens.labels("scored").inc(len(body.prompt))
        rows = [{str(token): {"logprob": it} for token, it in at.items()} for at in found]
        choice = {"index": 0, "text": "", "finish_reason": "length", "prompt_logprobs": [None, *rows]}
        return {"object": "text_completion", "model": body.model, "choices": [choice],
                "usage": {"prompt_tokens": len(body.prompt), "completion_tokens": 0}}  # fmt: skip

    return app


_WORK = frozenset({"/v1/chat/completions", "/v1/completions"})
_KNOWN = _WORK | {"/v1/models", "/metrics"}


class _Counts:
    """What is counted, for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("tft_requests", "Requests", ("route", "status"), registry=self.registry)
        self.tokens = Counter("tft_tokens", "Tokens of the tutor", ("kind",), registry=self.registry)
        self.seconds = Histogram("tft_request_seconds", "Seconds a request took", ("route",), registry=self.registry)
        self.waiting = Gauge("tft_waiting", "Requests that wait for their turn", registry=self.registry)
        self.under_way = Gauge("tft_under_way", "Requests at the tutor", registry=self.registry)


def _has_key(request: Request, digest: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and secrets.compare_digest(key_digest(given), digest)


def key_digest(key: str) -> str:
    """Name a key without telling it."""
    return hashlib.sha256(key.encode()).hexdigest()


def _error(status: int, message: str) -> Response:
    return JSONResponse({"error": {"message": message, "type": "invalid_request_error", "code": status}}, status)


def _check_model(asked: str, name: str) -> None:
    if asked != name:
        raise _Refusal(404, f"there is no model {json.dumps(asked)} here; known: {name}")


def _asked(body: ChatRequest) -> Asked:
    schema = None
    if body.response_format is not None and body.response_format.type == "json_schema":
        if body.response_format.json_schema is None:
            raise _Refusal(400, "response_format.json_schema: is missing")
        schema = body.response_format.json_schema.schema_
    longest = body.max_completion_tokens or body.max_tokens
    return Asked(
        tuple(Message(turn.role, turn.content) for turn in body.messages),
        Sampling(longest or _LONGEST, body.temperature, 0, body.logprobs, schema),
        random.getrandbits(31) if body.seed is None else body.seed % 2**31,
        as_room_allows=longest is None,
    )


async def _answered(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except StageError as error:
        raise _Refusal(400 if isinstance(error, RefusedError) else 503, _reason(error)) from None


def _reason(error: Exception) -> str:
    """Say what went wrong: not how it came through Ray, whose errors show where they were raised."""
    return str(getattr(error, "cause", None) or error) or type(error).__name__


def _completion(body: ChatRequest, found: Generation) -> dict[str, Any]:
    logprobs = None
    if body.logprobs and found.logprob is not None:
        # The answer as one piece, because what an engine gives is the sum over its tokens.
        logprobs = {"content": [{"token": found.text, "logprob": found.logprob}]}
    return {
        "object": "chat.completion",
        "model": body.model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": found.text},
            "logprobs": logprobs,
            "finish_reason": "stop" if found.finished else "length",
        }],
        "usage": {"prompt_tokens": found.prompt_tokens, "completion_tokens": found.tokens,
                  "total_tokens": found.prompt_tokens + found.tokens},
    }  # fmt: skip
