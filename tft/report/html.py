"""The report card, and a comparison of several, as one page that needs nothing else: no server, no network, no script.

The page is laid out in ``templates/``; this module hands it words, rows and charts. Everything that comes
from the report is escaped, and a content security policy forbids the page to fetch anything. Only the page of a
campaign that still runs has a script, which asks its own server for what is new.
Left out on purpose: the evidence. What the report does not say, the page does not guess.
"""

from __future__ import annotations

import base64
import difflib
import hashlib
import re
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChainableUndefined, Environment, PackageLoader, Undefined
from markupsafe import Markup, escape

from tft.report import charts, rows, words
from tft.report.limits import limits
from tft.report.measures import Change, Measure, mapping, number
from tft.report.next_steps import NOTE

ROLE_TITLES = {
    "taught": "To be taught",
    "retention": "Retention: known before, watched for loss",
    "stretch": "Stretch: taught to nobody, expected to fail",
}
REASON_TITLES = {
    "wrong": "the answer failed the grader",
    "duplicate": "the same question was there already",
    "leak": "the question is in an exam",
    "unreadable": "the tutor's text could not be read",
    "off_skill": "the question belongs to another skill",
    "right_attempt": "the attempt to be criticised was right",
    "too_long": "it is longer than it may be",
}
FEATURED = 2
"""Examples a student and kind of lesson that are not folded away."""
STAGE_TITLES = {
    "tutor": "tutor writes and reads",
    "train": "students train",
    "examine": "students are examined",
    "orchestrate": "orchestration",
}


def render_html(report: dict[str, Any], *, live: str | None = None) -> str:
    """Lay a report out as a self-contained page.

    Args:
        report: the contents of ``report.json``; whatever is absent is left out or shown as not measured.
        live: the state that it shows of a campaign that runs; the page then asks whether there is another. None for a
            page that stands still and has no script.

    Returns:
        The page, as UTF-8 text.
    """
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            skills=rows.skills(report),
            students=[_student(report, student) for student in rows.students(report)],
            exams=rows.exams(report),
            config=rows.flatten(mapping(report.get("config"))),
            environment=rows.flatten(mapping(report.get("environment"))),
            limits=limits(report),
            next_note=NOTE,
            live=live,
            examples=_featured([mapping(example) for example in report.get("examples") or []]),
            tokens=mapping(mapping(report.get("tutor")).get("tokens")),
            busiest=max(filter(None, map(number, mapping(report.get("time")).values())), default=None),
        )
    )


def render_comparison(found: dict[str, Any]) -> str:
    """Lay out what ``tft compare`` found as a self-contained page.

    Args:
        found: what :func:`tft.comparison.compare` gives.

    Returns:
        The page, as UTF-8 text.
    """
    return (
        _environment()
        .get_template("compare.html.j2")
        .render(
            found=found,
            title=" and ".join(run["run"] for run in found["runs"]),
            pairs=rows.pairs(found),
            note=words.comparison_note(len(found["comparisons"])),
        )
    )


@cache
def _environment() -> Environment:
    # Chainable: what an older or interrupted campaign did not record reads as not measured, not as an error.
    environment = Environment(
        loader=PackageLoader("tft.report", "templates"),
        autoescape=True,
        undefined=ChainableUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        coded=coded,
        money=words.money,
        percent=words.percent,
        points=words.points,
        interval=words.interval,
        count=words.count,
        decimal=words.decimal,
        p_value=words.p_value,
        duration=words.duration,
        stopped=words.stopped,
        listed=words.listed,
        plural=words.plural,
        number=number,
        measure=Measure.read,
        change=Change.read,
        flatten=rows.flatten,
    )
    environment.globals.update(
        script=_script(),
        interval_chart=charts.interval_chart,
        interval_scale=charts.interval_scale,
        learning_curve=charts.learning_curve,
        bar=charts.bar,
        key=charts.key,
        compared=compared,
        share=words.share,
        when_clear=words.LEGEND,
        marks=words.MARKS,
        role_titles=ROLE_TITLES,
        reason_titles=REASON_TITLES,
        stage_titles=STAGE_TITLES,
    )
    return environment


