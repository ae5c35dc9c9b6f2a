"""Ray: one actor a place. A stage whose actor died runs again in a new one; stages are functions of records, and
the ledger has what came before.
"""

from __future__ import annotations

import logging
import math
import os
import uuid
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import ray
from ray.exceptions import (
    ActorDiedError,
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    WorkerCrashedError,
)

from tft.cluster.performing import TutorLostError, WorkerLostError, perform, threads_of
from tft.errors import EngineLostError, PrerequisiteError, StageError, TFTError, UserError
from tft.placement import GPU_SHARE, share_out
from tft.tutor import TutorRef, open_tutor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tft.config.campaign import EngineConfig, RayCluster, ThreadsConfig

Result = TypeVar("Result")
_LOGICAL_CPUS = 8
NAMESPACE = "tft"
ANSWERS = "answers"
"""Name of the threads of the tutor's worker that answer stages elsewhere while it runs one of its own."""
DEATHS = (ActorDiedError, ActorUnavailableError, NodeDiedError, OutOfMemoryError, WorkerCrashedError)


def start_ray(address: str | None, cpus: int = 0) -> None:
    """Join the cluster at an address; for None, start one that only this machine reaches.

    Args:
        address: of the cluster.
        cpus: logical CPUs that one started here has at least.

    Raises:
        PrerequisiteError: if that cannot be done.
    """
    # A place without a GPU sees none.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    # Ray counts who uses it, unless it is told not to.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Threads of a stage that wait for each other give their core to another stage instead of spinning.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    local: dict[str, Any] = {}
    if address is None:
        # Logical CPUs only keep actors apart; threads are set by each stage itself.
        local = {"num_cpus": max(_LOGICAL_CPUS, os.cpu_count() or 1, cpus), "include_dashboard": False,
                 "_node_ip_address": "127.0.0.1"}  # fmt: skip
    try:
        ray.init(
            address=address or "local", logging_level=logging.ERROR, log_to_driver=False, namespace=NAMESPACE, **local
        )
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise PrerequisiteError(
            f"Ray could not be {'joined at ' + address if address else 'started'}: {error}. "
            "Try `tft doctor`, or cluster: inline to run a campaign without it"
        ) from error


class Worker:
    """Lives in an actor and runs the stages of one place.

    Args:
        share: of a GPU that it is held to; None where it is held to nothing.
    """

    def __init__(self, share: float | None = None) -> None:
        # Every stage needs it. Imported now, it does not hold up the first one.
        import transformers.modeling_utils  # noqa: F401

        from tft.student.shortage import hold_to

        self._shares = share is not None
        if share is not None:
            hold_to(share)

    def run(self, stage: Callable[[Any], Result], request: Any, threads: int) -> tuple[Result, float]:
        """Run a stage; what it leaves of a GPU that others share is theirs."""
        from tft.student.shortage import give_back

        done = perform(stage, request, threads)
        if self._shares:
            give_back()
        return done

    def answer(self, tutor: TutorRef, method: str, arguments: tuple[Any, ...], threads: int) -> Any:
        """Let the tutor that lives here do something for a stage that runs elsewhere."""
        return perform(partial(_answer, tutor, method), arguments, threads)[0]


def _answer(tutor: TutorRef, method: str, arguments: tuple[Any, ...]) -> Any:
    return getattr(open_tutor(tutor).engine, method)(*arguments)


def _find_lost(place: str, stage: Callable[[Any], Any], error: Exception) -> tuple[str, str]:
    """Say at which place a worker died, or its engine, and why.

    Raises:
        TFTError: if that is what the stage raised.
        StageError: if it failed in a way this package does not know.
    """
    if not isinstance(error, RayTaskError):
        return place, tell_death(error)
    cause = error.cause
    if isinstance(cause, TutorLostError):
        # The one that reached for it is well.
        return "tutor", str(cause)
    if isinstance(cause, WorkerLostError | EngineLostError):
        return place, str(cause)
    if isinstance(cause, TFTError):
        raise cause from None
    raise StageError(f"{stage.__name__} at {place} failed: {error}") from error


def tell_death(error: Exception) -> str:
    """Say why a worker died; where memory ran out, what helps."""
    if not isinstance(error, OutOfMemoryError):
        return str(error)
    return (
        f"{str(error).splitlines()[0]}\n    Lower training.micro_batch, or let one place work at a time with "
        "cluster: inline; `tft validate` estimates what each student takes"
    )


