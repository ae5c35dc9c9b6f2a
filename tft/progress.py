"""Shows a campaign while it runs: live lines on a terminal, plain lines in a pipe, JSON lines for programs.

Left out on purpose: time left. How many cycles a student needs is what a campaign finds out.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Protocol, TextIO

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress, TaskID


class Watch(Protocol):
    """Sees a campaign pass, from entering it to leaving it."""

    def __enter__(self) -> Watch: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def began(self, stage: str, student: str, cycle: int) -> None:
        """A stage begins."""

    def ended(self, stage: str, student: str, cycle: int, seconds: float, note: str) -> None:
        """A stage has ended; 0 seconds where nothing had to be done for it."""


def make_watch(json_lines: bool, stream: TextIO) -> Watch:
    """Make the watch that fits a stream.

    Args:
        json_lines: one JSON object per event, whatever the stream is.
        stream: where it shows; a terminal gets live lines.
    """
    if json_lines:
        return JSONWatch(stream)
    return LiveWatch(stream) if stream.isatty() else LineWatch(stream)


class LineWatch:
    """One line a stage, when it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._start = time.monotonic()

    def __enter__(self) -> LineWatch:
        self._start = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def elapsed(self) -> float:
        """Give the seconds since this watch was entered."""
        return time.monotonic() - self._start

    def began(self, stage: str, student: str, cycle: int) -> None:
        """Lines are for what is done."""

    def ended(self, stage: str, student: str, cycle: int, seconds: float, note: str) -> None:
        """Write the line."""
        self._write(_line(self.elapsed(), stage, student, cycle, seconds, note))

    def _write(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class JSONWatch(LineWatch):
    """One JSON object an event."""

    def began(self, stage: str, student: str, cycle: int) -> None:
        """Write the event."""
        self._event("began", stage, student, cycle)

    def ended(self, stage: str, student: str, cycle: int, seconds: float, note: str) -> None:
        """Write the event."""
        self._event("ended", stage, student, cycle, seconds=round(seconds, 3), note=note)

    def _event(self, kind: str, stage: str, student: str, cycle: int, **more: Any) -> None:
        place = {"stage": stage, "student": student or None, "cycle": cycle}
        event = {"event": kind, **place, "elapsed": round(self.elapsed(), 3), **more}
        self._write(json.dumps(event, ensure_ascii=False))


class LiveWatch(LineWatch):
    """What is done, line by line, and under it what runs now, with a clock."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._running: dict[tuple[str, str, int], TaskID] = {}
        self._progress = _make_progress(stream)

    def __enter__(self) -> LiveWatch:
        super().__enter__()
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()
        super().__exit__(kind, error, trace)

    def began(self, stage: str, student: str, cycle: int) -> None:
        """Show it under the lines."""
        self._running[stage, student, cycle] = self._progress.add_task(_place(stage, student, cycle), total=None)

    def ended(self, stage: str, student: str, cycle: int, seconds: float, note: str) -> None:
        """Move it up."""
        task = self._running.pop((stage, student, cycle), None)
        if task is not None:
            self._progress.remove_task(task)
        super().ended(stage, student, cycle, seconds, note)

    def _write(self, line: str) -> None:
        self._progress.console.print(line, markup=False, highlight=False)


def _make_progress(stream: TextIO) -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    # Four times a second: the cores are busy with better things.
    return Progress(*columns, console=Console(file=stream), transient=True, refresh_per_second=4)


def _place(stage: str, student: str, cycle: int) -> str:
    when = f"cycle {cycle}" if cycle else "       "
    return f"{when}  {student or '·':<12} {stage:<10}"


def _line(elapsed: float, stage: str, student: str, cycle: int, seconds: float, note: str) -> str:
    minutes, rest = divmod(int(elapsed), 60)
    took = f"  ({seconds:.1f} s)" if seconds else ""
    return f"{minutes:>3}:{rest:02d}  {_place(stage, student, cycle)} {note}{took}".rstrip()
