"""What every executor must do: the same suite in this process and in the actors of a real local Ray."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.contract.stages import (
    Meeting,
    ask_a_tutor,
    ask_a_tutor_that_dies,
    count,
    die_until,
    doze,
    end_before_others,
    fail,
    fall_until,
    meet,
    threads,
    wait_for_a_tutor,
    where,
)
from tests.making import demonstration
from tft.cluster import open_executor
from tft.cluster.inline import InlineExecutor
from tft.config.campaign import (
    CampaignConfig,
    InlineCluster,
    RayCluster,
    ThreadsConfig,
    TransformersEngineConfig,
    TutorUse,
)
from tft.config.cards import GraderConfig
from tft.errors import BudgetError, PrerequisiteError, Problem, StageError, TFTError, UserError
from tft.lessons import CurateRequest, curate
from tft.library import Library
from tft.ports import Executor, Sampling
from tft.preparation import find_tutor
from tft.records import Message
from tft.tutor import TutorRef, open_engine

THREADS = ThreadsConfig(tutor=2, student=1)
ENGINE = TransformersEngineConfig()
CONFIG = CampaignConfig.model_validate(
    {"campaign": "c", "tutor": "abacus", "students": [{"id": "ada", "model": "m"}], "curriculum": "arithmetic"}
)

WITHOUT_MEMORY = """
import asyncio
from tests.contract.stages import doze
from tft.cluster.ray import RayExecutor
from tft.config.campaign import RayCluster, ThreadsConfig, TransformersEngineConfig
from tft.errors import StageError

executor = RayExecutor(RayCluster(retries=1), ThreadsConfig(), TransformersEngineConfig(), 1)
try:
    asyncio.run(executor.run("student/ada", doze, 60.0))
except StageError as error:
    print(error)