class RayExecutor:
    """Runs stages in actors.

    Args:
        config: the cluster.
        threads: a stage's threads.
        engine: of the tutor.
        students: how many there are.
        workers: that train each of them.

    Raises:
        PrerequisiteError: if the cluster cannot be started or joined.
        UserError: if its GPUs do not suffice.
    """

    def __init__(
        self, config: RayCluster, threads: ThreadsConfig, engine: EngineConfig, students: int, workers: int = 1
    ) -> None:
        self._config = config
        self._threads = threads
        # One engine takes what comes while it works; the others would have to wait for it.
        self._callers = {ANSWERS: students} if engine.type == "vllm" else {}
        self._actors: dict[str, Any] = {}
        self.name = f"tutor-{uuid.uuid4().hex[:12]}"
        """Of the tutor's worker, so that others find it."""
        self._joined = config.address is not None or ray.is_initialized()
        if not ray.is_initialized():
            # A student's own worker waits while others train it.
            each = config.student_cpus * (1 if workers == 1 else 1 + workers)
            start_ray(config.address, math.ceil(config.tutor_cpus + students * each))
        try:
            nodes = [round(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
            self._placement = share_out(config, engine, students, nodes, workers)
        except UserError:
            self._shut_down()
            raise

    async def run(
        self, place: str, stage: Callable[[Any], Result], request: Any, workers: int = 1
    ) -> tuple[Result, float]:
        """Run a stage in the actor of a place, or in several workers that are started for it.

        Raises:
            StageError: if the actor died more often than the config allows, or the stage failed in a way this
                package does not know.
        """
        for retry in range(self._config.retries + 1):
            if workers == 1:
                self.prepare([place])
            # Several may see one death; who is not among these any more has a successor.
            there = dict(self._actors)
            try:
                answer: tuple[Result, float] = await (
                    self._alone(place, stage, request) if workers == 1
                    else self._together(place, stage, request, workers)
                )  # fmt: skip
            except (RayTaskError, *DEATHS) as error:
                lost, why = _find_lost(place, stage, error)
                self._give_up(lost, there.get(lost))
                if retry == self._config.retries:
                    told = f"the worker at {lost} died {retry + 1} times while running {stage.__name__}: {why}"
                    raise StageError(told) from error
                if lost == "tutor":
                    # Students reach for it by its name.
                    self.prepare([lost])
            else:
                return answer
        raise AssertionError("the last retry returns or raises")

    async def _alone(self, place: str, stage: Callable[[Any], Any], request: Any) -> Any:
        return await self._actor(place).run.remote(stage, request, threads_of(place, self._threads))

    async def _together(self, place: str, stage: Callable[[Any], Any], request: Any, workers: int) -> Any:
        """Start workers for a stage, and end them with it."""
        from tft.cluster.several import Crew, Leader

        gpus = self._placement.student
        if gpus and place in self._actors:
            # The GPU of its own worker is that of one of these, meanwhile.
            ray.kill(self._actors.pop(place))
        crew = Crew(workers, self._config.student_cpus, gpus, threads_of(place, self._threads),
                    loopback=self._config.address is None)  # fmt: skip
        leader = ray.remote(Leader).options(num_cpus=0, max_restarts=0, max_task_retries=0).remote()
        try:
            return await leader.run.remote(stage, request, crew)
        finally:
            ray.kill(leader)

    def _give_up(self, place: str, actor: Any) -> None:
        """Give up a worker that died, or whose engine did, so that the next one may have its name."""
        if actor is not None and self._actors.get(place) is actor:
            ray.kill(self._actors.pop(place))

    def prepare(self, places: Iterable[str]) -> None:
        """Begin to start the actors of places, so that nobody waits for them later."""
        for place in places:
            self._actor(place)

    def reach(self, tutor: TutorRef) -> TutorRef:
        """Let students reach a tutor in its own worker where it runs on vLLM or a GPU; others they open."""
        elsewhere = tutor.engine.type == "vllm" or (tutor.engine.type == "transformers" and self._placement.tutor > 0)
        return replace(tutor, actor_path=self.name) if elsewhere else tutor

    def _actor(self, place: str) -> Any:
        if place not in self._actors:
            tutor = place == "tutor"
            gpus = self._placement.tutor if tutor else self._placement.student
            share = gpus if 0 < gpus < 1 else None
            shared = {} if share is None else {"runtime_env": {"env_vars": {GPU_SHARE: str(share)}}}
            self._actors[place] = (
                ray.remote(concurrency_groups=self._callers if tutor else {})(Worker)
                .options(
                    num_cpus=self._config.tutor_cpus if tutor else self._config.student_cpus,
                    num_gpus=gpus,
                    **shared,
                    **({"name": self.name, "namespace": NAMESPACE} if tutor else {}),
                    # Retries are ours: the driver decides what runs again.
                    max_restarts=0,
                    max_task_retries=0,
                )
                # A tutor's engine keeps to its share itself, or would not go on with less.
                .remote(None if tutor else share)
            )
        return self._actors[place]

    async def close(self) -> None:
        """End the actors, and the local cluster if it was started here."""
        for actor in self._actors.values():
            ray.kill(actor)
        self._actors.clear()
        self._shut_down()

    def _shut_down(self) -> None:
        if not self._joined:
            ray.shutdown()
