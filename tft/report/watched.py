"""What a log says of a deployed student, in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from tft.report import words
from tft.report.measures import Measure
from tft.report.terminal import as_text, say

if TYPE_CHECKING:
    from rich.console import Console


def print_watch(found: dict[str, Any], console: Console) -> None:
    """Print what ``tft watch`` found: a line a skill, and what drifted."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("skill", "in the log", "in the exam", "p", "Holm", "liked", "prompts", "answers"):
        table.add_column(name, justify="left" if name == "skill" else "right")
    for row in found["skills"]:
        seen = Measure(row["score"], row["low"], row["high"], row["n"])
        table.add_row(
            as_text(row["skill"], console),
            f"{words.percent(seen.score)} ({words.interval(seen)})",
            words.percent(row["examined"]),
            words.decimal(row["p"], 4),
            words.decimal(row["corrected"], 4),
            f"{row['liked']} of {row['liked'] + row['disliked']}",
            words.count(row["n"]),
            words.count(row["answers"]),
            style="bold red" if row["drifted"] else "",
        )
    console.print(table)
    unknown, dropped = found["unknown"]["rows"], found["dropped"]
    if unknown:
        shown = "; ".join(found["unknown"]["examples"])
        say(console, f"{words.plural(unknown, 'prompt')} the curriculum does not know, such as: {shown}", "yellow")
    if dropped:
        rows = {reason: number for reason, number in dropped.items() if reason != "thumb"}
        if rows:
            told = ", ".join(f"{number} {reason}" for reason, number in rows.items())
            say(console, f"rows that could not be read: {told}", "yellow")
        if "thumb" in dropped:
            say(console, f"thumbs that could not be read: {dropped['thumb']}; write up or down, 1 or 0", "yellow")
    drifted = found["drifted"]
    say(console, f"drifted: {words.listed(drifted)}" if drifted else "nothing has drifted", "bold")
