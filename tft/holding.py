"""Who holds a run directory: one process runs it, and others may look whether one does without being in its way."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

from tft.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LOCK = ".lock"
_LOOKS = 100
"""How often to try again while others look; each look takes an instant."""
_PAUSE = 0.02


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold a run directory, so that two processes do not continue the same run.

    Raises:
        PrerequisiteError: if another process runs it.
    """
    with (folder / _LOCK).open("w") as file:
        for _ in range(_LOOKS):
            if _take(file, fcntl.LOCK_EX):
                break
            # Who runs it shares it with nobody; who only looks does.
            if not _take(file, fcntl.LOCK_SH):
                raise _is_run(folder)
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(_PAUSE)
        else:
            raise _is_run(folder)
        yield


def is_held(folder: Path) -> bool:
    """Say whether a process runs a run directory."""
    lock = folder / _LOCK
    if not lock.is_file():
        return False
    with lock.open() as file:
        return not _take(file, fcntl.LOCK_SH)


def _take(file: IO[str], how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_run(folder: Path) -> PrerequisiteError:
    return PrerequisiteError(
        f"{folder} is being run by another process; wait for it, or name another directory with --out"
    )
