"""Rows of a benchmark: printed as a table, kept as JSON with the commit and the machine that made them."""

from __future__ import annotations

import datetime
import json
import random
import statistics
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from tft.running import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One measured claim; ``met`` is None where there is no target."""

    id: str
    what: str
    value: float | None
    unit: str
    low: float | None = None
    high: float | None = None
    target: str = ""
    met: bool | None = None
    limit_share: float | None = None
    note: str = ""


def median_interval(values: Sequence[float], draws: int = 10_000) -> tuple[float, float]:
    """Give the 95 % interval of a median, by bootstrap with a fixed seed."""
    rng = random.Random(0)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return medians[round(0.025 * draws)], medians[round(0.975 * draws) - 1]


def write_result(name: str, rows: list[Row]) -> None:
    """Print a table and write ``benchmarks/results/<name>.json``."""
    table = Table(title=name)
    for heading in ("id", "what", "value", "95 %", "unit", "target", "met", "note"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        interval = "" if row.low is None or row.high is None else f"{row.low:.4g} to {row.high:.4g}"
        value = "not measured" if row.value is None else f"{row.value:.4g}"
        met = {True: "yes", False: "NO", None: ""}[row.met]
        table.add_row(row.id, row.what, value, interval, row.unit, row.target, met, row.note)
    Console(width=160).print(table)
    found = environment()
    result = {
        "name": name,
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "hardware": f"{found['processor']}, {found['cpus']} cores",
        "versions": {key: found[key] for key in ("python", "torch", "transformers", "peft", "ray", "tft")},
        "rows": [asdict(row) for row in rows],
    }
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def commit() -> str:
    """Name the commit that is checked out, and say whether anything was changed since."""
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False)
    return said.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
