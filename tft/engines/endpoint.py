"""The endpoint engine: a model behind an OpenAI-compatible server that somebody else runs.

Requests go out side by side, each with a seed of its own, so that an answer depends on its question and its place
in the batch and not on who was answered first, or how often it had to be asked. What can be mended by asking again
(overload, time-outs, connections that break, bodies that cannot be read) is asked again until the deadline; what
cannot ends the call with the server's own words. Left out on purpose: streaming, because nobody reads along.
"""

from __future__ import annotations

import json
import os
import random
import re
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import httpx2

from tft.engines.encoding import PromptEncoder, name_template, read_tops, row_seeds, score_answers
from tft.errors import PrerequisiteError, StageError
from tft.library import split_revision
from tft.ports import Generation, Sampling, Scores, TopLogprobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from transformers import PreTrainedTokenizerBase

    from tft.config.campaign import EndpointEngineConfig
    from tft.records import Message

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_FIRST_WAIT = 0.5
_LONGEST_WAIT = 30.0
_DOUBLINGS = 10
_TOO_MANY = 429
_TOO_LONG = re.compile("context|model length|too (long|large)", re.IGNORECASE)
"""What servers say of a request that does not fit: OpenAI, vLLM, SGLang, llama.cpp, proxies, and ``tft serve``."""
_A_MESSAGE = 16
"""Tokens a chat template may add to a message, where nobody can count them."""


