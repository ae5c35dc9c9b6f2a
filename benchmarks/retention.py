"""A second campaign on new skills: what a student learned in the first, with replay and without it.

    python -m benchmarks run retention [seeds] [fresh]

The first campaign teaches both students of `configs/quickstart.yaml` to add and subtract two digits. The second
continues it twice with blaise, who trains every weight, on three digits: with replay, and with `tuition.replay` and
`tuition.review` at 0. The gate is open in both arms and the tutor only shows, 600 answers a skill and cycle, so that
replay is all that differs. What the first campaign taught or kept is examined before and after the second on the same
1,000 items a skill, tables on all their facts. Finished runs lie below `runs/retention` and are not done again, unless
`fresh` is said; a number takes as many seeds.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.campaigns import QUICKSTART, run_campaign
from benchmarks.results import Row

SEEDS = (301, 302, 303)
TABLES = ("add_1", "sub_1", "mul_1")
FIRST, SECOND = ("add_2", "sub_2"), ("add_3", "sub_3")
ARMS: dict[str, tuple[str, ...]] = {
    "replay": ("tuition.replay=0.4", "tuition.review=1"),
    "without": ("tuition.replay=0", "tuition.review=0"),
}
LIMITS = ("exams.whole=[]", "exams.final=1000", "threads.tutor=1", "cluster=inline")
SECOND_TIME = (
    "students=[{id: blaise}]", "tuition.max_drop=0.99", "tuition.lessons=600", "tuition.methods=demonstration",
)  # fmt: skip
MOST = 0.02
PLACE = Path("runs/retention")


def run(options: list[str]) -> list[Row]:
    if "fresh" in options:
        shutil.rmtree(PLACE, ignore_errors=True)
    rows: list[Row] = []
    for seed in SEEDS[: next((int(it) for it in options if it.isdigit()), 1)]:
        first = PLACE / f"first-{seed}"
        skills = f"skills=[{','.join((*TABLES, *FIRST))}]"
        reports = {"first": _campaign(seed, first, skills, "tuition.cycles=2")}
        for arm, settings in ARMS.items():
            second = (f"skills=[{','.join(SECOND)}]", f"continue_from={first.resolve()}")
            reports[arm] = _campaign(seed, PLACE / f"{arm}-{seed}", *second, *SECOND_TIME, *settings)
        for arm in ARMS:
            rows += [row for student in reports[arm]["students"] for row in _rows(seed, arm, student)]
        took = {name: it["seconds"] for name, it in reports.items()}
        note = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in took.items())
        rows.append(Row(f"seconds-{seed}", "wall clock of the three campaigns", sum(took.values()), "s", note=note))
    return rows


def _campaign(seed: int, folder: Path, *settings: str) -> dict[str, Any]:
    chosen = (f"campaign={folder.name}", f"seed={seed}", f"cache={PLACE / 'cache'}", *LIMITS, *settings)
    found = run_campaign(QUICKSTART, folder, chosen)
    print(folder.name, f"{found['seconds']:.0f} s", flush=True)
    return found


def _rows(seed: int, arm: str, student: dict[str, Any]) -> list[Row]:
    """Say what became of each skill of the first campaign, and what the second taught."""
    rows, who = [], f"{arm}-{seed}-{student['id']}"
    for skill in FIRST:
        it = student["skills"][skill]
        change = it["change"]
        # With replay the estimate counts, without it the interval: it has to show that more is lost.
        met = change["value"] >= -MOST if arm == "replay" else change["high"] < -MOST
        target = ">= -0.02" if arm == "replay" else "interval below -0.02"
        note = f"from {it['before']['score']:.1%} to {it['after']['score']:.1%}, n = {it['after']['n']}"
        rows.append(Row(f"{who}-{skill}", f"{skill}, {student['adapter']}: change in the second campaign",
                        change["value"], "share", change["low"], change["high"], target, met, note=note))  # fmt: skip
    worst = min((student["skills"][skill]["change"]["value"], skill) for skill in TABLES)
    it = student["skills"][worst[1]]
    note = f"{worst[1]}, from {it['before']['score']:.1%} to {it['after']['score']:.1%}, n = {it['after']['n']}"
    rows.append(Row(f"{who}-tables", "worst change of a table of single digits", worst[0], "share",
                    it["change"]["low"], it["change"]["high"], note=note))  # fmt: skip
    means = [sum(student["skills"][skill][when]["score"] for skill in SECOND) / len(SECOND)
             for when in ("before", "after")]  # fmt: skip
    read = sum(it["rehearsed"] for it in student["skills"].values())
    note = f"from {means[0]:.1%}; {student['trained_tokens']:,} trained tokens, {read:,} lessons read again"
    rows.append(Row(f"{who}-new", "mean of the new skills", means[1], "share", note=note))
    return rows
