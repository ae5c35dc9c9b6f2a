"""A tutor on a real vLLM in a worker of its own, of a real local Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.stages import ask_a_tutor_that_falls, read_texts, where
from tests.remote import VLLM, needs_vllm
from tft.config.campaign import RayCluster, ThreadsConfig, TutorUse
from tft.library import Library
from tft.preparation import find_tutor
from tft.tutor import TutorRef

pytestmark = needs_vllm


@pytest.fixture(scope="module")
def executor() -> Iterator[Any]:
    from tft.cluster.ray import RayExecutor

    executor = RayExecutor(RayCluster(retries=1), ThreadsConfig(tutor=1, student=1), VLLM, 1)
    yield executor
    asyncio.run(executor.close())


@pytest.fixture(scope="module")
def tutor(tmp_path_factory: pytest.TempPathFactory) -> TutorRef:
    return find_tutor(TutorUse(use="abacus", engine=VLLM), Library(), tmp_path_factory.mktemp("run"))[1]


def run(executor: Any, stage: Callable[[Any], Any], request: Any, place: str = "student/ada") -> Any:
    return asyncio.run(executor.run(place, stage, request))[0]


def test_a_tutor_whose_engine_fell_over_has_a_successor(executor: Any, tutor: TutorRef, tmp_path: Path) -> None:
    before, student = run(executor, where, None, "tutor"), run(executor, where, None)
    assert run(executor, ask_a_tutor_that_falls, (executor.reach(tutor), str(tmp_path))) == 2
    assert run(executor, where, None, "tutor") != before
    assert run(executor, where, None) == student


def test_what_is_scored_is_not_written_out(executor: Any, tutor: TutorRef) -> None:
    assert run(executor, read_texts, tutor, "tutor") == {None}
