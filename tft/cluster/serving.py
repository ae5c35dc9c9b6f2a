"""Ray Serve: the replicas of a served tutor, and the front that its clients come to.

The front is one process without a model: it keeps the key, the turns and the counts. Replicas come and go behind
it: Ray Serve starts more while requests wait, replaces one that hangs, and lets one that is to end finish.
"""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray
from ray import serve
from ray.serve.exceptions import RayServeException

from tft import plugins
from tft.cluster.ray import start_ray
from tft.config.cards import ServeUse
from tft.config.reading import parse_config
from tft.errors import PrerequisiteError
from tft.preparation import Served, find_served
from tft.serving import Asked, Desk, Front, build_app, key_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tft.ports import Generation
    from tft.tutor import TutorRef

KEY = "TFT_SERVE_KEY"
"""Environment variable that holds the key of a served tutor."""
_EVERY = 5.0
"""Seconds between two looks at a replica; after three bad ones it is replaced."""
_LOOK = 10.0
"""Seconds a look may take."""
_FRONT_AT_ONCE = 100_000
_QUIET = {"enable_access_log": False, "log_level": "WARNING"}
_APPLICATION = "tft-tutor"


class Replica:
    """One copy of the model."""

    def __init__(self, tutor: TutorRef, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        engine = plugins.load("tft.engines", tutor.engine.type).open(tutor.model_path, tutor.fingerprint, tutor.engine)
        self._desk = Desk(engine)

    async def generate(self, asked: Asked) -> Generation:
        """Answer a conversation."""
        return await asyncio.wrap_future(self._desk.generate(asked))

    async def logprobs(self, row: list[int]) -> list[float]:
        """Score the tokens of a row, but its first."""
        return await asyncio.wrap_future(self._desk.logprobs(row))

    def check_health(self) -> None:
        """Raise if the engine hangs; Ray Serve asks, and replaces a replica that does."""
        self._desk.check()


class Reception:
    """The front: it takes requests in, and hands them to the replicas."""

    def __init__(self, replicas: Any, front: Front) -> None:
        self._replicas = replicas
        self._front = front

    def __serve_build_asgi_app__(self) -> Any:
        """Build the page once the handle is there."""
        return build_app(self._front, self)

    async def generate(self, asked: Asked) -> Generation:
        """Answer a conversation."""
        answer: Generation = await self._replicas.generate.remote(asked)
        return answer

    async def logprobs(self, row: list[int]) -> list[float]:
        """Score the tokens of a row, but its first."""
        answer: list[float] = await self._replicas.logprobs.remote(row)
        return answer

    async def check(self) -> None:
        """Raise if no replica says that it is well."""
        async with asyncio.timeout(_LOOK):
            await self._replicas.check_health.remote()


def application(arguments: dict[str, Any]) -> serve.Application:
    """Build what a Ray Serve config names as ``import_path``.

    Args:
        arguments: its ``args``: a :class:`~tft.config.cards.ServeUse` as plain values.

    Raises:
        TFTError: as :func:`build_application`.
    """
    return build_application(parse_config(ServeUse, arguments, "args"))


def build_application(use: ServeUse) -> serve.Application:
    """Build the application that serves a tutor.

    Raises:
        PrerequisiteError: if the environment has no key, or the model cannot be reached.
        UserError: if a name leads nowhere.
    """
    key = os.environ.get(KEY)
    if not key:
        raise PrerequisiteError(f"the environment variable {KEY} has no key; nothing is served without one")
    served = find_served(use)
    config = served.config
    most = config.most or config.replicas
    scaling: dict[str, Any] = {"num_replicas": config.replicas}
    if most > config.replicas:
        scaling = {"autoscaling_config": {
            "min_replicas": config.replicas, "max_replicas": most, "target_ongoing_requests": config.ongoing / 2,
        }}  # fmt: skip
    replicas = serve.deployment(
        Replica,
        name="tutor",
        max_ongoing_requests=config.ongoing,
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
        ray_actor_options={"num_cpus": 0.5},
        graceful_shutdown_timeout_s=config.drain,
    )
    page = Front(served.name, key_digest(key), most * config.ongoing)
    return front.bind(replicas.bind(served.tutor, config.threads), page)


def _gpus(served: Served) -> float:
    """Say how many GPUs a copy takes: none where there are none."""
    if not ray.is_initialized() or not ray.cluster_resources().get("GPU"):
        return served.config.gpus or 0.0
    return served.gpus


@contextmanager
def serving(use: ServeUse, host: str, port: int, address: str | None = None) -> Iterator[str]:
    """Serve a tutor while the block runs; then let it finish what it began, and end what was started here.

    Args:
        use: what to serve.
        host: to listen at; ``127.0.0.1`` is this machine alone.
        port: to listen at.
        address: of a cluster to join; None starts one on this machine.

    Yields:
        Its address, up to and with ``/v1``.

    Raises:
        PrerequisiteError: if it cannot be started.
        TFTError: as :func:`build_application`.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    start_ray(address)
    try:
        built = build_application(use)
        try:
            serve.start(proxy_location="HeadOnly", http_options={"host": host, "port": port}, logging_config=_QUIET)
            serve.run(built, name=_APPLICATION, route_prefix="/", logging_config=_QUIET)
        except (RuntimeError, RayServeException, TimeoutError) as error:
            raise PrerequisiteError(f"{use.use} cannot be served: {error}") from error
        yield f"http://{host}:{port}/v1"
    finally:
        serve.delete(_APPLICATION)
        if address is None:
            serve.shutdown()
        ray.shutdown()
