"""Ray Serve: the replicas of a served tutor, and the front that its clients come to.

The front is one process without a model: it keeps the key, the turns and the counts. Replicas come and go behind
it: Ray Serve starts more while requests wait, replaces one that hangs, and lets one that is to end finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.serve.exceptions import RayServeException

from tft.cluster.manifest import APPLICATION
from tft.cluster.ray import start_ray
from tft.config.cards import SERVE_KEY, ServeUse
from tft.config.reading import parse_config
from tft.errors import PrerequisiteError, StageError
from tft.preparation import Served, find_served
from tft.serving import Asked, Desk, Front, build_app, key_digest
from tft.tutor import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tft.config.cards import ServeConfig
    from tft.ports import Generation
    from tft.tutor import TutorRef

_EVERY = 5.0
"""Seconds between two looks at a replica; after three bad ones it is replaced."""
_LOOK = 10.0
"""Seconds a look may take."""
_LOOKERS = 8
_FRONT_AT_ONCE = 100_000
_FRONT_CPUS = 0.5
_QUIET = {"enable_access_log": False, "log_level": "WARNING"}


class Replica:
    """One copy of the model."""

    def __init__(self, tutor: TutorRef, config: ServeConfig) -> None:
        import torch

        torch.set_num_threads(config.threads)
        self._desk = Desk(open_engine(tutor), callers=config.ongoing)

    async def generate(self, asked: Asked) -> Generation:
        """Answer a conversation."""
        return await asyncio.wrap_future(self._desk.generate(asked))

    async def logprobs(self, row: list[int], k: int) -> list[dict[int, float]]:
        """Score the tokens of a row, but its first."""
        return await asyncio.wrap_future(self._desk.logprobs(row, k))

    def check_health(self) -> None:
        """Raise if the engine hangs; Ray Serve asks, and replaces a replica that does."""
        self._desk.check()


class Reception:
    """The front: it takes requests in, and hands them to the replicas."""

    def __init__(self, replicas: Any, front: Front) -> None:
        self._replicas = replicas
        self._front = front
        self._checked = -_EVERY

    def __serve_build_asgi_app__(self) -> Any:
        """Build the page once the handle is there."""
        return build_app(self._front, self)

    async def generate(self, asked: Asked) -> Generation:
        """Answer a conversation."""
        answer: Generation = await self._replicas.generate.remote(asked)
        return answer

    async def logprobs(self, row: list[int], k: int) -> list[dict[int, float]]:
        """Score the tokens of a row, but its first."""
        answer: list[dict[int, float]] = await self._replicas.logprobs.remote(row, k)
        return answer

    async def check(self) -> None:
        """Raise if a replica that is asked is not well, or does not say so in time; asked every few seconds at most."""
        if time.monotonic() < self._checked + _EVERY:
            return
        try:
            async with asyncio.timeout(_LOOK):
                await self._replicas.check_health.remote()
        except TimeoutError:
            raise StageError(f"no replica answered within {_LOOK:g} s") from None
        self._checked = time.monotonic()


def application(arguments: dict[str, Any]) -> serve.Application:
    """Build what a Ray Serve config names as ``import_path``; its key is in the environment.

    Args:
        arguments: its ``args``: a :class:`~tft.config.cards.ServeUse` as plain values.

    Raises:
        PrerequisiteError: if the environment has no key, or the model cannot be reached.
        UserError: if a name leads nowhere.
    """
    key = os.environ.get(SERVE_KEY)
    if not key:
        raise PrerequisiteError(f"the environment variable {SERVE_KEY} has no key; nothing is served without one")
    return build_application(find_served(parse_config(ServeUse, arguments, "args")), key_digest(key))


def build_application(served: Served, digest: str) -> serve.Application:
    """Build the application that serves a tutor.

    Args:
        served: the tutor.
        digest: of the key.
    """
    config = served.config
    scaling: dict[str, Any] = {"num_replicas": config.replicas}
    if config.at_most > config.replicas:
        scaling = {"autoscaling_config": {
            "min_replicas": config.replicas, "max_replicas": config.at_most,
            "target_ongoing_requests": config.ongoing / 2,
        }}  # fmt: skip
    replicas = serve.deployment(
        Replica,
        name="tutor",
        # A few more than the front lets in, for those who ask how it is.
        max_ongoing_requests=config.ongoing + _LOOKERS,
        ray_actor_options={"num_cpus": config.cpus, "num_gpus": _gpus(served)},
        health_check_period_s=_EVERY,
        health_check_timeout_s=_LOOK,
        graceful_shutdown_timeout_s=config.drain,
        max_constructor_retry_count=2,
        **scaling,
    )
    front = serve.deployment(
        serve.ingress()(Reception),
        name="front",
        num_replicas=1,
        max_ongoing_requests=_FRONT_AT_ONCE,
        ray_actor_options={"num_cpus": _FRONT_CPUS},
        graceful_shutdown_timeout_s=config.drain,
    )
    page = Front(served.name, digest, config.at_most * config.ongoing, served.tutor.engine.template)
    return front.bind(replicas.bind(served.tutor, config), page)


def _gpus(served: Served) -> float:
    """Say how many GPUs a copy takes: none where there are none."""
    if served.config.gpus is None and not (ray.is_initialized() and ray.cluster_resources().get("GPU")):
        return 0.0
    return served.gpus


@contextmanager
def serving(served: Served, key: str, host: str, port: int, address: str | None = None) -> Iterator[str]:
    """Serve a tutor while the block runs; then let it finish what it began, and end what was started here.

    Args:
        served: the tutor.
        key: without which nobody is answered; only its digest leaves this process.
        host: to listen at; ``127.0.0.1`` is this machine alone.
        port: to listen at.
        address: of a cluster to join; None starts one on this machine.

    Yields:
        Its address, up to and with ``/v1``.

    Raises:
        PrerequisiteError: if it cannot be started.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    if address is None:
        _refuse_taken(host, port)
    start_ray(address)
    try:
        _refuse_what_does_not_fit(served)
        with _running(served, key_digest(key), host, port):
            yield f"http://{host}:{port}/v1"
    finally:
        ray.shutdown()


