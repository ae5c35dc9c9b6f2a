"""Students that share a GPU keep to their part of it. Ray is told of one that is not there; nobody uses it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch

from tft.cluster.ray import RayExecutor, Worker
from tft.config.campaign import RayCluster, ThreadsConfig, TransformersEngineConfig


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let there be a GPU, and note what is done to its memory."""
    found: list[Any] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", found.append)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: found.append("back"))
    return found


def test_who_has_a_share_is_held_to_it_and_gives_back_what_a_stage_leaves(calls: list[Any]) -> None:
    threads = torch.get_num_threads()
    worker = Worker(0.25)
    assert calls == [0.25]
    assert worker.run(lambda it: calls.append(it), "stage", threads)[0] is None
    assert calls == [0.25, "stage", "back"]


def test_who_has_all_of_it_takes_what_there_is(calls: list[Any]) -> None:
    worker = Worker()
    worker.run(lambda it: calls.append(it), "stage", torch.get_num_threads())
    assert calls == ["stage"]


def test_without_a_gpu_there_is_nothing_to_hold_to(calls: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Worker(0.25)
    assert calls == []


@pytest.mark.parametrize(("gpus", "shares"), [(1, [None, 0.25, 0.25]), (2, [None, 0.5, 0.5]), (3, [None] * 3)])
def test_students_that_share_a_gpu_are_held_to_their_part(
    gpus: int, shares: list[float | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float | None] = []
    actor = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=told.append))
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"GPU": gpus}}])
    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: actor)
    executor = RayExecutor(RayCluster(), ThreadsConfig(), TransformersEngineConfig(), 2)
    executor.prepare(["tutor", "student/ada", "student/blaise"])
    assert told == shares
