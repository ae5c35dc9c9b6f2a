"""vLLM's core in a process of its own, and the process that started it: each notices when the other was killed.

In vLLM 0.29 the workers watch the core, and the core watches nobody: where its parent was killed, it would keep the
GPUs. And who waits for a core that was killed would wait for ever. It imports vllm, and is imported where vLLM is.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from vllm.v1.engine.core_client import SyncMPClient
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

if TYPE_CHECKING:
    import queue


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


def watch_core(client: Any) -> None:
    """Let the next step fail once the core is gone; nothing is to be watched where it lives in this process.

    Args:
        client: of the core, as vLLM's engine has it.
    """
    if isinstance(client, SyncMPClient):
        arguments = (client.resources.engine_manager.sentinels(), client.outputs_queue)
        threading.Thread(target=_fail_with, args=arguments, name="core", daemon=True).start()


def _fail_with(sentinels: list[int], outputs: queue.Queue[Any]) -> None:
    connection.wait(sentinels)
    outputs.put(EngineDeadError())
