"""Everything in this process, one stage after the other: for debugging, with the same results as Ray."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from tft.cluster.performing import perform, threads_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.config.campaign import ThreadsConfig
    from tft.tutor import TutorRef

Result = TypeVar("Result")


class InlineExecutor:
    """Runs stages here and now."""

    def __init__(self, threads: ThreadsConfig) -> None:
        self._threads = threads

    async def run(
        self, place: str, stage: Callable[[Any], Result], request: Any, workers: int = 1
    ) -> tuple[Result, float]:
        """Run a stage; the event loop waits for it. A config that wants several workers is refused before."""
        assert workers == 1
        if threading.current_thread() is not threading.main_thread():
            return perform(stage, request, threads_of(place, self._threads))
        # asyncio turns Ctrl-C into a cancellation that would wait for the stage to end.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return perform(stage, request, threads_of(place, self._threads))
        finally:
            signal.signal(signal.SIGINT, before)

    def reach(self, tutor: TutorRef) -> TutorRef:
        """Everything is here."""
        return tutor

    async def close(self) -> None:
        """Nothing was started."""
