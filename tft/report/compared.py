"""A comparison of runs in the terminal: costs, differences of the configs, scores, and what the tests say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tft.report import words
from tft.report.measures import Change, Measure
from tft.report.terminal import PLAIN, STYLES

if TYPE_CHECKING:
    from rich.console import Console


def print_comparison(found: dict[str, Any], console: Console) -> None:
    """Print what ``tft compare`` found."""
    runs = found["runs"]
    _print(console, ["run", "seed", "stopped", "tutor tokens", "seconds", "trained tokens"], [
        [it["run"], str(it["seed"]), str(it["stopped_because"]), words.count(it["tutor_tokens"]),
         words.count(round(it["seconds"] or 0)),
         words.count(sum(student["trained_tokens"] for student in it["students"].values()))]
        for it in runs
    ])  # fmt: skip
    if found["config"]:
        heading = ["config", *(it["run"] for it in runs)]
        _print(console, heading, [
            [it["key"], *(words.DASH if value is None else value for value in it["values"])] for it in found["config"]
        ])  # fmt: skip
    for student in dict.fromkeys(name for it in runs for name in it["students"]):
        _print_scores(console, runs, student)
    pairs: dict[str, list[dict[str, Any]]] = {}
    for it in found["comparisons"]:
        pairs.setdefault(_sides(it), []).append(it)
    for sides, rows in pairs.items():
        _print(console, [sides, "by points", "p", "Holm", "items"], [
            [it["exam"], Text(_changed(it), STYLES[_change(it).direction]), _p(it["p"]), _p(it["corrected"]),
             "paired" if it["paired"] else "other items"]
            for it in rows
        ])  # fmt: skip
    note = (
        "p: McNemar's exact test on paired items, Fisher's on others, a bootstrap for the mean. Holm: corrected for "
        f"all {len(found['comparisons'])} of them. An interval is 95 %, not corrected, and speaks of other questions, "
        "not of other seeds."
    )
    console.print(Text(_plain(note, console), "dim"))


def _print_scores(console: Console, runs: list[dict[str, Any]], student: str) -> None:
    exams = dict.fromkeys(exam for it in runs for exam in it["students"].get(student, {}).get("exams", ()))
    rows = []
    for exam in exams:
        measured = [it["students"].get(student, {}).get("exams", {}).get(exam, {}) for it in runs]
        rows.append([exam, *(f"{_score(it.get('before'))} → {_score(it.get('after'))}" for it in measured)])
    _print(console, [f"{student}, %", *(it["run"] for it in runs)], rows)


def _print(console: Console, headings: list[str], rows: list[list[Any]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(_plain(heading, console), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_plain(str(cell), console), cell.style if isinstance(cell, Text) else "") for cell in row))
    console.print(table)
    console.print()


def _plain(text: str, console: Console) -> str:
    return text.translate(PLAIN).encode("ascii", "replace").decode() if console.options.ascii_only else text


def _sides(row: dict[str, Any]) -> str:
    """Name both sides; the run only where there are two."""
    first, second = row["first"], row["second"]
    if first["run"] == second["run"]:
        return f"{second['student']} − {first['student']}"
    return f"{second['student']}: {second['run']} − {first['run']}"


def _score(value: object) -> str:
    measure = Measure.read(value)
    return words.DASH if measure is None else f"{100 * measure.score:.1f}"


def _change(row: dict[str, Any]) -> Change:
    return Change(row["difference"], row["low"], row["high"])


def _changed(row: dict[str, Any]) -> str:
    change = _change(row)
    return f"{words.MARKS[change.direction]} {words.points(change.value)} ({words.interval(change)})"


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
