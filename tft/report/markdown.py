"""The report as Markdown, and the card of a student for the Hub.

Left out on purpose: curves and lessons, which ``report.html`` shows, and any word that the report does not hold.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCardData

from tft.report import rows, words
from tft.report.limits import limits
from tft.report.measures import Measure, mapping, number
from tft.report.next_steps import NOTE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEADING = "| skill | role | before | after | change | items |\n|---|---|---|---|---|---|"


def render_markdown(report: dict[str, Any]) -> str:
    """Write the report card as one Markdown document."""
    tutor = mapping(report.get("tutor"))
    tokens = mapping(tutor.get("tokens"))
    parts = [
        f"# {report.get('campaign')}",
        f"{words.plural(len(rows.students(report)), 'student')}, {words.count(report.get('cycles'))} cycles; "
        f"{words.stopped(report.get('stopped_because'))}. {words.count(tokens.get('total'))} tutor tokens, "
        f"{words.duration(report.get('seconds'))}{_money(tutor)}.",
    ]
    if report.get("next"):
        parts += ["## What to do next", "\n".join(f"{place}. {it}" for place, it in enumerate(report["next"], 1)), NOTE]
    for student in rows.students(report):
        parts += [
            f"## {student.get('id')}",
            _told(report, student),
            *_standings(report, student),
            _scores(report, student),
        ]
    parts += ["## Limits", *(f"- {line}" for line in limits(report)), "## Sources", _sources(report)]
    return _join(parts)


def render_model_card(report: dict[str, Any], student: dict[str, Any]) -> str:
    """Write the card of one student, with its scores where the Hub reads them."""
    alone = {**report, "students": [student]}
    name, adapter = f"{report.get('campaign')}-{student.get('id')}", str(student.get("adapter"))
    tutor = mapping(report.get("tutor"))
    data = ModelCardData(
        model_name=name,
        base_model=str(student.get("model")),
        library_name={"full": "transformers", "lora": "peft"}.get(adapter),
        tags=["tutorial-fine-tuning", adapter],
        eval_results=_results(report, student) or None,
    )
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# {name}",
        f"{student.get('model')}, taught by {tutor.get('id')} ({tutor.get('model')}) in the campaign "
        f"{report.get('campaign')}, seed {report.get('seed')}; adaptation: {adapter}, "
        f"{words.percent(student.get('trainable_share'))} of the weights.{_asked_with(report, student)}",
        "## What it can do",
        _told(report, student),
        _scores(report, student),
        "## What it was taught from",
        _lineage(report, str(student.get("id"))),
        "## Limits",
        *(f"- {line}" for line in limits(alone)),
        "## Sources and licences",
        _sources(report),
        "The licence of the base model holds for what was made of it; this card does not choose another.",
    ]
    return _join(parts)


def _asked_with(report: dict[str, Any], student: dict[str, Any]) -> str:
    config = map(mapping, mapping(report.get("config")).get("students") or [])
    switches = next((it.get("template") for it in config if it.get("id") == student.get("id")), None)
    return f" Its chat template is set to `{json.dumps(switches)}`, as it was taught and examined." if switches else ""


def _join(parts: list[str]) -> str:
    return "\n\n".join(parts).replace(".\n\n- ", ".\n- ") + "\n"


def _told(report: dict[str, Any], student: dict[str, Any]) -> str:
    taught = sum(row.role == "taught" for row in rows.skill_rows(report, student))
    return words.outcome(student, taught)


def _standings(report: dict[str, Any], student: dict[str, Any]) -> Iterator[str]:
    found = rows.standings(report, student)
    told = [f"{title}: {', '.join(found[key])}" for key, title in words.STANDINGS.items() if found[key]]
    if told:
        yield f"{'; '.join(told)}."


def _money(tutor: dict[str, Any]) -> str:
    return "" if number(tutor.get("money")) is None else f", cost of the tutor {words.money(tutor['money'])}"


def _scores(report: dict[str, Any], student: dict[str, Any]) -> str:
    lines = [_HEADING, *(_line(row, row.name, row.role) for row in rows.skill_rows(report, student))]
    for suite, (_, sittings) in rows.exams(report).items():
        for sat in sittings:
            if sat.student == str(student.get("id")):
                lines += [_line(row, f"{suite}: {row.name}", "whole exam") for row in sat.rows]
    return "\n".join([*lines, "", f"▲ ▼: {words.LEGEND}; ≈: not clear; {words.DASH}: not measured."])


def _line(row: rows.Row, name: str, role: str) -> str:
    change = words.DASH
    if row.change is not None:
        change = f"{words.MARKS[row.change.direction]} {words.points(row.change.value)}"
    return f"| {_cell(name)} | {role} | {_score(row.before)} | {_score(row.after)} | {change} | {_items(row)} |"


def _items(row: rows.Row) -> str:
    different = "" if row.questions is None else f" ({words.count(row.questions)} different)"
    return words.count(row.n) + different


def _score(found: Measure | None) -> str:
    if found is None:
        return words.DASH
    bounds = words.interval(found)
    return words.percent(found.score) + (f" ({bounds})" if bounds else "")


def _lineage(report: dict[str, Any], student: str) -> str:
    names = ("skill", "kind", "lessons", "made for", "asked by", "answered by", "judged by", "licence")
    table = [
        (row.get("skill"), row.get("kind"), words.count(amount), row.get("campaign"), row.get("asked_by"),
         row.get("answered_by"), row.get("judged_by"), row.get("license") or "not recorded")
        for row in map(mapping, report.get("lineage") or [])
        if (amount := mapping(row.get("students")).get(student))
    ]  # fmt: skip
    return _table(names, table)


def _sources(report: dict[str, Any]) -> str:
    table = [
        (
            it.get("what"),
            it.get("name"),
            it.get("campaign"),
            it.get("license") or "not recorded",
            it.get("digest") or words.DASH,
        )
        for it in map(mapping, report.get("sources") or [])
    ]
    return _table(("what", "name", "campaign", "licence", "digest"), table)


def _table(names: Sequence[str], table: Sequence[Sequence[object]]) -> str:
    lines = [names, ["---"] * len(names), *table]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _results(report: dict[str, Any], student: dict[str, Any]) -> list[EvalResult]:
    """Give the scores after tuition as the Hub's model index has them."""
    return [
        EvalResult(
            task_type="text-generation", dataset_type=str(report.get("campaign")), dataset_config=row.name,
            dataset_name=row.title or row.name, metric_type="accuracy", metric_value=round(row.after.score, 4),
        )
        for row in rows.skill_rows(report, student)
        if row.after is not None
    ]  # fmt: skip


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