class EndpointEngine:
    """Generate and score at an OpenAI-compatible endpoint.

    Args:
        config: where it is, and how patiently it is asked.
        model: the name it knows the model by.
        fingerprint: names the model.
        tokenizer: the model's tokenizer, with its chat template; None where only the endpoint has it.
    """

    concurrent = True

    def __init__(
        self,
        config: EndpointEngineConfig,
        model: str,
        fingerprint: str,
        tokenizer: PreTrainedTokenizerBase | None = None,
    ) -> None:
        self._config = config
        self._model = model
        self._fingerprint = fingerprint
        self.tokenizer = tokenizer
        self._encode = None if tokenizer is None else PromptEncoder(tokenizer, config.template)
        self._line = _Line(config, _key(config))
        self._granted = 0
        # Whoever shares a server between clients can tell them apart by this.
        self._user = f"tft-{uuid.uuid4().hex[:12]}"

    @classmethod
    def open(cls, address: str, fingerprint: str, config: EndpointEngineConfig) -> EndpointEngine:
        """Open the endpoint of a config; no request is made.

        Args:
            address: the name the endpoint knows the model by.
            fingerprint: names the model.
            config: where the endpoint is.

        Raises:
            PrerequisiteError: if the environment has no key, or the tokenizer cannot be loaded.
        """
        return cls(config, address, fingerprint, _tokenizer(config.tokenizer))

    @property
    def fingerprint(self) -> str:
        """The model as the endpoint names it. What else decides an answer there, nobody here can know."""
        return f"{self._fingerprint}/endpoint{name_template(self._config.template)}"

    @property
    def steps(self) -> int:
        """Requests that were answered."""
        return self._line.answered

    @property
    def counts_exactly(self) -> bool:
        """Whether the tokenizer is here."""
        return self.tokenizer is not None

    @property
    def guided(self) -> bool:
        """Whether it is asked for JSON under a schema."""
        return self._config.guided

    @property
    def context(self) -> int | None:
        """What the config says; the endpoint refuses what is longer than that."""
        return self._config.context

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        """Count the tokens of each conversation; without a tokenizer, say how many there are at most.

        A token of a byte-level vocabulary stands for one byte or more, so the bytes are a bound.
        """
        if self._encode is not None:
            return list(map(len, self._encode(prompts)))
        return [sum(len(message.content.encode()) + _A_MESSAGE for message in messages) for messages in prompts]

    def generate(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> list[Generation]:
        """Answer every conversation, in the order they came.

        Raises:
            PrerequisiteError: if the endpoint cannot be reached, or refuses the request.
            StageError: if the deadline passed before all were answered.
        """
        return _in_order(self.answers(prompts, sampling, seeds))

    def answers(
        self, prompts: Sequence[Sequence[Message]], sampling: Sampling, seeds: Sequence[int] | None = None
    ) -> Iterator[tuple[int, Generation]]:
        """Answer every conversation; give each answer with the place of its conversation, as they come.

        One that is refused because it is too long has an answer of no tokens, if the endpoint has answered others with
        as many ``max_tokens``: then it is to blame, and not the config.

        Raises:
            PrerequisiteError: if the endpoint cannot be reached, or refuses the request.
            StageError: if the deadline passed before all were answered.
        """
        # A template of one's own is for counting and scoring here; how conversations are written there is the server's.
        switches = {name: it for name, it in self._config.template.items() if name != "chat_template"}
        bodies = [
            {
                "model": self._model,
                "messages": [{"role": message.role, "content": message.content} for message in messages],
                "max_tokens": sampling.max_tokens,
                "temperature": sampling.temperature,
                "seed": seed,
                "user": self._user,
                **({"logprobs": True} if sampling.logprobs else {}),
                **({"chat_template_kwargs": switches} if switches else {}),
                **(_guided(sampling.schema) if sampling.schema is not None and self._config.guided else {}),
            }
            for messages, seed in zip(prompts, row_seeds(sampling, seeds, len(prompts)), strict=True)
        ]
        refused: dict[int, _TooLongError] = {}
        for place, answer in self._line.ask_all("/chat/completions", bodies, _read_generation):
            if isinstance(answer, _TooLongError):
                refused[place] = answer
            else:
                self._granted = max(self._granted, sampling.max_tokens)
                yield place, answer
        for place, error in refused.items():
            if self._granted < sampling.max_tokens:
                raise PrerequisiteError(str(error))
            yield place, Generation("", 0, 0, False, None)

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        """Give the log-probability of every token of the completions, the end token included.

        Needs the tokenizer here, and an endpoint that gives ``prompt_logprobs``, as vLLM and ``tft serve`` do.

        Raises:
            PrerequisiteError: without a tokenizer, or where the endpoint gives no log-probabilities.
        """
        encode = self.encode
        assert self.tokenizer is not None
        return score_answers(self.tokenizer, encode(prompts), completions, encode.end_of_answer, self.logprobs)

    @property
    def encode(self) -> PromptEncoder:
        """Write conversations as tokens, ready for the answer.

        Raises:
            PrerequisiteError: without a tokenizer.
        """
        if self._encode is None:
            raise PrerequisiteError(
                f"{self._config.url} cannot score without a tokenizer here: name one in engine.tokenizer"
            )
        return self._encode

    def logprobs(self, rows: Sequence[Sequence[int]]) -> list[list[float]]:
        """Give the log-probability of every token of rows but the first.

        Raises:
            PrerequisiteError: where the endpoint gives no log-probabilities.
        """
        found = self._read(rows, 0)
        try:
            return [
                [at[token] for at, token in zip(places, row[1:], strict=True)]
                for places, row in zip(found, rows, strict=True)
            ]
        except (KeyError, ValueError) as error:
            raise PrerequisiteError(f"the endpoint scores other tokens than it was given: {error!r}") from None

    def top_logprobs(
        self, rows: Sequence[Sequence[int]], starts: Sequence[int], k: int | None = None
    ) -> list[TopLogprobs]:
        """Give the likeliest tokens, with their log-probabilities, at every place of rows from a start on.

        Raises:
            PrerequisiteError: where the endpoint gives no log-probabilities, or is asked for a whole vocabulary.
        """
        if k is None:
            raise PrerequisiteError("an endpoint is asked for the likeliest tokens, not for all: name a top_k")
        return [
            read_tops(places[start - 1 :], row[start:], k)
            for places, row, start in zip(self._read(rows, k), rows, starts, strict=True)
        ]

    def _read(self, rows: Sequence[Sequence[int]], k: int) -> list[list[dict[int, float]]]:
        bodies = [
            {
                "model": self._model,
                "prompt": list(row),
                "max_tokens": 1,
                "temperature": 0,
                "prompt_logprobs": k,
                "user": self._user,
            }
            for row in rows
        ]
        found = _in_order(self._line.ask_all("/completions", bodies, _read_logprobs))
        refusal = next((it for it in found if isinstance(it, _TooLongError)), None)
        if refusal is not None:
            raise PrerequisiteError(str(refusal))
        return found


@dataclass(frozen=True, slots=True)
class _Again(Exception):  # noqa: N818
    """A failure that asking again may mend."""

    why: str
    wait: float = 0.0
    """Seconds the server asked to be left alone."""
    down: bool = True
    """Whether it looks as if the server were down; one that says that it has too much to do is not."""


@dataclass(slots=True)
class _Batch:
    """Requests that came together."""

    path: str
    deadline: float
    """In seconds, on the monotonic clock."""
    over: bool = False
    """Whether nobody wants their answers any more."""


class _Line:
    """The line to one server, shared by all threads of an engine: its limits, its moods, its deadline."""

    def __init__(self, config: EndpointEngineConfig, key: str | None) -> None:
        self._config = config
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._gap = 60 / config.requests_per_minute if config.requests_per_minute else 0.0
        self._changed = threading.Condition()
        self._not_before = 0.0
        self._failures = 0
        self._trials = 0
        self._on_trial = False
        self._last = ""
        self.answered = 0

    def ask_all(
        self, path: str, bodies: Sequence[dict[str, Any]], read: Callable[[dict[str, Any]], Any]
    ) -> Iterator[tuple[int, Any]]:
        """Ask side by side, and give each answer with its place, as they come.

        The first failure that cannot be mended ends all; what is under way then is given before it is raised. One that
        may be a single row's own is given in the place of its answer.
        """
        if not bodies:
            return
        batch = _Batch(path, time.monotonic() + self._config.deadline)

        def one(body: dict[str, Any]) -> Any:
            try:
                return self._ask(lambda: read(self._post(client, body, batch)), batch)
            except _TooLongError as error:
                return error
            except BaseException:
                self._end(batch)
                raise

        errors: list[BaseException] = []
        workers = min(self._config.concurrency, len(bodies))
        address, limits = self._config.url.rstrip("/"), httpx2.Limits(max_connections=workers)
        with (
            httpx2.Client(base_url=address, headers=self._headers, limits=limits) as client,
            ThreadPoolExecutor(workers, "endpoint") as pool,
        ):
            try:
                places = {pool.submit(one, body): place for place, body in enumerate(bodies)}
                for it in as_completed(places):
                    error = it.exception()
                    if error is None:
                        yield places[it], it.result()
                    elif not isinstance(error, _StoppedError):
                        errors.append(error)
            finally:
                # After Ctrl-C, what is under way is waited for, and nothing else is asked.
                self._end(batch)
        if errors:
            raise errors[0]

    def _ask(self, once: Callable[[], Any], batch: _Batch) -> Any:
        """Ask until there is an answer, a refusal, or no time left."""
        attempts, earliest = 0, 0.0
        while True:
            trial = self._wait_for_turn(earliest, batch)
            try:
                answer = once()
            except _Again as trouble:
                self._failed(trouble, trial)
                earliest = time.monotonic() + _pause(attempts)
                attempts += 1
            except BaseException:
                # A refusal is an answer.
                self._is_up()
                raise
            else:
                self._is_up()
                return answer

    def _post(self, client: httpx2.Client, body: dict[str, Any], batch: _Batch) -> dict[str, Any]:
        patience = max(0.1, min(self._config.timeout, batch.deadline - time.monotonic()))
        try:
            answer, content = _send(client, batch.path, body, patience)
        except httpx2.TimeoutException:
            raise _Again(f"no answer within {patience:.3g} s") from None
        except httpx2.TransportError as error:
            raise _Again(f"{type(error).__name__}: {error}") from None
        status = answer.status_code
        if status in _AGAIN:
            raise _Again(f"status {status}", _retry_after(answer.headers.get("retry-after")), status != _TOO_MANY)
        if status >= 400:
            said = content.decode(errors="replace")
            kind = _TooLongError if status in (400, 413) and _TOO_LONG.search(said) else PrerequisiteError
            raise kind(
                f"{self._config.url}{batch.path} refused a request for the model {body['model']} with status "
                f"{status}: {said[:500]}. {_remedy(status, self._config)}"
            )
        try:
            found = json.loads(content)
        except ValueError:
            raise _Again("the answer is not JSON") from None
        if not isinstance(found, dict):
            raise _Again("the answer is not an object")
        return found

    def _wait_for_turn(self, earliest: float, batch: _Batch) -> bool:
        """Wait while the server wants peace, or is down and another request tries it; say whether this one tries it."""
        with self._changed:
            while not batch.over:
                now = time.monotonic()
                if now >= batch.deadline:
                    raise StageError(self._told_late(batch))
                turn = batch.deadline if self._on_trial else max(earliest, self._not_before)
                if turn <= now:
                    self._not_before = now + self._gap
                    self._on_trial = self._failures >= self._config.breaker
                    return self._on_trial
                self._changed.wait(min(turn, batch.deadline) - now)
        raise _StoppedError

    def _told_late(self, batch: _Batch) -> str:
        last = f"; last: {self._last}" if self._last else ""
        or_faster = " or engine.requests_per_minute" if self._gap else ""
        return (
            f"{self._config.url}{batch.path} did not answer within {self._config.deadline:g} s{last}. "
            f"Look at the server, or raise engine.deadline{or_faster}"
        )

    def _failed(self, trouble: _Again, trial: bool) -> None:
        with self._changed:
            self._last = trouble.why
            self._failures = self._failures + 1 if trouble.down else 0
            wait = trouble.wait
            if trial:
                wait = max(wait, _pause(self._trials))
                self._trials += 1
                self._end_trial()
            self._not_before = max(self._not_before, time.monotonic() + wait)

    def _is_up(self) -> None:
        with self._changed:
            self._failures = self._trials = 0
            self.answered += 1
            self._end_trial()

    def _end_trial(self) -> None:
        """Let those go on who waited for it."""
        if self._on_trial:
            self._on_trial = False
            self._changed.notify_all()

    def _end(self, batch: _Batch) -> None:
        with self._changed:
            batch.over = True
            self._changed.notify_all()


class _TooLongError(Exception):
    """A request was refused because it is too long; says so as a prerequisite would."""


class _StoppedError(Exception):
    """Another request of the batch failed for good."""


def _send(client: httpx2.Client, path: str, body: dict[str, Any], patience: float) -> tuple[httpx2.Response, bytes]:
    """Make a request and read its answer, the clock in view: the client's own time-out is one for each piece."""
    end = time.monotonic() + patience
    pieces = []
    with client.stream("POST", path, json=body, timeout=patience) as answer:
        for piece in answer.iter_bytes():
            pieces.append(piece)
            if time.monotonic() > end:
                raise httpx2.ReadTimeout("the answer does not end")
    return answer, b"".join(pieces)


def _in_order(found: Iterable[tuple[int, Any]]) -> list[Any]:
    return [answer for _, answer in sorted(found, key=itemgetter(0))]


def _guided(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}}


