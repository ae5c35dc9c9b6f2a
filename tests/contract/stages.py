"""Stages for executors: in a module of their own, so that a worker imports little to run them."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tft.errors import EngineLostError


def count(request: dict[str, int]) -> int:
    return sum(request.values())


def threads(_: object) -> int:
    import torch

    return torch.get_num_threads()


def doze(seconds: float) -> float:
    start = time.time()
    time.sleep(seconds)
    return start


def where(_: object) -> int:
    return os.getpid()


def fail(error: Exception) -> None:
    raise error


def die_until(request: tuple[str, int]) -> int:
    """End the process at once until there are so many marks in a folder."""
    folder, times = Path(request[0]), request[1]
    marks = len(list(folder.iterdir()))
    if marks < times:
        (folder / f"mark-{marks}").touch()
        os._exit(1)
    return marks


def fall_until(request: tuple[str, int]) -> int:
    """Let an engine fall over until there are so many marks in a folder."""
    folder, times = Path(request[0]), request[1]
    marks = len(list(folder.iterdir()))
    if marks < times:
        (folder / f"mark-{marks}").touch()
        raise EngineLostError("it fell over")
    return marks


def seen_gpus(_: object) -> tuple[str | None, str | None]:
    """Say which GPUs this process may use, and how much of one."""
    return os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("TFT_GPU_SHARE")


def ask_a_tutor(tutor: Any) -> int:
    """Reach for a tutor."""
    from tft.tutor import open_engine

    return len(open_engine(tutor).logprobs([[5, 6, 7]])[0])


def ask_a_tutor_that_dies(request: tuple[Any, str]) -> int:
    """Reach for a tutor whose worker ends over the first call, and answers the second."""
    import ray

    tutor, folder = request
    mark = Path(folder) / "mark"
    if not mark.exists():
        mark.touch()
        ray.get_actor(tutor.actor_path, namespace="tft").run.remote(end, None, 1)
    return ask_a_tutor(tutor)


def ask_a_tutor_that_falls(request: tuple[Any, str]) -> int:
    """Reach for a tutor on vLLM that falls over the first call, and answers the second."""
    import ray

    tutor, folder = request
    mark = Path(folder) / "mark"
    if not mark.exists():
        mark.touch()
        worker = ray.get_actor(tutor.actor_path, namespace="tft")
        ray.get(worker.run.remote(spoil, replace(tutor, actor_path=None), 1))
    return ask_a_tutor(tutor)


def look_up(tutor: Any) -> list[Any] | None:
    """Look for what a tutor never answered."""
    from tft.tutor import open_tutor

    found: list[Any] | None = open_tutor(tutor)._cache.get("nothing")
    return found


def read_texts(tutor: Any) -> set[str | None]:
    """Say what a tutor on vLLM writes candidates as while it scores."""
    from tft.tutor import open_tutor

    (found,) = open_tutor(tutor).engine._read([[5, 6, 7]], 4)  # type: ignore[attr-defined]
    return {it.decoded_token for at in found.prompt_logprobs[1:] for it in at.values()}


def spoil(tutor: Any) -> None:
    """Let the next step of a tutor on vLLM fail."""
    from tft.tutor import open_tutor

    def fail_a_step() -> None:
        raise RuntimeError("CUDA error")

    open_tutor(tutor).engine.llm.llm_engine.step = fail_a_step  # type: ignore[attr-defined]


def end(_: object) -> None:
    os._exit(1)


def end_before_others(request: tuple[str, int]) -> None:
    """End the process once so many others wait for it; the second time, do nothing."""
    folder, others = Path(request[0]), request[1]
    if (folder / "ended").exists():
        return
    while len(list(folder.iterdir())) < others:
        time.sleep(0.05)
    # They have said so, and are about to.
    time.sleep(1)
    (folder / "ended").touch()
    os._exit(1)


def wait_for_a_tutor(request: tuple[Any, str]) -> int:
    """Reach for a tutor, and say so with a mark."""
    Path(request[1]).touch()
    return ask_a_tutor(request[0])


@dataclass(frozen=True)
class Meeting:
    """Where workers meet."""

    folder_path: str


def meet(request: Meeting) -> tuple[list[int], int]:
    """Say who is here, and how many threads each has; the first time, one of them ends instead."""
    import torch
    from torch import distributed

    rank, mark = distributed.get_rank(), Path(request.folder_path).with_name("mark")
    if rank == 1 and not mark.exists():
        mark.touch()
        os._exit(1)
    found: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(found, rank)
    return found, torch.get_num_threads()
