"""Where stages run: in this process, or in the actors of a Ray cluster. The only room that imports ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tft.cluster.inline import InlineExecutor
from tft.errors import PrerequisiteError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tft.config import CampaignConfig
    from tft.config.campaign import EngineConfig
    from tft.ports import Executor
    from tft.preparation import Served

__all__ = ["open_executor", "open_serving"]

_SERVING = {
    # One loop a process: a request is a few milliseconds of work, and handing it between threads costs as much.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000",
    # It would print a trace of C++ when it is asked to end.
    "RAY_DISABLE_FAILURE_SIGNAL_HANDLER": "1",
}
"""What Ray reads from the environment when it is imported."""


def open_executor(config: CampaignConfig, engine: EngineConfig) -> Executor:
    """Open the executor a config asks for.

    Args:
        config: the campaign.
        engine: of its tutor; it decides who gets which GPU.

    Raises:
        PrerequisiteError: if the cluster cannot be started or joined.
        UserError: if its GPUs do not suffice.
    """
    if config.cluster.type == "inline":
        return InlineExecutor(config.threads)
    from tft.cluster.ray import RayExecutor

    executor = RayExecutor(config.cluster, config.threads, engine, len(config.students), config.training.workers)
    # The tutor first: what it needs on one machine, students would scatter over.
    executor.prepare(["tutor", *(f"student/{student.id}" for student in config.students)])
    return executor


def open_serving(
    served: Served, key: str, host: str, port: int, address: str | None = None
) -> AbstractContextManager[str]:
    """Serve a tutor while the block runs; see :func:`tft.cluster.serving.serving`.

    Raises:
        PrerequisiteError: if Ray Serve is not installed.
    """
    for name, value in _SERVING.items():
        os.environ.setdefault(name, value)
    try:
        from tft.cluster.serving import serving
    except ImportError as error:
        raise PrerequisiteError(
            f"serving needs Ray Serve, which cannot be imported: {error}. Install tutorial-fine-tuning[serve]"
        ) from error
    return serving(served, key, host, port, address)
