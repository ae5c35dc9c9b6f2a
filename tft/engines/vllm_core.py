"""vLLM's core in a process of its own, which ends when the process that started it does, however that ends.

In vLLM 0.29 the workers watch the core, and the core watches nobody: where its parent was killed, it would keep the
GPUs. It imports vllm, and is imported where vLLM is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading

from vllm.v1.executor.multiproc_executor import MultiprocExecutor


class BoundExecutor(MultiprocExecutor):  # type: ignore[misc]  # vLLM need not be here to be checked
    """Shares a model over workers, as vLLM does by itself; made in the core's process, before it loads anything."""

    def _init_executor(self) -> None:
        threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
        super()._init_executor()


def _end_with_parent() -> None:
    """Wait until the process that started this one is gone; then end the workers, and this one."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    for worker in multiprocessing.active_children():
        worker.kill()
    os.kill(os.getpid(), signal.SIGKILL)