def _read_generation(answer: dict[str, Any]) -> Generation:
    """Read a chat completion; what cannot be read was damaged on its way."""
    try:
        (choice,) = answer["choices"]
        usage = answer["usage"]
        logprobs = (choice.get("logprobs") or {}).get("content")
        return Generation(
            text=choice["message"]["content"] or "",
            prompt_tokens=int(usage["prompt_tokens"]),
            tokens=int(usage["completion_tokens"]),
            finished=choice["finish_reason"] == "stop",
            logprob=None if logprobs is None else sum(float(token["logprob"]) for token in logprobs),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _Again(f"the answer is not a chat completion: {error!r}") from None


def _read_logprobs(answer: dict[str, Any]) -> list[dict[int, float]]:
    try:
        (choice,) = answer["choices"]
        # The first token of a prompt has no log-probability.
        return [{int(token): float(it["logprob"]) for token, it in at.items()} for at in choice["prompt_logprobs"][1:]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise PrerequisiteError(f"the endpoint gives no prompt_logprobs, so it cannot score: {error!r}") from None


def _pause(failed: int) -> float:
    """Draw how long to rest: full jitter, because many clients that failed together shall not come back together."""
    return random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(failed, _DOUBLINGS)))


def _retry_after(value: str | None) -> float:
    """Read a Retry-After header: seconds, or a date; 0 where there is none."""
    if value is None:
        return 0.0
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _remedy(status: int, config: EndpointEngineConfig) -> str:
    if status in (401, 403):
        return f"Put its key into the environment variable {config.key_env or 'that engine.key_env names'}"
    if status == 404:
        return "Its address ends with /v1, and GET /models lists the names it knows"
    return "If it does not know response_format, set engine.guided to false"


def _key(config: EndpointEngineConfig) -> str | None:
    if config.key_env is None:
        return None
    key = os.environ.get(config.key_env)
    if not key:
        raise PrerequisiteError(f"the environment variable {config.key_env} has no key for {config.url}; set it")
    return key


def _tokenizer(name: str | None) -> PreTrainedTokenizerBase | None:
    if name is None:
        return None
    from transformers import AutoTokenizer

    try:
        bare, revision = split_revision(name)
        return AutoTokenizer.from_pretrained(bare, revision=revision or "main")
    except (OSError, ValueError) as error:
        raise PrerequisiteError(f"the tokenizer {name} cannot be loaded: {error}") from error
