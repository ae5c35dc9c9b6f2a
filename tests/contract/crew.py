"""Workers for tests: processes that train together, in a module of their own, so that they import little."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import distributed
from torch.multiprocessing import start_processes

from tft.records import dump
from tft.training import TrainRequest, loop, train


class InterruptedCourseError(Exception):
    """Ends a course in the middle."""


def train_together(count: int, folder: Path, jobs: dict[str, tuple[TrainRequest, str]]) -> list[dict[str, Any]]:
    """Let workers do jobs, one after the other; give what each of them found out, by job.

    Args:
        count: of workers.
        folder: theirs.
        jobs: what to train, and what happens meanwhile: ``interrupted``, ``short of memory`` or nothing.
    """
    with patch.dict(os.environ, {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}):
        start_processes(_work, (count, folder, jobs), count)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


def _work(rank: int, count: int, folder: Path, jobs: dict[str, tuple[TrainRequest, str]]) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", f"file://{folder}/meeting", timedelta(seconds=60), world_size=count, rank=rank
    )
    found = {}
    for name, (request, what) in jobs.items():
        told = replace(request, folder_path=str(folder / name))
        if what == "interrupted":
            soon = patch.object(loop, "_SNAPSHOT_EVERY", 0.0)
            with soon, taking(most=len(told.lessons) // 4), contextlib.suppress(InterruptedCourseError):
                train(told)
        with taking() as losses, short_of_memory(what == "short of memory" and rank == 1):
            made = train(told)
        found[name] = {"losses": losses, "made": dump(made)}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


class taking:  # noqa: N801
    """Write down the loss of every step, and stop before one."""

    def __init__(self, most: int | None = None) -> None:
        self._losses: list[float] = []
        take = loop.Course.take

        def noted(course: loop.Course, loss: float) -> None:
            if len(self._losses) == most:
                raise InterruptedCourseError
            self._losses.append(loss)
            take(course, loss)

        self._patch = patch.object(loop.Course, "take", noted)

    def __enter__(self) -> list[float]:
        self._patch.start()
        return self._losses

    def __exit__(self, *_: object) -> None:
        self._patch.stop()


def short_of_memory(here: bool) -> Any:
    """Let memory run out once, where more than two rows are read."""
    predict, failed = loop.Learner.predict, [] if here else [True]

    def reading(learner: Any, rows: Any) -> Any:
        if not failed and len(rows) > 2 and torch.is_grad_enabled():
            failed.append(True)
            raise torch.OutOfMemoryError("none left")
        return predict(learner, rows)

    return patch.object(loop.Learner, "predict", reading)
