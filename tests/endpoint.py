"""A small OpenAI-compatible server for tests: a real model answers; faults come on demand.

One question at a time, each by itself, so that an answer depends on its question and its seed alone.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tft.ports import Sampling
from tft.records import Message

FAULTS = ("retry_after", "error", "hang", "cut", "not_json", "truncated", "half_an_answer")
HANG = 6.0
NARROW = 40
"""Letters, or tokens, of a request with its answer that a narrow server takes."""


class Endpoint(ThreadingHTTPServer):
    """One model behind HTTP.

    Args:
        engine: answers.
        faults: what goes wrong, call by call, over and over; empty for a healthy server.
        key: demanded of every request; None for none.
        quirks: what it does differently from what it should, all the time.
    """

    daemon_threads = True

    def __init__(
        self,
        engine: Any,
        faults: Sequence[str | None] = (),
        key: str | None = None,
        quirks: Iterable[str] = (),
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.engine = engine
        self.faults = faults
        self.key = key
        self.quirks = frozenset(quirks)
        self.calls = 0
        self.met: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that gave up."""


@contextmanager
def serve(
    engine: Any,
    faults: Sequence[str | None] = (),
    key: str | None = None,
    quirks: Iterable[str] = (),
) -> Iterator[Endpoint]:
    server = Endpoint(engine, faults, key, quirks)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        with server.lock:
            fault = server.faults[server.calls % len(server.faults)] if server.faults else None
            server.calls += 1
            server.bodies.append(body)
            if fault is not None:
                server.met[fault] += 1
        if server.key is not None and self.headers.get("Authorization") != f"Bearer {server.key}":
            return self._send(401, b'{"error": "no key, no answer"}')
        if fault == "refuse" or ("other_model" in server.quirks and body["model"] != "other"):
            return self._send(404 if fault is None else 400, b'{"error": "no such model"}')
        if "narrow" in server.quirks and _size(body) + body["max_tokens"] > NARROW:
            return self._send(400, b'{"error": "the maximum context length of this model is 40 tokens"}')
        if fault == "retry_after":
            return self._send(429, b"{}", {"Retry-After": "0.2"})
        if fault == "error":
            return self._send(500, b"the server fell over")
        if fault == "hang":
            server.over.wait(HANG)
            self.close_connection = True
            return None
        if fault == "drip":
            return self._drip()
        whole = json.dumps(self._answer(body)).encode()
        if fault == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole[: len(whole) // 2])
            self.close_connection = True
            return None
        damaged = {"not_json": b"<html>busy</html>", "truncated": whole[:-20], "half_an_answer": b'{"choices": []}'}
        return self._send(200, damaged.get(fault or "", whole))

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _drip(self) -> None:
        """Send white space, as gateways do that keep a connection open, and nothing else."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b" ")
            if self.server.over.wait(HANG / 100):
                break
        self.close_connection = True

    def _answer(self, body: dict[str, Any]) -> dict[str, Any]:
        with self.server.lock:
            return self._score(body) if self.path.endswith("/v1/completions") else self._chat(body)

    def _chat(self, body: dict[str, Any]) -> dict[str, Any]:
        quirks = self.server.quirks
        messages = tuple(Message(it["role"], it["content"]) for it in body["messages"])
        most = 40 if "endless" in quirks else body["max_tokens"]
        temperature, seed = (5.0, self.server.calls) if "moody" in quirks else (body["temperature"], body["seed"])
        (found,) = self.server.engine.generate([messages], Sampling(most, temperature), [seed])
        if "response_format" in body and "no_schema" not in quirks:
            found = replace(found, text='{"answer": "yes"}', finished=True)
        if "rounding" in quirks:
            found = replace(found, text=f"{found.text}{self.server.calls}")
        whole = found.finished or "proud" in quirks
        logprobs = {"content": [{"logprob": found.logprob}]} if body.get("logprobs") else None
        added = 9 if "system_turn" in quirks else 0
        return {
            "choices": [{"message": {"role": "assistant", "content": found.text}, "logprobs": logprobs,
                         "finish_reason": "stop" if whole else "length"}],
            "usage": {"prompt_tokens": found.prompt_tokens + added, "completion_tokens": found.tokens},
        }  # fmt: skip

    def _score(self, body: dict[str, Any]) -> dict[str, Any]:
        if "mute" in self.server.quirks:
            return {"choices": [{"text": "1"}], "usage": {}}
        tokens = body["prompt"][1:]
        if "few" in self.server.quirks:
            body["prompt_logprobs"] = min(body["prompt_logprobs"], 5)
        (top,) = self.server.engine.top_logprobs([body["prompt"]], [1], body["prompt_logprobs"] or 1)
        given = top.chosen.tolist()
        if "shifted" in self.server.quirks:
            given = given[1:] + given[:1]
        rows = [{str(token): {"logprob": it}} for token, it in zip(tokens, given, strict=True)]
        if body["prompt_logprobs"]:
            for row, ids, likely in zip(rows, top.ids.tolist(), top.logprobs.tolist(), strict=True):
                row.update({str(token): {"logprob": it} for token, it in zip(ids, likely, strict=True)})
        return {"choices": [{"prompt_logprobs": [None, *rows]}], "usage": {}}


def _size(body: dict[str, Any]) -> int:
    return len(body["prompt"]) if "prompt" in body else sum(len(it["content"]) for it in body["messages"])
