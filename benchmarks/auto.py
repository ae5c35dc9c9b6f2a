"""Methods by evidence against every method pinned alone, at equal tutor tokens, on the quickstart campaign.

    python -m benchmarks run auto [seeds] [fresh | finished]

Each arm runs `configs/quickstart.yaml` with five seeds that nothing was tuned on, at most 300,000 tutor tokens and
500 new lessons a skill and cycle, without its whole exam, in one process. What counts is the mean share of right
answers on the taught skills of both students, final split. Finished runs lie below `runs/auto` and are not done again,
unless `fresh` is said; with `finished` nothing is run, and an arm is compared on the seeds that it has. All five seeds
take four hours on one core; a number takes as many of them.
"""

from __future__ import annotations

import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from benchmarks.campaigns import QUICKSTART, run_campaign
from benchmarks.results import Row

ARMS = ("auto", "demonstration", "critique", "feedback", "preference", "practice")
SEEDS = (211, 212, 213, 214, 215)
LIMITS = (
    "budget.tutor_tokens=300k", "tuition.lessons=500", "exams.whole=[]", "exams.final=128", "cluster=inline",
    "threads.tutor=1",
)  # fmt: skip
PLACE = Path("runs/auto")


def run(options: list[str]) -> list[Row]:
    if "fresh" in options:
        shutil.rmtree(PLACE, ignore_errors=True)
    seeds = SEEDS[: next((int(it) for it in options if it.isdigit()), len(SEEDS))]
    # Seed by seed, so that a run that is stopped has compared all arms on what it has.
    found: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in ARMS}
    for seed in seeds:
        for arm in ARMS:
            report = _finished(arm, seed)
            if report is None and "finished" in options:
                continue
            found[arm][seed] = report or _campaign(arm, seed)
            print(arm, seed, f"{_mean(found[arm][seed]):.3f}", flush=True)
    return [_row(arm, found) for arm in ARMS if found[arm]]


def _finished(arm: str, seed: int) -> dict[str, Any] | None:
    """Read the report of a run that came to its end, whatever was changed in the code since."""
    path = PLACE / f"{arm}-{seed}" / "report.json"
    report: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return report if report.get("stopped_because") else None


def _campaign(arm: str, seed: int) -> dict[str, Any]:
    settings = (f"tuition.methods={arm}", f"seed={seed}", f"cache={PLACE / f'cache-{seed}'}", *LIMITS)
    return run_campaign(QUICKSTART, PLACE / f"{arm}-{seed}", settings)


def _mean(report: dict[str, Any]) -> float:
    return statistics.mean(student["final_mean"]["after"] for student in report["students"])


def _row(arm: str, found: dict[str, dict[int, dict[str, Any]]]) -> Row:
    runs = list(found[arm].values())
    means = [_mean(it) for it in runs]
    tokens = statistics.mean(it["tutor"]["tokens"]["total"] for it in runs)
    seconds = statistics.mean(it["seconds"] for it in runs)
    apart = [_mean(best) - _mean(found[arm][seed]) for seed, best in found["auto"].items() if seed in found[arm]]
    ahead = sum(it > 0 for it in apart)
    beaten = "" if arm == "auto" else f"auto is {statistics.mean(apart):+.1%} apart, ahead in {ahead} of {len(apart)}; "
    return Row(
        arm, "taught skills of both students", statistics.mean(means), "share", min(means), max(means),
        "" if arm == "auto" else "below auto in the mean", None if arm == "auto" else statistics.mean(apart) > 0,
        note=f"{beaten}range of {len(runs)} seeds; {tokens:,.0f} tutor tokens, {seconds:.0f} s",
    )  # fmt: skip
