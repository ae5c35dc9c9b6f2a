"""`tft serve abacus`, for real: through Ray Serve, with a key, and with the answers of the embedded tutor."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from tft.config.campaign import EndpointEngineConfig, TransformersEngineConfig
from tft.engines.endpoint import EndpointEngine
from tft.engines.transformers import TransformersEngine
from tft.library import Library
from tft.ports import Sampling
from tft.records import Message

KEY = "a-key-of-the-tests"
QUESTIONS = [(Message("user", f"{a}+{b}"),) for a in range(20, 40) for b in range(3, 9)]
WORK = ("/v1/models", "/v1/chat/completions", "/v1/completions", "/metrics", "/docs", "/openapi.json", "/tokenize")


@dataclass
class Served:
    url: str
    process: subprocess.Popen[str]

    @property
    def root(self) -> str:
        return self.url.removesuffix("/v1")

    def engine(self) -> EndpointEngine:
        config = EndpointEngineConfig(url=self.url, key_env="TFT_SERVE_KEY", model="abacus", concurrency=64)
        return EndpointEngine.open("abacus", "abacus", config)

    def replicas(self) -> list[int]:
        """Find the processes of the replicas: descendants of the server with the name Ray gives them."""
        parents: dict[int, tuple[int, str]] = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                name = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            parents[int(folder.name)] = (int(fields[1]), name)

        def is_ours(number: int) -> bool:
            while number in parents:
                if number == self.process.pid:
                    return True
                number = parents[number][0]
            return False

        named = [it for it, (_, name) in parents.items() if name.startswith("ray::ServeReplica:tft-tutor:tutor")]
        return [it for it in named if is_ours(it)]


@pytest.fixture(scope="module")
def served(free_port: int) -> Iterator[Served]:
    environment = {**os.environ, "TFT_SERVE_KEY": KEY}
    process = subprocess.Popen(
        [sys.executable, "-m", "tft", "serve", "abacus", "--port", str(free_port)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    os.environ["TFT_SERVE_KEY"] = KEY
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert said.startswith("url: "), process.communicate()[1]
        yield Served(said.removeprefix("url: ").strip(), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        del os.environ["TFT_SERVE_KEY"]
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def embedded() -> TransformersEngine:
    model = Library().model("abacus")
    return TransformersEngine.open(model.address, "abacus", TransformersEngineConfig())


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}], ids=["no key", "wrong key"])
def test_no_route_works_without_the_key(served: Served, headers: dict[str, str]) -> None:
    with httpx2.Client(base_url=served.root, headers=headers) as client:
        for path in WORK:
            assert client.get(path).status_code == 401, path
            assert client.post(path, json={"model": "abacus"}).status_code == 401, path
        assert client.get("/health").status_code == 200


def test_a_refusal_is_told_in_a_sentence(served: Served) -> None:
    body = {"model": "abacus", "messages": [{"role": "user", "content": "3+4"}], "max_tokens": 9999}
    with httpx2.Client(base_url=served.url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        answer = client.post("/chat/completions", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("max_tokens: 9999 were asked for, and of 256 in the context")


def test_the_key_is_in_no_process_that_was_started(served: Served) -> None:
    (replica,) = served.replicas()
    assert KEY.encode() not in Path(f"/proc/{replica}/environ").read_bytes()


def test_a_client_that_hangs_up_spoils_nothing(served: Served) -> None:
    body = {"model": "abacus", "messages": [{"role": "user", "content": "123+456"}], "max_tokens": 64}
    with httpx2.Client(base_url=served.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=0.02) as client:
        for _ in range(20):
            with contextlib.suppress(httpx2.TimeoutException):
                client.post("/chat/completions", json=body)
    (found,) = served.engine().generate(QUESTIONS[:1], Sampling(64))
    assert found.finished


def test_what_cannot_be_served_is_said_before_anything_starts(served: Served) -> None:
    taken = served.root.rpartition(":")[2]
    free = str(int(taken) - 1)
    for words, code, told in (
        (["nonsense"], 2, "there is no tutor of this name"),
        (["abacus", "--port", taken], 3, f"nobody can listen at 127.0.0.1:{taken}"),
        (
            ["abacus", "--port", free, "--set", "serve.replicas=900"],
            3,
            "need 900.5 CPUs, and the cluster has",
        ),
    ):
        command = [sys.executable, "-m", "tft", "serve", *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, told in done.stderr) == (code, True), done.stderr


def test_it_listens_on_this_machine_alone(served: Served) -> None:
    assert served.url.startswith("http://127.0.0.1:")


def test_answers_are_those_of_the_embedded_tutor(served: Served, embedded: TransformersEngine) -> None:
    greedy = served.engine().generate(QUESTIONS, Sampling(64))
    assert [it.text for it in greedy] == [it.text for it in embedded.generate(QUESTIONS, Sampling(64))]
    orders = [(Message("user", f"W add_{1 + row % 3}"),) for row in range(64)]
    warm = Sampling(12, 1.0, 7)
    assert [it.text for it in served.engine().generate(orders, warm)] == [
        it.text for it in embedded.generate(orders, warm)
    ]


def test_several_clients_are_served_side_by_side(served: Served) -> None:
    def ask(number: int) -> int:
        return sum(it.finished for it in served.engine().generate(QUESTIONS[number::4], Sampling(64)))

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(ask, range(4))) == len(QUESTIONS)
    with httpx2.Client(base_url=served.root, headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert 'tft_tokens_total{kind="completion"}' in client.get("/metrics").text


def test_a_replica_that_hangs_is_replaced_within_a_minute(served: Served) -> None:
    (before,) = served.replicas()
    os.kill(before, signal.SIGSTOP)
    began = time.monotonic()
    try:
        while served.replicas() in ([before], []):
            assert time.monotonic() - began < 90, "nobody noticed"
            time.sleep(0.5)
        noticed = time.monotonic() - began
    finally:
        if Path(f"/proc/{before}").exists():
            os.kill(before, signal.SIGCONT)
    assert noticed < 60
    (found,) = served.engine().generate(QUESTIONS[:1], Sampling(64))
    assert found.finished
