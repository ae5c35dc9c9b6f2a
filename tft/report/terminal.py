"""The report card in the terminal: one table a student, readable at 80 columns and in a plain pipe.

Left out on purpose: curves, lessons and lineage. They are on the page that ``report.html`` holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from tft.report import rows, words
from tft.report.measures import Change, Measure, mapping, number
from tft.report.next_steps import NOTE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

_SHOWN = 200
"""Letters of a refused answer that are shown."""
STYLES = {"rose": "bold green", "fell": "bold red", "unclear": ""}
PLAIN = str.maketrans({"▲": "^", "▼": "v", "≈": "~", "→": "->", "–": "-", "·": "|", words.NBSP: " ", words.MINUS: "-"})


def print_summary(report: dict[str, Any], console: Console) -> None:
    """Print what a person wants to know first: outcome, intervals, what it cost, why it stopped."""
    say(console, _headline(report), "bold")
    for student in rows.students(report):
        console.print()
        say(console, _heading(student), "bold")
        for line in _lineage(student):
            say(console, line, "dim")
        console.print(_table(report, student, console))
        say(console, _retention(student))
        for line in _rolled_back(student):
            say(console, line, "yellow")
        for line in _believed(report, student):
            say(console, line)
        for line in _watched(student):
            say(console, line)
        for suite, reason in _not_sat(report, student):
            say(console, f"{suite}: not sat, {reason}", "yellow")
    console.print()
    for line in _refused(report):
        say(console, line, "yellow")
    if report.get("limit_reached"):
        say(console, f"the limit that was reached: {report['limit_reached']}", "yellow")
    say(console, _cost(report))
    _print_next(report, console)
    say(console, "▲ ▼ clear: McNemar, p < 0.05 after Holm; ≈ not clear; – not measured", "dim")


def _print_next(report: dict[str, Any], console: Console) -> None:
    steps = report.get("next") or []
    for place, step in enumerate(steps, start=1):
        # What is code on the page is plain here.
        say(console, f"{'next:' if place == 1 else '     '} {place}. {step.replace('`', '')}")
    if steps:
        say(console, NOTE.replace("`", ""), "dim")


def _refused(report: dict[str, Any]) -> Iterator[str]:
    """Where a student got no lessons, show the first that was refused: it says more than how many there were."""
    curation = mapping(report.get("curation"))
    examples = curation.get("examples") or []
    if examples and any(student.get("stopped_because") == "no_lessons" for student in rows.students(report)):
        first = mapping(examples[0])
        refused = sum(mapping(curation.get("rejected")).values())
        text = " ".join(str(first.get("text")).split())
        yield (
            f"{words.count(refused)} lessons were refused; the first, {first.get('kind')} of {first.get('skill')} "
            f"({first.get('reason')}): {text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"
        )


def as_text(text: str, console: Console, style: str = "") -> Text:
    """Keep to ASCII where the pipe carries nothing else; never read markup: a name in brackets is a name."""
    if console.options.ascii_only:
        text = text.translate(PLAIN).encode("ascii", "replace").decode()
    return Text(text, style=style)


def say(console: Console, text: str, style: str = "") -> None:
    """Print a line."""
    console.print(as_text(text, console, style))


def _headline(report: dict[str, Any]) -> str:
    roster = words.plural(len(rows.students(report)), "student")
    reason = words.stopped(report.get("stopped_because"))
    return f"{report.get('campaign')} · {roster} · {words.count(report.get('cycles'))} cycles · {reason}"


def _heading(student: dict[str, Any]) -> str:
    mean = mapping(student.get("final_mean"))
    scores = f"{words.percent(mean.get('before'))} → {words.percent(mean.get('after'))} on taught skills"
    return f"{student.get('id')} ({student.get('adapter')}) · {scores} · {_short(student)}"


def _lineage(student: dict[str, Any]) -> Iterator[str]:
    """Say what a student was when each campaign before this one had ended."""
    for version in map(mapping, student.get("lineage") or []):
        scores = mapping(version.get("skills"))
        taught = [f"{name} {words.percent(mapping(scores.get(name)).get('score'))}" for name in version["taught"]]
        checkpoint = str(version["checkpoint"])[:8] if version.get("checkpoint") else "base model"
        told = f"learned {words.listed(taught)}" if taught else "learned nothing new"
        yield f"before: {version.get('run')}, {version.get('date')}, {checkpoint}: {told}"


def _short(student: dict[str, Any]) -> str:
    return f"stopped: {student.get('stopped_because') or 'not recorded'}"


def _table(report: dict[str, Any], student: dict[str, Any], console: Console) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("%", overflow="fold")
    table.add_column("role", overflow="fold")
    for heading in ("before", "after", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows.skill_rows(report, student):
        _add(table, row, row.role, console)
    for suite, (_, sittings) in rows.exams(report).items():
        for sat in sittings:
            if sat.student != str(student.get("id")) or not sat.rows:
                continue
            table.add_section()
            for index, row in enumerate(sat.rows):
                _add(table, row, "" if index else "whole exam", console, f"  {row.name}" if index else suite)
    return table


def _add(table: Table, row: rows.Row, role: str, console: Console, name: str | None = None) -> None:
    style = STYLES[row.change.direction] if row.change is not None else ""
    table.add_row(
        as_text(name or row.name, console),
        as_text(role, console, "dim"),
        as_text(_score(row.before), console),
        as_text(_score(row.after), console),
        as_text(_changed(row.change), console, style),
    )


def _score(found: Measure | None) -> str:
    if found is None:
        return words.DASH
    if found.low is None or found.high is None:
        return f"{100 * found.score:.1f}"
    return f"{100 * found.score:.1f} ({100 * found.low:.0f}–{100 * found.high:.0f})"


def _changed(change: Change | None) -> str:
    return words.DASH if change is None else f"{words.MARKS[change.direction]} {words.points(change.value)}"


def _retention(student: dict[str, Any]) -> str:
    worst = mapping(mapping(student.get("retention")).get("worst_drop"))
    drop = Change.read(worst)
    if drop is None:
        return f"worst drop of what was known before: {words.DASH} (not measured)"
    bounds = words.interval(drop, signed=False)
    bounds += f"; the worst of {worst['of']}" if bounds and (number(worst.get("of")) or 0) > 1 else ""
    said = f"worst drop of what was known before: {words.points(drop.value, signed=False)} points"
    return f"{said} on {worst.get('skill')}" + (f" ({bounds})" if bounds else "")


def _believed(report: dict[str, Any], student: dict[str, Any]) -> Iterator[str]:
    """Sort the skills by what the evidence says of mastery: above, below, or not told apart from it."""
    threshold = number(mapping(mapping(report.get("config")).get("tuition")).get("mastery"))
    found = rows.beliefs(report, student)
    if threshold is None or not found:
        return
    groups = {
        "mastered": [it.name for it in found if threshold not in it.undecided and it.measure.score >= threshold],
        "not mastered": [it.name for it in found if threshold not in it.undecided and it.measure.score < threshold],
        "undecided": [f"{it.name} ({words.interval(it.measure)})" for it in found if threshold in it.undecided],
    }
    said = "; ".join(f"{title}: {', '.join(names)}" for title, names in groups.items() if names)
    yield f"believed of the last checkpoint, {said}"


def _rolled_back(student: dict[str, Any]) -> Iterator[str]:
    for cycle in map(mapping, student.get("cycles") or []):
        if cycle.get("promoted") is False:
            yield f"cycle {cycle.get('cycle')}: {cycle.get('decision') or 'rolled back'}"


def _watched(student: dict[str, Any]) -> Iterator[str]:
    """Follow what the gate watched of each whole exam, from cycle to cycle."""
    paths: dict[str, list[str]] = {}
    for cycle in map(mapping, student.get("cycles") or []):
        for suite, found in mapping(cycle.get("watched")).items():
            before, after = (words.percent(mapping(found.get(when)).get("score")) for when in ("before", "after"))
            refused = " (rolled back)" if cycle.get("promoted") is False else ""
            paths.setdefault(suite, [before]).append(f"{after}{refused}")
    for suite, path in paths.items():
        yield f"watched of {suite}: {' → '.join(path)}"


def _not_sat(report: dict[str, Any], student: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (suite, sat.reason)
        for suite, (_, sittings) in rows.exams(report).items()
        for sat in sittings
        if sat.student == str(student.get("id")) and sat.reason is not None
    ]


def _cost(report: dict[str, Any]) -> str:
    tokens = mapping(mapping(report.get("tutor")).get("tokens"))
    total, cached = words.count(tokens.get("total")), words.count(tokens.get("of_which_cached"))
    money = mapping(report.get("tutor")).get("money")
    cost = "" if number(money) is None else f", cost {words.money(money)}"
    return f"tutor: {total} tokens, {cached} of them from the cache{cost} · {words.duration(report.get('seconds'))}"
