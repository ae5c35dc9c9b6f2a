"""Tutors on a real vLLM that lives in a worker of a real local Ray, or has processes of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.contract.stages import ask_a_tutor, ask_a_tutor_that_falls, doze, look_up, read_texts, where
from tests.remote import VLLM, needs_vllm
from tft.config.campaign import RayCluster, ThreadsConfig, TutorUse
from tft.errors import PrerequisiteError
from tft.library import Library
from tft.preparation import find_tutor
from tft.tutor import TutorRef

pytestmark = needs_vllm

OPEN_OVER_TWO = """
import json, os, sys, threading, time
import psutil
from tests.remote import VLLM
from tft.engines.vllm import VLLMEngine
from tft.errors import EngineLostError
from tft.ports import Sampling
from tft.records import Message

engine = VLLMEngine.open(sys.argv[1], "novice", VLLM.model_copy(update={"tensor_parallel": 2}))
"""
WAIT = """
print(json.dumps([it.pid for it in psutil.Process().children(recursive=True)]), flush=True)
time.sleep(600)
"""
KILL_THE_CORE = """
(core,) = [it for it in psutil.Process().children() if it.children()]
if sys.argv[2] == "idle":
    core.kill()
    time.sleep(3)
else:
    threading.Timer(1, core.kill).start()
try:
    engine.generate([(Message("user", "write"),)] * 400, Sampling(100, 1.5))
except EngineLostError:
    print("lost", flush=True)
os._exit(0)
"""


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


def test_a_tutor_answers_while_it_teaches(executor: Any, tutor: TutorRef) -> None:
    async def ask_while(stage: Callable[[Any], Any], request: Any) -> tuple[Any, bool, Any]:
        teaching = asyncio.create_task(executor.run("tutor", stage, request))
        answer, _ = await executor.run("student/ada", ask_a_tutor, executor.reach(tutor))
        taught = teaching.done()
        return answer, taught, (await teaching)[0]

    os.kill(run(executor, where, None, "tutor"), signal.SIGKILL)
    # Both open it, and whoever comes first opens it for both.
    assert asyncio.run(ask_while(look_up, tutor))[::2] == (2, None)
    assert asyncio.run(ask_while(doze, 20.0))[:2] == (2, False)


def test_what_is_scored_is_not_written_out(executor: Any, tutor: TutorRef) -> None:
    assert run(executor, read_texts, tutor, "tutor") == {None}


def test_a_tutor_that_cannot_be_opened_says_where_its_processes_say_why(executor: Any, tutor: TutorRef) -> None:
    large = VLLM.model_copy(update={"tensor_parallel": 2, "cpu_cache_gib": 1_000_000})
    with pytest.raises(PrerequisiteError, match="does not take the model") as raised:
        run(executor, read_texts, replace(tutor, engine=large))
    log = Path(str(raised.value).rpartition("stands in ")[2])
    assert "less than requested memory" in log.read_text()


def test_what_vllm_started_ends_with_a_process_that_is_killed(novice: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", OPEN_OVER_TWO + WAIT, str(novice)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        started = json.loads(process.stdout.readline())
        process.kill()
    # The core and two workers, at least.
    assert len(started) > 2
    over = time.monotonic() + 30
    while any(map(_lives, started)) and time.monotonic() < over:
        time.sleep(0.2)
    left = [pid for pid in started if _lives(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left


@pytest.mark.parametrize("core", ["idle", "busy"])
def test_a_core_that_is_killed_is_missed(core: str, novice: Path) -> None:
    command = [sys.executable, "-W", "ignore", "-c", OPEN_OVER_TWO + KILL_THE_CORE, str(novice), core]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout == "lost\n", done.stderr[-3000:]


def _lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
