"""Where the tutor runs decides nothing: the quickstart with its tutor embedded, on vLLM, and behind `tft serve`.

    python -m benchmarks run engines [seed]

Three campaigns of one seed, each with an empty cache. What is compared is the share of right answers on the taught
skills of both students, on the final split.
"""

from __future__ import annotations

import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.results import Row
from tft.library import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "a-key-for-the-benchmark"


def run(options: list[str]) -> list[Row]:
    seed = options[0] if options else "7"
    with tempfile.TemporaryDirectory() as scratch:
        found = {"embedded": _campaign("quickstart", Path(scratch) / "embedded", seed)}
        found["vllm"] = _campaign("quickstart-vllm", Path(scratch) / "vllm", seed)
        with _served(Path(scratch)) as url:
            found["served"] = _campaign("quickstart-served", Path(scratch) / "served", seed, f"tutor.engine.url={url}")
    rows = [_row(name, report, seconds) for name, (report, seconds) in found.items()]
    return rows + [_difference(name, found[name][0], found["embedded"][0]) for name in ("vllm", "served")]


def _campaign(name: str, folder: Path, seed: str, *overrides: str) -> tuple[dict[str, Any], float]:
    config = shipped() / "configs" / f"{name}.yaml"
    command = [sys.executable, "-m", "tft", "run", str(config), "--out", str(folder / "run")]
    for override in (f"seed={seed}", f"cache={folder / 'cache'}", *overrides):
        command += ["--set", override]
    start = time.monotonic()
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "TFT_SERVE_KEY": KEY}, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{name} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads((folder / "run" / "report.json").read_text()), time.monotonic() - start


@contextmanager
def _served(scratch: Path) -> Iterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with (scratch / "serve.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tft", "serve", "abacus", "--port", str(port)],
            stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "TFT_SERVE_KEY": KEY},
        )  # fmt: skip
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        if not said.startswith("url: "):
            raise SystemExit(f"the server did not start:\n{(scratch / 'serve.log').read_text()[-3000:]}")
        yield said.removeprefix("url: ").strip()
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(120)
        finally:
            server.kill()


def _right(report: dict[str, Any]) -> tuple[float, int]:
    measured = [
        skill["after"] for student in report["students"] for skill in student["skills"].values() if skill["taught"]
    ]
    n = sum(it["n"] for it in measured)
    return sum(it["score"] * it["n"] for it in measured) / n, n


def _row(name: str, report: dict[str, Any], seconds: float) -> Row:
    share, n = _right(report)
    tokens = report["tutor"]["tokens"]["total"]
    return Row(name, "right on the taught skills of both students", share, "share",
               note=f"n = {n}, {tokens:,} tutor tokens, {seconds:.0f} s for the command")  # fmt: skip


def _difference(name: str, report: dict[str, Any], embedded: dict[str, Any]) -> Row:
    (one, n), (other, m) = _right(report), _right(embedded)
    reach = 1.96 * math.sqrt(one * (1 - one) / n + other * (1 - other) / m)
    apart = one - other
    met = abs(apart) <= 0.03 and abs(apart) + reach < 0.05 and min(n, m) >= 512
    return Row(f"{name}-difference", "to the embedded tutor", apart, "share", apart - reach, apart + reach,
               "within 0.03, interval inside 0.05", met)  # fmt: skip
