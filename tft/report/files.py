"""The files of a run directory that people and other tools read: the report, the lessons, the answers."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from tft.origins import Origins
from tft.records import dump
from tft.report import rows as rows_of
from tft.report.markdown import render_markdown, render_model_card
from tft.report.taught import read_taught

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tft.ledger import Ledger

CARD = "README.md"
"""The model card of a student, beside its final checkpoint."""
_LONGEST = 120
"""Letters of an exam's name in that of its file."""


def write_run_files(folder: Path, ledger: Ledger, report: dict[str, Any], html: str) -> None:
    """Write the report, and what was taught and answered as JSON lines, from the ledger.

    Each file is written aside and renamed, so that a reader never sees half of one.
    """
    _write(folder / "report.json", json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    _write(folder / "report.html", html)
    _write(folder / "report.md", render_markdown(report))
    for student in rows_of.students(report):
        home = folder / "students" / str(student["id"])
        if (home / "final").is_dir():
            _write(home / CARD, render_model_card(report, student))
    lessons: dict[int, list[dict[str, Any]]] = {}
    setting = ledger.fact("setting")
    for it in read_taught(ledger):
        origins = Origins.of(setting)
        lessons.setdefault(it.cycle, []).extend(
            {"student": it.student, "cycle": it.cycle, **_lesson(dump(origins.attribute(lesson)))}
            for lesson in it.curated.kept
        )
    for cycle, rows in lessons.items():
        _write_lines(folder / "lessons" / f"cycle-{cycle}.jsonl", rows)
    _write_metrics(folder / "events.jsonl", folder / "metrics.parquet")
    for stage, place in (("examine", "exams"), ("practise", "attempts")):
        answered: dict[str, list[dict[str, Any]]] = {}
        for step in ledger.steps(stage):
            # A whole exam may be called after a path.
            exam = re.sub(r"[^\w.-]+", "-", step.result["exam"])[-_LONGEST:]
            rows = [{"student": step.student, "cycle": step.cycle, **answer} for answer in step.result["answers"]]
            name = f"{step.student}-{exam}-{step.cycle}.jsonl"
            # A probe is asked in batches; of any other exam the last sitting counts.
            answered[name] = [*answered.get(name, ()), *rows] if exam == "probe" else rows
        for name, rows in answered.items():
            _write_lines(folder / place / name, rows)


def _write_metrics(events: Path, path: Path) -> None:
    """Write the metrics of all steps as a table, one row a number, for whoever wants to plot them."""
    rows = [
        {"time": event["written"], "stage": event["stage"], "student": event["student"], "cycle": event["cycle"],
         "metric": name, "value": value}
        for event in map(json.loads, events.read_bytes().splitlines())
        if event["event"] == "step"
        for name, value in event["metrics"].items()
    ]  # fmt: skip
    columns = {"time": pa.float64(), "stage": pa.string(), "student": pa.string(), "cycle": pa.int64(),
               "metric": pa.string(), "value": pa.float64()}  # fmt: skip
    aside = path.with_name(f".{path.name}")
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(list(columns.items()))), aside)
    aside.replace(path)


def _lesson(lesson: dict[str, Any]) -> dict[str, Any]:
    """Give a lesson the columns that trainers elsewhere read, the same ones whatever its kind, none null."""
    pair, alone = lesson["kind"] == "preference", lesson["kind"] == "verdict"
    lineage = lesson["lineage"]
    prompts = [{"role": role, "version": version} for role, version in sorted(lineage["prompts"].items())]
    asked = lesson.pop("asked") or [{"role": "user", "content": lesson["item"]["question"]}]
    return {
        **lesson,
        "item": {**lesson["item"], "reference": lesson["item"]["reference"] or ""},
        "lineage": {**lineage, "prompts": prompts, "row": lineage["row"] or 0, "license": lineage["license"] or ""},
        "messages": lesson["examples"][0]["messages"] if lesson["examples"] else [],
        "prompt": asked,
        "chosen": [{"role": "assistant", "content": lesson["answer"]}] if pair else [],
        "rejected": [{"role": "assistant", "content": lesson["rejected"]}] if pair else [],
        "completion": [{"role": "assistant", "content": lesson["answer"] or lesson["rejected"]}] if alone else [],
        "label": bool(lesson["answer"]),
        **{name: lesson[name] or "" for name in ("attempt", "critique")},
    }


def _write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    _write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)
