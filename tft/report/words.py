"""Numbers and outcomes in words, the same on the page and in the terminal.

Left out on purpose: locales. Points for decimals, commas for thousands, a no-break space before a unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.report.measures import Change, Measure, mapping, number

if TYPE_CHECKING:
    from collections.abc import Iterable

DASH = "–"
"""Stands where nothing was measured."""
NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
STOPPED = {
    "mastery": "every skill to be taught was mastered",
    "plateau": "there was no more progress",
    "budget": "the budget was used up",
    "cycles": "all cycles were done",
    "no_lessons": "no lesson was left to teach",
}
STANDINGS = {"mastered": "mastered", "nearly": "nearly", "not_yet": "not yet"}
MARKS = {"rose": "▲", "fell": "▼", "unclear": "≈"}
CLEAR = "p < 0.05 in McNemar's exact test, corrected (Holm)"
"""When a change counts as one."""
LEGEND = f"{CLEAR} for all skills of a student, or for all its whole exams and their groups"


def _rounded(value: float, digits: int) -> str:
    """Round for reading, but never to 0 or 100 unless it is: 99.96 with one digit stays 99.96."""
    exact = min((0.0, 100.0), key=lambda end: abs(abs(value) - end))
    while digits < 3 and abs(abs(value) - exact) > 1e-9 and round(abs(value), digits) == exact:
        digits += 1
    text = f"{abs(value):,.{digits}f}"
    return MINUS + text if value < 0 and float(text.replace(",", "")) else text


def percent(value: object, digits: int = 1) -> str:
    """Write a share in per cent.

    >>> percent(0.925), percent(0.9996, 0), percent(None)
    ('92.5\\xa0%', '99.96\\xa0%', '–')
    """
    share = number(value)
    return DASH if share is None else f"{_rounded(100 * share, digits)}{NBSP}%"


def share(part: object, whole: object) -> str:
    """Write a part of a whole in per cent; a dash where either is missing or the whole is nothing."""
    amount, total = number(part), number(whole)
    return percent(amount / total) if amount is not None and total else DASH


def points(value: object, *, signed: bool = True) -> str:
    """Write a difference of shares in percentage points, without the unit.

    >>> points(0.761), points(-0.012), points(0), points(None)
    ('+76.1', '−1.2', '0.0', '–')
    """
    difference = number(value)
    if difference is None:
        return DASH
    text = _rounded(100 * difference, 1)
    return f"+{text}" if signed and difference > 0 and float(text.replace(",", "")) else text


def interval(found: Measure | Change | None, *, signed: bool | None = None) -> str:
    """Write an interval in points or per cent, without the unit; empty where there is none.

    Args:
        found: what was measured.
        signed: whether a plus is written; None means for changes and not for scores.
    """
    if found is None or found.low is None or found.high is None:
        return ""
    signed = isinstance(found, Change) if signed is None else signed
    return f"{points(found.low, signed=signed)} to {points(found.high, signed=signed)}"


def count(value: object) -> str:
    """Write a whole number with commas.

    >>> count(1234567), count(0), count(None)
    ('1,234,567', '0', '–')
    """
    found = number(value)
    return DASH if found is None else f"{round(found):,}"


def money(value: object) -> str:
    """Write an amount of money, without its currency, which nobody told.

    >>> money(12.3456), money(0.00123), money(0), money(None)
    ('12.35', '0.0012', '0.00', '–')
    """
    amount = number(value)
    if amount is None:
        return DASH
    return f"{amount:,.2f}" if amount == 0 or amount >= 0.1 else f"{amount:.2g}"


def p_value(value: float) -> str:
    """Write a p-value.

    >>> p_value(0.0421), p_value(0.00002)
    ('0.042', '<0.001')
    """
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def comparison_note(comparisons: int) -> str:
    """Say what the tests of a comparison are, and what they do not say."""
    return (
        "p: McNemar's exact test on paired items, Fisher's on others, a permutation test for the mean. Holm: corrected "
        f"for all {comparisons} of them, and below 0.05 where ▲ or ▼ stands. An interval is 95 %, not corrected, and "
        "speaks of other questions, not of other seeds. A question that an exam asks more than once counts each time "
        "in the score, and once in the test."
    )


def decimal(value: object, digits: int = 3) -> str:
    """Write a plain decimal number."""
    found = number(value)
    return DASH if found is None else f"{found:.{digits}f}".replace("-", MINUS)


def duration(value: object) -> str:
    """Write seconds as a person would say them.

    >>> duration(4.25), duration(252), duration(7380), duration(None)
    ('4.2\\xa0s', '4\\xa0min 12\\xa0s', '2\\xa0h 3\\xa0min', '–')
    """
    seconds = number(value)
    if seconds is None:
        return DASH
    if seconds < 59.95:
        return f"{seconds:.1f}{NBSP}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min {rest}{NBSP}s"
    return f"{minutes // 60}{NBSP}h {minutes % 60}{NBSP}min"


def plural(amount: int, noun: str) -> str:
    """Join a number and a noun: ``1 skill``, ``5 skills``."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def listed(names: Iterable[str]) -> str:
    """Join names: ``a, b and c``."""
    *most, last = list(names) or ["none"]
    return f"{', '.join(most)} and {last}" if most else last


def stopped(reason: object) -> str:
    """Say why something stopped; a reason we have no words for is shown as it is."""
    return STOPPED.get(str(reason), str(reason)) if reason else "not recorded"


def outcome(student: dict[str, Any], taught: int) -> str:
    """Say in one sentence what became of a student.

    Args:
        student: as the report has it.
        taught: how many skills the mean is over.
    """
    return f"{learned(student, taught)}; {kept(student)}."


def learned(student: dict[str, Any], taught: int) -> str:
    """Say what a student has learned."""
    mean = mapping(student.get("final_mean"))
    before, after = mean.get("before"), mean.get("after")
    if number(before) is None or number(after) is None:
        return f"{student.get('id')} has no final exam to compare"
    scores = f"{percent(before, 0)} to {percent(after, 0)}"
    return f"{student.get('id')} went from {scores} on {plural(taught, 'taught skill')}"


def kept(student: dict[str, Any]) -> str:
    """Say whether a student has kept what it knew before; a drop is positive when something was lost."""
    worst = mapping(mapping(student.get("retention")).get("worst_drop"))
    drop = Change.read(worst)
    if drop is None:
        return "whether it kept what it knew before was not measured"
    if drop.value <= 0:
        return "nothing it knew before fell"
    size = f"{points(drop.value, signed=False)} points"
    if drop.direction == "rose":
        return f"it lost {size} on {worst.get('skill')}, which it knew before"
    return f"nothing it knew before fell by more than {size}"
