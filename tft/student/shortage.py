"""Where memory runs out while nothing is learned: fewer rows are written or read at once, and the answers stay.

Every row is drawn from a seed of its own and read by itself, so that parting them changes the last bit of a number at
most. Steps of the optimiser are parted in the loop, because there gradients are added up.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.engines.transformers import TransformersEngine

Result = TypeVar("Result")
_WORDS = ("can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""Of a CPU, and of what takes memory of a GPU without torch."""


@dataclass
class AtOnce:
    """Rows that fit into memory side by side, as far as it is known."""

    written: int | None = None
    """None means as many as the engine takes."""
    read: int | None = None
    """None means all that are asked for."""


def is_out_of_memory(error: RuntimeError) -> bool:
    """Say whether memory ran out."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)


def give_back() -> None:
    """Give the memory that nobody uses any more back to the GPU; that of a CPU goes back by itself."""
    if torch.cuda.is_available():
        # What holds on to itself stays until it is looked for.
        gc.collect()
        torch.cuda.empty_cache()


def hold_to(share: float) -> None:
    """Hold this process to a share of the memory of its GPU: what is beyond it has run out."""
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(share)


def in_parts(call: Callable[[int], Result], size: int) -> tuple[Result, int | None]:
    """Call with a number of rows, and with half as many each time that memory runs out.

    Returns:
        What came, and how many rows fitted where it was fewer than asked for.

    Raises:
        RuntimeError: if a single row does not fit, and whatever else the call raises.
    """
    fitted = None
    while True:
        try:
            return call(size), fitted
        except RuntimeError as error:
            if not is_out_of_memory(error) or size == 1:
                raise
        # Outside of the handler, because what had been allocated hangs on the error.
        give_back()
        size = fitted = size // 2


def write_in_parts(engine: TransformersEngine, write: Callable[[], Result], rows: int, at_once: AtOnce) -> Result:
    """Let an engine write, with fewer rows side by side where memory runs out.

    Args:
        engine: has a smaller batch size meanwhile.
        write: lets it write all rows.
        rows: how many they are.
        at_once: what is known, and gets to know what fitted.

    Raises:
        RuntimeError: if a single row does not fit.
    """
    most = engine.batch_size

    def call(size: int) -> Result:
        engine.batch_size = size
        return write()

    written, fitted = in_parts(call, max(1, min(rows, at_once.written or most)))
    engine.batch_size = most
    at_once.written = fitted or at_once.written
    return written
