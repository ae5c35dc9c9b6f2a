"""Run one stage in the process one is in, with the threads its place has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.config.campaign import ThreadsConfig

Result = TypeVar("Result")


class WorkerLostError(Exception):
    """One of several workers of a stage died, and the stage with it."""


class TutorLostError(Exception):
    """The tutor's worker or engine died, before or while a stage elsewhere asked it."""


def threads_of(place: str, threads: ThreadsConfig) -> int:
    """Say how many threads a place has."""
    return threads.tutor if place == "tutor" else threads.student


def perform(stage: Callable[[Any], Result], request: Any, threads: int) -> tuple[Result, float]:
    """Run a stage, and time it.

    The number of threads is set and not inherited: it decides in which order sums are taken, and with it the
    last bit of every result.
    """
    import torch

    torch.set_num_threads(threads)
    start = time.perf_counter()
    result = stage(request)
    return result, time.perf_counter() - start
