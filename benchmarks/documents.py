"""Writes results into the documents that quote them, between two marks, so that no figure is copied by hand.

A document says ``<!-- benchmark: circle seed- -->`` and ``<!-- end -->``; what lies between becomes a table of the
rows of ``benchmarks/results/circle.json`` whose id begins with ``seed-`` (all of them where nothing is said).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.results import FOLDER

ROOT = Path(__file__).parents[1]
_BLOCK = re.compile(r"(<!-- benchmark: (\w+) ?(\S*) -->\n).*?(<!-- end -->)", re.DOTALL)


def fill_documents() -> list[Path]:
    """Fill every document; give those that changed."""
    changed = []
    for path in documents():
        before = path.read_text(encoding="utf-8")
        after = fill(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed.append(path)
    return changed


def documents() -> list[Path]:
    """List the documents that may quote results."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "tutors").glob("*/README.md"))]


def fill(text: str) -> str:
    """Fill every block of a document."""
    return _BLOCK.sub(lambda block: block[1] + table(block[2], block[3]) + block[4], text)


def table(name: str, prefix: str = "") -> str:
    """Write the rows of a result as a Markdown table, with the command, date and machine that made them."""
    result = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    lines = ["", "| row | what | value | 95 % interval | target | met | note |", "|---|---|--:|---|---|---|---|"]
    lines += [_line(row) for row in result["rows"] if row["id"].startswith(prefix)]
    made = f"`python -m benchmarks run {name}`, {result['date']}, commit {result['commit']}, {result['hardware']}"
    return "\n".join([*lines, "", made, ""])


def _line(row: dict[str, Any]) -> str:
    interval = "" if row["low"] is None else f"{_show(row['low'], row['unit'])} to {_show(row['high'], row['unit'])}"
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    cells = (f"`{row['id']}`", row["what"], _show(row["value"], row["unit"]), interval, row["target"], met, row["note"])
    return f"| {' | '.join(cells)} |"


def _show(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    value += 0.0  # no minus before a zero
    return f"{100 * value:.1f} %" if unit == "share" else f"{value:.4g} {unit}"