@contextmanager
def _running(served: Served, digest: str, host: str, port: int) -> Iterator[None]:
    if serve.status().applications:
        raise PrerequisiteError("this cluster serves something already; one tutor a cluster is served by tft")
    try:
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port}, logging_config=_QUIET)
            serve.run(build_application(served, digest), name=APPLICATION, route_prefix="/", logging_config=_QUIET)
        except (RuntimeError, RayServeException, TimeoutError) as error:
            # Ray's errors show where they were raised; what was raised is what helps.
            why = getattr(error, "cause", None) or error
            raise PrerequisiteError(f"{served.name} cannot be served: {why}") from error
        yield
    finally:
        # The replicas finish within their own time, which may be longer than Ray waits for that.
        serve.delete(APPLICATION, _blocking=False)
        over = time.monotonic() + served.config.drain
        while serve.status().applications and time.monotonic() < over:
            time.sleep(0.2)
        serve.shutdown()


def _refuse_taken(host: str, port: int) -> None:
    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise PrerequisiteError(f"nobody can listen at {host}:{port}: {error}; name another with --port") from error


def _refuse_what_does_not_fit(served: Served) -> None:
    """Refuse what Ray would wait for in silence: more processors or GPUs than the cluster has."""
    there = ray.cluster_resources()
    wanted = {
        "CPU": _FRONT_CPUS + served.config.replicas * served.config.cpus,
        "GPU": served.config.replicas * _gpus(served),
    }
    for kind, amount in wanted.items():
        if amount > there.get(kind, 0):
            raise PrerequisiteError(
                f"{served.config.replicas} copies of {served.name} need {amount:g} {kind}s, and the cluster has "
                f"{there.get(kind, 0):g}; lower serve.replicas, serve.cpus or serve.gpus"
            )
