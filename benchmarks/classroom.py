"""The classroom: eight LoRA students of one base trained together, against eight training processes.

    python -m benchmarks run classroom [lessons]

Each student learns its own lessons of the arithmetic curriculum, with a seed and a learning rate of its own. *Cold* is
the wall clock of whole processes, Python's start included: eight one after the other with all cores, and eight with as
many at once as there are cores; *warm* is the time of training alone, in a process that is running.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from benchmarks.results import Row
from tft.config.adapters import LoraAdapter
from tft.config.training import TrainingConfig
from tft.lessons import draw_items
from tft.library import fingerprint_model, load_items, shipped
from tft.records import Example, Lesson, Lineage, Message, dump, load
from tft.student import StudentRef
from tft.training import ClassRequest, TrainRequest, train, train_together

SKILLS = ("sub_2", "add_3", "mul_2x1", "sub_3", "sub_2", "add_3", "mul_2x1", "sub_3")
REPEATS = 3


def run(options: list[str]) -> list[Row]:
    count = int(options[0]) if options else 256
    cores = os.cpu_count() or 1
    torch.set_num_threads(cores)
    with tempfile.TemporaryDirectory() as scratch:
        requests = [_request(place, count, Path(scratch) / "alone") for place in range(len(SKILLS))]
        together = [replace(it, folder_path=it.folder_path.replace("alone", "together")) for it in requests]
        # Interleaved, and the first of each thrown away: it pays for what is opened once.
        warm: dict[str, list[float]] = {"alone": [], "together": []}
        for _ in range(REPEATS + 1):
            start = time.perf_counter()
            for it in requests:
                train(it)
            middle = time.perf_counter()
            found = train_together(ClassRequest(tuple(together))).checkpoints
            warm["alone"].append(middle - start)
            warm["together"].append(time.perf_counter() - middle)
        apart = _apart(requests, Path(scratch))
        cold = {name: min(_processes(name, requests, cores, Path(scratch)) for _ in range(2))
                for name in ("one after the other", "at once", "classroom")}  # fmt: skip
    steps, tokens = sum(it.steps for it in found), sum(it.trained_tokens for it in found)
    ratio = sorted(a / b for a, b in zip(warm["alone"][1:], warm["together"][1:], strict=True))
    best = min(cold["one after the other"], cold["at once"])
    share = cold["classroom"] / cold["one after the other"]
    return [
        Row("equal", "norm of the difference of the adapters over that of the adapters, worst of eight", apart, "share",
            target="<= 0.01", met=apart <= 0.01, note=f"{steps} steps of eight students, {count} lessons each"),
        Row("cold", "classroom as a share of eight processes one after the other, start-up included", share, "share",
            target="<= 0.333", met=share <= 1 / 3,
            note=f"{cold['classroom']:.1f} s against {cold['one after the other']:.1f} s"),
        Row("cold-packed", f"the same, against eight processes of which {cores} run at once", cold["classroom"] / best,
            "share", note=f"{cold['at once']:.1f} s"),
        Row("warm", "eight trainings in one process over the classroom", ratio[len(ratio) // 2], "ratio", ratio[0],
            ratio[-1], note=f"median and range of {REPEATS}; {tokens / min(warm['together'][1:]):,.0f} tokens/s"),
    ]  # fmt: skip


def _request(place: int, count: int, folder: Path) -> TrainRequest:
    curriculum = shipped() / "curricula" / "arithmetic" / "items.py"
    source: Any = load_items(curriculum)
    skill = SKILLS[place]
    lessons = []
    for item in draw_items(source, skill, count, (), f"classroom {place}"):
        work = source.work(item.question)
        example = Example((Message("user", item.question), Message("assistant", work)))
        lineage = Lineage("curriculum", "rules")
        lessons.append(Lesson(f"{place}/{item.question}", "demonstration", item, (example,), work, lineage))
    base = str(shipped() / "tutors" / "abacus" / "novice-a")
    student = StudentRef(f"student-{place}", base, fingerprint_model(base), LoraAdapter(r=16))
    rate = random.Random(place).uniform(2e-3, 5e-3)
    return TrainRequest(student, tuple(lessons), TrainingConfig(epochs=2), rate, 1.0, place, str(folder / str(place)))


def _apart(requests: list[TrainRequest], scratch: Path) -> float:
    """Train everybody both ways in full float32, and compare the adapters."""
    config = requests[0].config.model_copy(update={"precision": "full"})
    full = [replace(it, config=config, folder_path=str(scratch / f"full-{place}")) for place, it in enumerate(requests)]
    together = [replace(it, folder_path=f"{it.folder_path}-together") for it in full]
    found = train_together(ClassRequest(tuple(together))).checkpoints
    worst = 0.0
    for it, other in zip(full, found, strict=True):
        one = train(it)
        first, second = (
            torch.cat([weight.flatten() for weight in load_file(Path(path) / "adapter_model.safetensors").values()])
            for path in (one.path, other.path)
        )
        worst = max(worst, ((first - second).norm() / first.norm()).item())
    return worst


def _processes(how: str, requests: list[TrainRequest], cores: int, scratch: Path) -> float:
    """Time whole processes that read requests from files and train them."""
    files = []
    for place, request in enumerate(requests):
        file = scratch / f"request-{place}.json"
        file.write_text(json.dumps(dump(request)))
        files.append(str(file))
    threads = "1" if how == "at once" else str(cores)
    command = [sys.executable, "-m", "benchmarks.classroom", threads]
    start = time.perf_counter()
    if how == "classroom":
        subprocess.run([*command, *files], check=True)
    elif how == "one after the other":
        for file in files:
            subprocess.run([*command, file], check=True)
    else:
        left = list(files)
        under_way: list[subprocess.Popen[bytes]] = []
        while left or under_way:
            under_way = [it for it in under_way if it.poll() is None]
            while left and len(under_way) < cores:
                under_way.append(subprocess.Popen([*command, left.pop(0)]))
            time.sleep(0.02)
    return time.perf_counter() - start


def main() -> None:
    """Train what the files ask for: one student alone, or several together."""
    threads, *files = sys.argv[1:]
    torch.set_num_threads(int(threads))
    requests = [load(TrainRequest, json.loads(Path(file).read_text())) for file in files]
    if len(requests) == 1:
        train(requests[0])
    else:
        train_together(ClassRequest(tuple(requests)))


if __name__ == "__main__":
    main()
