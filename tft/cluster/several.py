"""Several workers for one stage, started by Ray Train, which gives them a process group and ends all when one dies."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from ray.exceptions import RayActorError
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig, TrainingFailedError, WorkerGroupError
from ray.train.torch import TorchConfig, TorchTrainer

from tft.cluster.performing import TutorLostError, WorkerLostError, perform
from tft.errors import TFTError

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")
_SETTINGS = {
    # Seconds between two looks at whether they have ended.
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    # Paths of a request are seen from where everything else is seen from.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    # Seconds to wait for all of them; those that a cluster cannot hold are an error then.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "600",
}
"""What Ray Train reads from the environment of whoever starts it."""

_PATIENCE = 24 * 3600
"""Seconds that workers wait for the first, while it asks the tutor; one that dies is noticed at once."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Workers to start."""

    count: int
    cpus: float
    """Of each."""
    gpus: float
    """Of each."""
    threads: int
    """Of each."""
    loopback: bool
    """Whether all are on this machine, and speak with nobody else."""


class Leader:
    """Lives in an actor of its own, and waits there for the workers that it started; they end with it."""

    def run(self, stage: Callable[[Any], Result], request: Any, crew: Crew) -> tuple[Result, float]:
        """Run a stage in all workers; give what the first of them returned, and how long it was busy.

        Args:
            stage: a module-level function; the workers find each other in ``torch.distributed``.
            request: a record with a ``folder_path``, beside which Ray Train may write.
            crew: the workers.

        Raises:
            TFTError: if a worker did.
            WorkerLostError: if a worker died.
        """
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        aside = Path(request.folder_path).with_name(f".{Path(request.folder_path).name}.workers")
        aside.mkdir(parents=True, exist_ok=True)
        trainer = TorchTrainer(
            _work,
            train_loop_config={"stage": stage, "request": request, "threads": crew.threads},
            scaling_config=ScalingConfig(
                num_workers=crew.count,
                use_gpu=crew.gpus > 0,
                resources_per_worker={"CPU": crew.cpus, **({"GPU": crew.gpus} if crew.gpus else {})},
            ),
            torch_config=TorchConfig(timeout_s=_PATIENCE),
            run_config=RunConfig(
                name="run",
                storage_path=str(aside),
                # Retries are ours: the driver decides what runs again.
                failure_config=FailureConfig(max_failures=0, max_preemption_failures=0, controller_failure_limit=0),
                worker_runtime_env={"env_vars": _loopback() if crew.loopback else {}},
            ),
        )
        try:
            found: tuple[Result, float] = trainer.fit().return_value
        except TrainingFailedError as error:
            raise find_cause(error) from None
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return found


def _work(told: dict[str, Any]) -> tuple[Any, float]:
    return perform(told["stage"], told["request"], told["threads"])


def _loopback() -> dict[str, str]:
    return {"GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0"}


def find_cause(error: TrainingFailedError) -> Exception:
    """Find out why workers failed: an error of ours, a worker that died, a tutor that did, or anything else."""
    if isinstance(error, ControllerError) and isinstance(error.controller_failure, RayActorError):
        return WorkerLostError(str(error))
    failures = list(error.worker_failures.values()) if isinstance(error, WorkerGroupError) else []
    # One that reached for the tutor and found it dead is well itself.
    told = [it for kind in (TFTError, TutorLostError) for it in failures if isinstance(it, kind)]
    if told:
        return told[0]
    return WorkerLostError(str(error)) if any(map(_is_death, failures)) else error


def _is_death(error: Exception) -> bool:
    """Say whether a worker is gone; the others notice by a connection that was closed."""
    gone = hasattr(error, "health_check_failure") or isinstance(error, torch.distributed.DistError)
    return gone or (isinstance(error, RuntimeError) and "gloo" in str(error))
