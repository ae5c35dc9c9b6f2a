"""The mark sheet of an exam without a campaign: a line a skill, a suite and a group, readable in a plain pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from tft.report import words
from tft.report.terminal import as_text, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console


def print_sheet(found: dict[str, Any], console: Console) -> None:
    """Print what ``tft examine`` found."""
    say(console, f"{found['model']} · {found['address']}", "bold")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("exam", overflow="fold")
    for heading in ("% right", "95 % interval", "items", "% sure", "ECE"):
        table.add_column(as_text(heading, console), justify="right", no_wrap=True)
    for name, measured in _lines(found):
        table.add_row(*(as_text(cell, console) for cell in (name, *_cells(measured))))
    console.print(table)
    for name, suite in found["suites"].items():
        if suite["sat"]:
            say(console, f"{name}: {suite['caption']}", "dim")
            if suite["consistency"]:
                alike = suite["consistency"]
                told = f"{_percent(alike['score'])} % of {words.count(alike['n'])} questions answered alike"
                said = f"{told} in all their wordings, {_percent(alike['right_in_all'])} % right in all"
                say(console, f"{name}: {said}", "dim")
        else:
            say(console, f"{name}: not sat, {suite['reason']}", "yellow")
    _say_what_was_taught(found, console)
    said = "% sure: mean probability of its answers; ECE: how far that lies from % right, over ten bins, in points"
    say(console, f"{said}; {words.DASH} not measured", "dim")


def _say_what_was_taught(found: dict[str, Any], console: Console) -> None:
    """Say whether the items are held out; nobody knows that of a model that no run here has taught."""
    if not found["taught"]["known"]:
        say(console, "What this model was taught is not known here: it may have learned these very items.", "yellow")
        return
    run, whole = found["taught"]["run"], found["examined_whole"]
    but = f", but for what is examined whole: {words.listed(whole)}" if whole else ""
    say(console, f"Nothing that {run} taught was asked{but}.", "dim")
    if found["suites"] and found["curriculum"] is None:
        say(console, f"With --curriculum, suites are compared with what {run} taught, too.", "yellow")


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from found["skills"].items()
    for name, suite in found["suites"].items():
        yield name, suite
        yield from ((f"  {group}", measured) for group, measured in suite["groups"].items())


def _cells(measured: dict[str, Any]) -> tuple[str, ...]:
    if measured["score"] is None:
        return (words.DASH, words.DASH, "0", words.DASH, words.DASH)
    calibration = measured["calibration"]
    sure = [words.DASH] * 2 if calibration is None else [_percent(calibration[it]) for it in ("confidence", "ece")]
    bounds = f"{100 * measured['low']:.0f}–{100 * measured['high']:.0f}"
    return (_percent(measured["score"]), bounds, words.count(measured["n"]), *sure)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
