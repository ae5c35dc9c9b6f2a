"""The first promise: two students learn from one command, in minutes, and forget nothing.

    python -m benchmarks run circle [seeds, such as 1,2,3]

Runs the quickstart campaign as a user would, once a seed, in a process of its own and with an empty answer
cache. Beside it stand two contrasts from the first seed, trained by the same loop in one go: the new lessons alone,
without review, replay and gate (``plain``), and as many rows as the campaign trained on, replay included, spread
evenly over the demonstrations of the five skills (``uniform``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.results import Row
from tft.config import CampaignConfig, read_config
from tft.curriculum import estimate
from tft.exams.examiner import SitRequest, sit
from tft.ledger import Ledger
from tft.library import Library, shipped
from tft.preparation import Prepared, prepare
from tft.records import Curated, Lesson, load
from tft.training import TrainRequest, train

TAUGHT = ("add_2", "add_3", "sub_2", "sub_3", "mul_2x1")
TABLES = ("add_1", "sub_1", "mul_1")
CONFIG = shipped() / "configs" / "quickstart.yaml"


def run(options: list[str]) -> list[Row]:
    seeds = [int(seed) for seed in options[0].split(",")] if options else [1, 2, 3, 4, 5]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in seeds:
            folder = Path(scratch) / f"seed-{seed}" / "run"
            seconds = _campaign(seed, folder)
            rows += _measure(seed, json.loads((folder / "report.json").read_text()), seconds)
        rows = [*_summary(rows, len(seeds)), *rows]
        rows += _contrasts(seeds[0], Path(scratch) / f"seed-{seeds[0]}" / "run")
    return rows


def _campaign(seed: int, folder: Path) -> float:
    command = [sys.executable, "-m", "tft", "run", str(CONFIG), "--set", f"seed={seed}", "--out", str(folder)]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    if done.returncode != 0:
        raise SystemExit(f"seed {seed} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    return time.monotonic() - start


def _measure(seed: int, report: dict[str, Any], seconds: float) -> list[Row]:
    rows = []
    for student in report["students"]:
        who = f"seed-{seed}-{student['id']}"
        before, after = student["final_mean"]["before"], student["final_mean"]["after"]
        note = f"from {before:.1%}; stopped for {student['stopped_because']}"
        rows.append(Row(who, "mean of the five taught skills, final split", after, "share",
                        target=">= 0.85, from < 0.30", met=after >= 0.85 and before < 0.30, note=note))  # fmt: skip
        covered = student["whole"]["gsm8k_calculator_steps"]["groups"].get("covered")
        if covered is None:
            rows.append(Row(f"{who}-gsm8k", "covered GSM8K steps, gain", None, "share", target="interval above 0",
                            note="the data file was not found; set TFT_DATA"))  # fmt: skip
        else:
            change = covered["change"]
            rows.append(Row(f"{who}-gsm8k", "covered GSM8K steps, gain", change["value"], "share", change["low"],
                            change["high"], "interval above 0", change["low"] > 0))  # fmt: skip
        losses = {name: 0.0 - student["skills"][name]["change"]["value"] for name in TABLES}
        worst = max(losses, key=losses.__getitem__)
        rows.append(Row(f"{who}-kept", "worst loss of a retention skill", losses[worst], "share", target="<= 0.05",
                        met=losses[worst] <= 0.05, note=worst))  # fmt: skip
    rows.append(Row(f"seed-{seed}", "wall clock of the whole command", seconds, "s", target="<= 360",
                    met=seconds <= 360, note=f"{report['tutor']['tokens']['total']} tutor tokens, stopped for "
                    f"{report['stopped_because']}"))  # fmt: skip
    return rows


def _summary(rows: list[Row], seeds: int) -> list[Row]:
    """Give the worst of all seeds and students, which is what a promise is about."""
    kinds = (
        ("all-after", "mean of the five taught skills, worst", lambda it: it.endswith(("-ada", "-blaise")), min),
        ("all-kept", "loss of a retention skill, worst", lambda it: it.endswith("-kept"), max),
        ("all-gsm8k", "gain on covered GSM8K steps, least", lambda it: it.endswith("-gsm8k"), min),
        ("all-seconds", "wall clock of the command, slowest", lambda it: it.count("-") == 1, max),
    )
    found = []
    for name, what, belongs, worst in kinds:
        members = [row for row in rows if belongs(row.id) and row.value is not None]
        if members:
            one = worst(members, key=lambda row: row.value)
            note = f"{sum(bool(row.met) for row in members)} of {len(members)} meet it, over {seeds} seeds; {one.id}"
            found.append(replace(one, id=name, what=what, met=all(row.met for row in members), note=note))
    return found


def _contrasts(seed: int, folder: Path) -> list[Row]:
    config = read_config(CampaignConfig, CONFIG, [f"seed={seed}"])
    prepared = prepare(config, Library(), folder)
    ledger = Ledger(folder)
    rows: list[Row] = []
    for place, student in enumerate(config.students):
        read = [lesson for step in ledger.steps("curate", student.id) for lesson in load(Curated, step.result).kept]
        taught = [lesson for lesson in read if lesson.kind != "replay"]
        shelf = {lesson.id: lesson for other in config.students for step in ledger.steps("curate", other.id)
                 for lesson in load(Curated, step.result).kept if lesson.kind == "demonstration"}  # fmt: skip
        arms = {"plain": taught, "uniform": _uniform(list(shelf.values()), len(read))}
        for arm, lessons in arms.items():
            known = _train_and_sit(prepared, place, lessons, folder / "contrasts" / f"{student.id}-{arm}")
            mean = sum(known[name].score for name in TAUGHT) / len(TAUGHT)
            tables = sum(known[name].score for name in TABLES) / len(TABLES)
            note = f"seed {seed}, {len(lessons)} lessons, no replay, no gate"
            rows.append(Row(f"{arm}-{student.id}", "mean of the five taught skills", mean, "share", note=note))
            rows.append(Row(f"{arm}-{student.id}-kept", "mean of the retention skills", tables, "share", note=note))
    ledger.close()
    return rows


def _uniform(shelf: list[Lesson], count: int) -> list[Lesson]:
    """Take as many demonstrations of every skill, round and round the shelf."""
    rows = {name: [lesson for lesson in shelf if lesson.item.skill == name] for name in TAUGHT}
    rows = {name: them for name, them in rows.items() if them}
    return [them[place % len(them)] for place in range(count // len(rows)) for them in rows.values()]


def _train_and_sit(prepared: Prepared, place: int, lessons: list[Lesson], folder: Path) -> dict[str, Any]:
    import torch

    torch.set_num_threads(prepared.config.threads.student)
    ref = prepared.students[place]
    config = prepared.config
    made = train(TrainRequest(ref, tuple(lessons), config.training, config.students[place].learning_rate, 1.0, 1,
                              str(folder)))  # fmt: skip
    learned = replace(ref, checkpoint_path=str(folder), digest=made.digest)
    items = prepared.splits.items["final"]
    sitting = sit(SitRequest(learned, "final", items, prepared.curriculum.grader, config.exams.max_tokens))
    return estimate([sitting])
