"""Methods by evidence against every method pinned alone, at equal tutor tokens, on the quickstart campaign.

    python -m benchmarks run auto [seeds] [fresh | finished]

Each arm runs `configs/quickstart.yaml` with five seeds that nothing was tuned on, at most 300,000 tutor tokens and
500 new lessons a skill and cycle, without its whole exam, in one process. What counts is the mean share of right
answers on the taught skills of both students, final split. *drawn* is the arm that tells the choice of methods from
what `auto` has beside it: demonstrations alone, of questions that the curriculum draws, all read again in each cycle.

A run takes two to ten minutes of one core. Those that stand in `benchmarks/results/auto.json`, each with its commit, or
lie finished below `runs/auto` are not done again, unless `fresh` is said; with `finished` nothing is run, and an arm is
compared with `auto` on the seeds that both have. A number takes as many seeds.
"""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from benchmarks.campaigns import QUICKSTART, run_campaign
from benchmarks.results import Row, commit, mean_interval, read_rows

ARMS: dict[str, tuple[str, ...]] = {
    "auto": ("tuition.methods=auto",),
    "demonstration": ("tuition.methods=demonstration",),
    "drawn": ("tuition.methods=demonstration", "tuition.questions=curriculum", "tuition.review=1"),
    "critique": ("tuition.methods=critique",),
    "feedback": ("tuition.methods=feedback",),
    "preference": ("tuition.methods=preference",),
    "practice": ("tuition.methods=practice",),
}
SEEDS = (211, 212, 213, 214, 215)
LIMITS = (
    "budget.tutor_tokens=300k", "tuition.lessons=500", "exams.whole=[]", "exams.final=128", "cluster=inline",
    "threads.tutor=1",
)  # fmt: skip
PLACE = Path("runs/auto")


def run(options: list[str]) -> list[Row]:
    if "fresh" in options:
        shutil.rmtree(PLACE, ignore_errors=True)
    known = {} if "fresh" in options else {row.id: row for row in read_rows("auto")}
    seeds = SEEDS[: next((int(it) for it in options if it.isdigit()), len(SEEDS))]
    cells: dict[str, Row] = {}
    # Seed by seed, so that a run that is stopped has compared all arms on what it has.
    for seed in seeds:
        for arm in ARMS:
            names = (f"{arm}-{seed}", f"tokens-{arm}-{seed}")
            found = _lies_there(arm, seed) or [known[name] for name in names if name in known]
            if not found and "finished" not in options:
                found = measure(arm, seed)
            cells |= {row.id: row for row in found}
    return [*(_compare(arm, cells) for arm in ARMS if _of(arm, cells)), *cells.values()]


def measure(arm: str, seed: int) -> list[Row]:
    """Run one campaign, or take it up where it was; give its two rows."""
    settings = (*ARMS[arm], f"seed={seed}", f"cache={PLACE / f'cache-{seed}'}", *LIMITS)
    rows = _read(arm, seed, run_campaign(QUICKSTART, PLACE / f"{arm}-{seed}", settings))
    print(arm, seed, f"{rows[0].value:.3f}", flush=True)
    return rows


def _lies_there(arm: str, seed: int) -> list[Row]:
    """Read the report of a run that came to its end."""
    path = PLACE / f"{arm}-{seed}" / "report.json"
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return _read(arm, seed, report) if report.get("stopped_because") else []


def _read(arm: str, seed: int, report: dict[str, Any]) -> list[Row]:
    mean = statistics.mean(student["final_mean"]["after"] for student in report["students"])
    each = ", ".join(f"{it['id']} {it['final_mean']['after']:.1%}" for it in report["students"])
    note = f"{each}; {report['seconds']:.0f} s; {commit()}"
    tokens = report["tutor"]["tokens"]["total"]
    return [
        Row(f"{arm}-{seed}", "taught skills of both students", mean, "share", note=note),
        Row(f"tokens-{arm}-{seed}", "tutor tokens of that run", tokens, "tokens"),
    ]


def _of(arm: str, cells: dict[str, Row]) -> dict[int, float]:
    """Give what an arm reached, by seed."""
    found = {seed: cells[f"{arm}-{seed}"].value for seed in SEEDS if f"{arm}-{seed}" in cells}
    return {seed: value for seed, value in found.items() if value is not None}


def _compare(arm: str, cells: dict[str, Row]) -> Row:
    """Summarise an arm, and compare it with the choice by evidence on the seeds that both have."""
    ours, theirs = _of("auto", cells), _of(arm, cells)
    values = list(theirs.values())
    tokens = statistics.mean(cells[f"tokens-{arm}-{seed}"].value or 0 for seed in theirs)
    note = f"{len(values)} seeds, from {min(values):.1%} to {max(values):.1%}; {tokens:,.0f} tutor tokens"
    met, gaps = None, [ours[seed] - theirs[seed] for seed in sorted(set(ours) & set(theirs))]
    if arm != "auto" and gaps:
        met = statistics.mean(gaps) > 0
        ahead = f"auto is {statistics.mean(gaps):+.1%} apart, ahead in {sum(gap > 0 for gap in gaps)} of {len(gaps)}"
        note = f"{ahead}; {note}"
    return Row(
        f"all-{arm}", "taught skills of both students", statistics.mean(values), "share", *mean_interval(values),
        target="" if arm == "auto" else "below auto in the mean", met=met, note=note,
    )  # fmt: skip
