"""Who gets which GPU: nobody waits for one that is idle, and nobody is promised one that is not there."""

from __future__ import annotations

import pytest

from tft.config.campaign import (
    EndpointEngineConfig,
    EngineConfig,
    RayCluster,
    TransformersEngineConfig,
    VLLMEngineConfig,
)
from tft.errors import UserError
from tft.placement import Placement, gpus_here, share_out

OURS = TransformersEngineConfig()
VLLM = VLLMEngineConfig()
WIDE = VLLMEngineConfig(tensor_parallel=4)
THEIRS = EndpointEngineConfig(url="http://127.0.0.1:1/v1")


@pytest.mark.parametrize(
    ("engine", "students", "nodes", "tutor", "student"),
    [
        (OURS, 2, [0], 0, 0),
        (VLLM, 2, [], 0, 0),
        (WIDE, 2, [0], 0, 0),
        (OURS, 2, [8], 1, 1),
        (VLLM, 7, [8], 1, 1),
        (VLLM, 8, [8], 1, 0.5),
        (WIDE, 4, [8], 4, 1),
        (WIDE, 5, [8], 4, 0.5),
        (WIDE, 16, [4, 4], 4, 0.25),
        (VLLM, 3, [2], 1, 1 / 3),
        (THEIRS, 2, [2], 0, 1),
        (THEIRS, 3, [2], 0, 0.5),
        (VLLM, 1, [1], 0.5, 0.5),
        (OURS, 4, [1], 0.5, 0.125),
    ],
)
def test_the_tutor_gets_what_it_needs_and_the_students_the_rest(
    engine: EngineConfig, students: int, nodes: list[int], tutor: float, student: float
) -> None:
    placed = share_out(RayCluster(), engine, students, nodes)
    assert placed == Placement(tutor, pytest.approx(student))
    assert placed.tutor + students * placed.student <= sum(nodes) + 1e-9


def test_no_student_is_split_over_two_gpus() -> None:
    for students in range(1, 17):
        for gpus in range(1, 9):
            share = share_out(RayCluster(), THEIRS, students, [gpus]).student
            assert share == 1 or (1 / share) == pytest.approx(round(1 / share))
            assert -(-students // round(1 / share)) <= gpus


@pytest.mark.parametrize(
    ("nodes", "told"), [([2, 2], "no machine has more than 2"), ([4], "would have 6 GPUs, and there are 4")]
)
def test_what_cannot_be_is_refused_with_what_can(nodes: list[int], told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        share_out(RayCluster(), WIDE, 2, nodes)
    (problem,) = caught.value.problems
    assert problem.key == "tutor.engine.tensor_parallel"


def test_what_the_config_says_stands() -> None:
    assert share_out(RayCluster(tutor_gpus=2, student_gpus=0), WIDE, 2, [4]) == Placement(2, 0)
    assert share_out(RayCluster(tutor_gpus=2), VLLM, 3, [4]) == Placement(2, 0.5)
    assert share_out(RayCluster(tutor_gpus=0.25), VLLM, 3, [1]) == Placement(0.25, 0.25)
    assert share_out(RayCluster(student_gpus=0), VLLM, 3, [1]) == Placement(1, 0)
    assert share_out(RayCluster(tutor_gpus=0), VLLM, 2, [1]) == Placement(0, 0.5)


@pytest.mark.parametrize("said", [RayCluster(tutor_gpus=2), RayCluster(student_gpus=1), RayCluster(tutor_gpus=1)])
def test_nobody_waits_for_gpus_that_are_not_there(said: RayCluster) -> None:
    with pytest.raises(UserError, match="GPUs, and there are 1"):
        share_out(said, OURS, 2, [1])
    with pytest.raises(UserError, match="GPUs, and there are 0"):
        share_out(said, OURS, 2, [0])


def test_every_worker_of_a_student_has_a_gpu_of_its_own() -> None:
    assert share_out(RayCluster(), VLLM, 2, [8], 3) == Placement(1, 1, 3)
    assert share_out(RayCluster(), THEIRS, 2, [0], 4) == Placement(0, 0, 4)
    assert share_out(RayCluster(student_gpus=0), VLLM, 4, [2], 4) == Placement(1, 0, 4)
    with pytest.raises(UserError, match=r"2 students with 4 workers each would have 0\.5 GPU a worker") as caught:
        share_out(RayCluster(), VLLM, 2, [8], 4)
    assert caught.value.problems[0].key == "training.workers"
    with pytest.raises(UserError, match="tutor and 2 workers of each of 2 students would have 5 GPUs, and there are 4"):
        share_out(RayCluster(student_gpus=1), VLLM, 2, [4], 2)


def test_it_is_told_in_words() -> None:
    assert share_out(RayCluster(), WIDE, 5, [8]).told(5) == "tutor 4 GPUs; each of 5 students 0.5 GPU"
    assert share_out(RayCluster(), OURS, 5, [0]).told(5) == "all on CPUs"
    assert share_out(RayCluster(), VLLM, 2, [8], 3).told(2) == "tutor 1 GPU; each of 3 workers of 2 students 1 GPU"
    assert share_out(RayCluster(), OURS, 2, [0], 3).told(2) == "all on CPUs, 3 workers a student"


@pytest.mark.parametrize(("visible", "count"), [("", 0), ("-1", 0), ("0", 1), ("0,3", 2), ("GPU-1f,GPU-2a", 2)])
def test_gpus_are_counted_as_far_as_they_may_be_seen(visible: str, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here() == count
