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


_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""Quantiles of Student's t for 95 %, by the number of values."""


def mean_interval(values: Sequence[float]) -> tuple[float, float] | tuple[None, None]:
    """Give the 95 % interval of a mean of two to ten values, by Student's t; none where it cannot be told."""
    if len(values) not in _T:
        return None, None
    mean, half = statistics.mean(values), _T[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return mean - half, mean + half


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


def read_rows(name: str) -> list[Row]:
    """Read the rows of a result that was written before; none where there is no such result."""
    path = FOLDER / f"{name}.json"
    return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]] if path.exists() else []


def commit() -> str:
    """Name the commit that is checked out, and say whether anything was changed since."""
    said = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    # What other benchmarks wrote down changes no figure.
    others = ["git", "status", "--porcelain", "-uno", "--", ".", ":!benchmarks/results"]
    changed = subprocess.run(others, capture_output=True, text=True, check=False)
    return said.stdout.strip() + ("+changes" if changed.stdout.strip() else "")