def _script() -> dict[str, Markup | str]:
    """Read the script of the live page, and the digest that lets a browser run it and no other."""
    text = files("tft.report").joinpath("templates/live.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return {"text": Markup(text), "digest": f"sha256-{digest}"}  # noqa: S704


def _shown(value: object) -> object:
    return words.DASH if value is None or isinstance(value, Undefined) else value


def _student(report: dict[str, Any], student: dict[str, Any]) -> dict[str, Any]:
    found = rows.skill_rows(report, student)
    taught = [row for row in found if row.role == "taught"]
    changes = [row.change for row in taught if row.change is not None]
    sizes = sorted({row.n for row in found if row.n is not None})
    return {
        "data": student,
        "learned": words.learned(student, len(taught)),
        "kept": words.kept(student),
        "drop": Change.read(mapping(student.get("retention")).get("worst_drop")),
        "sure": _sure([change.direction for change in changes], sizes),
        "standings": {words.STANDINGS[name]: names for name, names in rows.standings(report, student).items() if names},
        "failures": [it for it in map(mapping, report.get("failures") or []) if it.get("student") == student.get("id")],
        "groups": _grouped(found),
        "curves": rows.curves(report, student),
        "beliefs": rows.beliefs(report, student),
    }


def _grouped(found: list[rows.Row]) -> dict[str, list[rows.Row]]:
    groups: dict[str, list[rows.Row]] = {}
    for row in found:
        groups.setdefault(row.role, []).append(row)
    return groups


def _featured(examples: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Split examples into those shown at once, critiques first, and those that are folded away."""
    first: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    shown: Counter[tuple[str, str]] = Counter()
    for example in sorted(examples, key=lambda it: it.get("attempt") is None):
        kind = (str(example.get("student")), str(example.get("kind")))
        shown[kind] += 1
        (first if shown[kind] <= FEATURED else rest).append(example)
    return first, rest


def _sure(directions: list[str], sizes: list[int]) -> str:
    """Say how sure the outcome is, from nothing but the tests of the report."""
    if not directions or not sizes:
        return "How sure this is cannot be said: no change was measured."
    rose, fell = directions.count("rose"), directions.count("fell")
    items = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    clear = f"{rose} of {words.plural(len(directions), 'taught skill')} rose"
    lost = f" and {fell} fell" if fell else ""
    return f"{clear}{lost}: {words.CLEAR} for all its skills; {items} held-out items a skill."


def coded(text: object) -> Markup:
    """Set what stands in backticks as code.

    >>> coded("raise `tuition.lessons` & run")
    Markup('raise <code>tuition.lessons</code> &amp; run')
    """
    parts = str(text).split("`")
    return Markup().join(
        Markup("<code>{}</code>").format(it) if place % 2 else escape(it) for place, it in enumerate(parts)
    )


def compared(attempt: object, answer: object) -> tuple[Markup, Markup]:
    """Mark the words in which an attempt and the better answer differ.

    >>> compared("7+8=14 #84", "7+8=15 #84")[0]
    Markup('<del>7+8=14</del> #84')
    """
    # Spaces are pieces of their own, so that line breaks in a long answer stay where they are.
    first, second = re.split(r"(\s+)", str(attempt)), re.split(r"(\s+)", str(answer))
    left, right = [], []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, first, second, autojunk=False).get_opcodes():
        left.append(_marked("".join(first[a:b]), "del" if tag != "equal" else ""))
        right.append(_marked("".join(second[c:d]), "ins" if tag != "equal" else ""))
    return Markup().join(left), Markup().join(right)


def _marked(text: str, element: str) -> Markup:
    if not element or not text.strip():
        return escape(text)
    return Markup(f"<{element}>{{}}</{element}>").format(text)  # noqa: S704
