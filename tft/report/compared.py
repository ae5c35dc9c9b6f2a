"""A comparison of runs in the terminal: costs, differences of the configs, scores, and what the tests say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tft.report import rows, words
from tft.report.measures import Change, Measure
from tft.report.terminal import STYLES, as_text, say

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
    for pair in rows.pairs(found):
        _print(console, [pair.title, "by points", "p", "Holm", "items"], [
            [it.exam, Text(_changed(it.change), STYLES[it.change.direction]), words.p_value(it.p),
             words.p_value(it.corrected), "paired" if it.paired else "other items"]
            for it in pair.rows
        ])  # fmt: skip
    say(console, words.comparison_note(len(found["comparisons"])), "dim")


def _print_scores(console: Console, runs: list[dict[str, Any]], student: str) -> None:
    exams = dict.fromkeys(exam for it in runs for exam in it["students"].get(student, {}).get("exams", ()))
    scores = []
    for exam in exams:
        measured = [it["students"].get(student, {}).get("exams", {}).get(exam, {}) for it in runs]
        scores.append([exam, *(f"{_score(it.get('before'))} → {_score(it.get('after'))}" for it in measured)])
    _print(console, [f"{student}, %", *(it["run"] for it in runs)], scores)


def _print(console: Console, headings: list[str], lines: list[list[Any]]) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(as_text(heading, console), overflow="fold")
    for row in lines:
        table.add_row(*(as_text(str(it), console, str(it.style) if isinstance(it, Text) else "") for it in row))
    console.print(table)
    console.print()


def _score(value: object) -> str:
    measure = Measure.read(value)
    return words.DASH if measure is None else f"{100 * measure.score:.1f}"


def _changed(change: Change) -> str:
    return f"{words.MARKS[change.direction]} {words.points(change.value)} ({words.interval(change)})"