asyncio.run(executor.close())
"""


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[type[Any]]:
    """Start one local Ray for all tests, through the executor that a campaign would open."""
    from tft.cluster.ray import RayExecutor

    owner = RayExecutor(RayCluster(), THREADS, ENGINE, 2)
    yield RayExecutor
    asyncio.run(owner.close())
    import ray

    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def ray_executor(ray_cluster: type[Any]) -> Iterator[Executor]:
    """Give one executor for all tests that leave its workers as they were: starting one takes seconds."""
    executor = ray_cluster(RayCluster(), THREADS, ENGINE, 2)
    yield executor
    asyncio.run(executor.close())


@pytest.fixture(params=["inline", "ray"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """Give each executor there is."""
    before = torch.get_num_threads()
    yield InlineExecutor(THREADS) if request.param == "inline" else request.getfixturevalue("ray_executor")
    torch.set_num_threads(before)


def run(executor: Executor, stage: Callable[[Any], Any], request: Any, place: str = "student/ada") -> Any:
    return asyncio.run(executor.run(place, stage, request))


def test_a_stage_returns_its_result_and_how_long_it_was_busy(executor: Executor) -> None:
    result, seconds = run(executor, count, {"a": 2, "b": 3})
    assert result == 5
    assert 0 <= seconds < 5
    _, slow = run(executor, doze, 0.3)
    assert 0.3 <= slow < 5


def test_records_go_in_and_come_out_as_they_were(executor: Executor) -> None:
    lessons = (demonstration("7+5"), demonstration("7+5", "#13"))
    request = CurateRequest(lessons, GraderConfig(type="numeric", marker="#"), ())
    curated, _ = run(executor, curate, request)
    assert curated == curate(request)


@pytest.mark.parametrize(("place", "expected"), [("tutor", 2), ("student/ada", 1), ("student/blaise", 1)])
def test_a_place_has_the_threads_that_the_config_says(executor: Executor, place: str, expected: int) -> None:
    torch.set_num_threads(3)
    assert run(executor, threads, None, place)[0] == expected


@pytest.mark.parametrize("error", [
    UserError(Problem("is wrong", "a.yaml", "b", "7", "write 8"), "is missing"),
    PrerequisiteError("there is no disk"),
    StageError("the loss is nan"),
    BudgetError("3 requests may use 75 tokens, 74 are left"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_an_error_of_ours_crosses_with_its_type_and_message(executor: Executor, error: TFTError) -> None:
    with pytest.raises(TFTError) as raised:
        run(executor, fail, error)
    assert type(raised.value) is type(error)
    assert str(raised.value) == str(error)
    assert raised.value.exit_code == error.exit_code
    assert getattr(raised.value, "problems", None) == getattr(error, "problems", None)


def test_after_an_error_a_place_goes_on(executor: Executor) -> None:
    with pytest.raises(StageError):
        run(executor, fail, StageError("no"))
    assert run(executor, count, {"a": 1})[0] == 1


def test_calls_at_one_place_run_one_after_the_other(executor: Executor) -> None:
    async def both() -> list[tuple[float, float]]:
        return list(await asyncio.gather(*(executor.run("student/ada", doze, 0.2) for _ in range(2))))

    (first, _), (second, _) = sorted(asyncio.run(both()))
    assert second - first >= 0.2


def test_a_place_keeps_its_process(executor: Executor) -> None:
    assert run(executor, where, None)[0] == run(executor, where, None)[0]


def test_places_run_side_by_side(ray_executor: Executor) -> None:
    places = ("student/ada", "student/blaise")

    async def at_both(stage: Callable[[Any], Any], request: Any) -> list[tuple[Any, float]]:
        return list(await asyncio.gather(*(ray_executor.run(place, stage, request) for place in places)))

    pids = asyncio.run(at_both(where, None))
    assert len({pid for pid, _ in pids} | {os.getpid()}) == 3
    (first, _), (second, _) = asyncio.run(at_both(doze, 1.0))
    assert abs(second - first) < 1.0


@pytest.mark.parametrize(("place", "die"), [("student/ada", die_until), ("tutor", die_until), ("tutor", fall_until)])
def test_a_stage_whose_worker_or_engine_died_is_run_again(
    place: str, die: Callable[[Any], int], ray_executor: Executor, tmp_path: Path
) -> None:
    before, _ = run(ray_executor, where, None, place)
    assert run(ray_executor, die, (str(tmp_path), 2), place)[0] == 2
    after, _ = run(ray_executor, where, None, place)
    assert before != after


@pytest.fixture
def reached(ray_executor: Executor, tmp_path: Path) -> TutorRef:
    """Give a tutor as stages elsewhere reach it, in a worker that is up."""
    _, tutor = find_tutor(TutorUse(use="abacus"), Library(), tmp_path)
    run(ray_executor, where, None, "tutor")
    return replace(tutor, actor_path=ray_executor.name)  # type: ignore[attr-defined]


def test_a_tutor_that_died_is_found_again_by_who_reached_for_it(
    reached: TutorRef, ray_executor: Executor, tmp_path: Path
) -> None:
    student, _ = run(ray_executor, where, None)
    assert run(ray_executor, ask_a_tutor_that_dies, (reached, str(tmp_path)))[0] == 2
    # The student's own worker was well, and is still there.
    assert run(ray_executor, where, None)[0] == student


def test_a_tutor_that_is_gone_when_it_is_reached_for_is_found_again(reached: TutorRef, ray_executor: Executor) -> None:
    import ray

    # Its name goes with it, but for those who asked it before.
    ray.kill(ray.get_actor(reached.actor_path, namespace="tft"))
    assert run(ray_executor, ask_a_tutor, reached, "student/blaise")[0] == 2


def test_one_death_that_several_see_costs_one_worker(
    reached: TutorRef, ray_executor: Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    given_up, marks = [], tmp_path / "marks"
    marks.mkdir()
    monkeypatch.setattr(ray, "kill", lambda actor, kill=ray.kill: (given_up.append(actor), kill(actor)))

    async def all_at_once() -> list[tuple[Any, float]]:
        tutor = ray_executor.run("tutor", end_before_others, (str(marks), 2)), ray_executor.run("tutor", where, None)
        students = [
            ray_executor.run(f"student/{name}", wait_for_a_tutor, (reached, str(marks / name)))
            for name in ("ada", "blaise")
        ]
        return list(await asyncio.gather(*tutor, *students))

    assert [found for found, _ in asyncio.run(all_at_once())][2:] == [2, 2]
    assert len(given_up) == 1


def test_a_worker_that_is_killed_from_outside_is_replaced(ray_executor: Executor) -> None:
    before, _ = run(ray_executor, where, None)
    os.kill(before, signal.SIGKILL)
    after, _ = run(ray_executor, where, None)
    assert after not in (before, os.getpid())


def test_a_worker_that_dies_too_often_ends_the_campaign_but_not_the_cluster(
    ray_cluster: type[Any], tmp_path: Path
) -> None:
    import ray

    executor = ray_cluster(RayCluster(retries=1), THREADS, ENGINE, 2)
    with pytest.raises(StageError, match=r"the worker at student/ada died 2 times while running die_until"):
        run(executor, die_until, (str(tmp_path), 9))
    assert len(list(tmp_path.iterdir())) == 2
    for _ in range(2):
        asyncio.run(executor.close())
    assert ray.is_initialized()


def test_a_worker_that_ran_out_of_memory_is_run_again_and_then_says_what_helps() -> None:
    # Whatever the machine has, it is too little for Ray's memory monitor.
    short = {"RAY_memory_usage_threshold": "0.01", "RAY_memory_monitor_refresh_ms": "100"}
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", WITHOUT_MEMORY], env={**os.environ, **short},
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "the worker at student/ada died 2 times while running doze" in done.stdout
    assert "running low on memory" in done.stdout
    assert "training.micro_batch" in done.stdout
    assert len(done.stdout.splitlines()) == 2


def test_several_workers_meet_again_when_one_of_them_died(ray_executor: Executor, tmp_path: Path) -> None:
    (found, seen), seconds = asyncio.run(
        ray_executor.run("student/ada", meet, Meeting(str(tmp_path / "cycle-1")), workers=2)
    )
    assert (found, seen) == ([0, 1], THREADS.student)
    assert 0 <= seconds < 20
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


def test_why_workers_failed_decides_what_comes_next() -> None:
    from ray.exceptions import ActorDiedError
    from ray.train import ControllerError, TrainingFailedError, WorkerGroupError

    from tft.cluster.performing import TutorLostError, WorkerLostError
    from tft.cluster.several import find_cause

    closed, ours = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"), StageError("no loss")
    tutor, other = TutorLostError("it died"), WorkerGroupError("1", {1: KeyError("x")})
    assert isinstance(find_cause(ControllerError(ActorDiedError())), WorkerLostError)
    assert isinstance(find_cause(WorkerGroupError("1", {0: closed})), WorkerLostError)
    assert find_cause(WorkerGroupError("1", {0: closed, 1: ours})) is ours
    assert find_cause(WorkerGroupError("1", {0: tutor})) is tutor
    assert find_cause(other) is other and isinstance(other, TrainingFailedError)


def test_an_error_that_is_not_ours_names_the_stage_and_the_place(ray_executor: Executor) -> None:
    with pytest.raises(StageError, match=r"(?s)fail at student/ada failed: .*no such skill") as raised:
        run(ray_executor, fail, KeyError("no such skill"))
    assert type(raised.value) is StageError


def test_inline_an_error_that_is_not_ours_is_shown_as_it_is() -> None:
    with pytest.raises(KeyError, match="no such skill"):
        run(InlineExecutor(THREADS), fail, KeyError("no such skill"))


def test_inline_an_interrupt_ends_the_stage_at_once() -> None:
    start = time.monotonic()
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        run(InlineExecutor(THREADS), doze, 30.0)
    assert time.monotonic() - start < 10


def test_the_config_says_which_executor(ray_cluster: type[Any]) -> None:
    inline = open_executor(CONFIG.model_copy(update={"cluster": InlineCluster()}), ENGINE)
    assert isinstance(inline, InlineExecutor)
    assert isinstance(open_executor(CONFIG, ENGINE), ray_cluster)


def test_a_stage_elsewhere_reaches_the_tutor_where_it_runs(ray_cluster: type[Any], tmp_path: Path) -> None:
    from tft.cluster.reaching import ReachedEngine

    _, tutor = find_tutor(TutorUse(use="abacus"), Library(), tmp_path)
    executor = ray_cluster(RayCluster(), THREADS, ENGINE, 2)
    try:
        assert executor.reach(tutor) == tutor  # small enough to be opened beside a student
        run(executor, where, None, "tutor")
        reached = open_engine(replace(tutor, actor_path=executor.name))
        assert isinstance(reached, ReachedEngine)
        here = open_engine(tutor)
        prompts = [(Message("user", "27+58"),), (Message("user", "3+4"),)]
        assert reached.encode(prompts) == here.encode(prompts)
        assert [it.text for it in reached.generate(prompts, Sampling(32))] == [
            it.text for it in here.generate(prompts, Sampling(32))
        ]
        rows = here.encode(prompts)
        for one, other in zip(reached.top_logprobs(rows, [2, 2], 4), here.top_logprobs(rows, [2, 2], 4), strict=True):
            assert (one.ids == other.ids).all()
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
        assert reached.steps == 2
    finally:
        asyncio.run(executor.close())
