"""The items of a whole exam, out of rows, a task of lm-eval, or a log of inspect_ai."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.config.suites import RubricConfig
from tft.datafiles import Row, fetch_rows, read_rows
from tft.errors import Problem, UserError
from tft.exams.items import AnyQuestion, choose_grader, make_items
from tft.exams.logs import read_log
from tft.exams.questions import Asked, Questions, read_questions
from tft.exams.suites import Suite
from tft.exams.tasks import GRADER, read_task
from tft.library import find_data
from tft.records import digest_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from tft.config.data import DataCard
    from tft.config.suites import LmEvalCard, SuiteCard
    from tft.ports import ItemSource


def read_suite(
    card: SuiteCard,
    folder: Path,
    source: ItemSource | AnyQuestion | None = None,
    skills: Iterable[str] = (),
    most: int | None = None,
) -> Suite:
    """Read the items of a suite; a suite whose data cannot be reached is empty and says why.

    Args:
        card: the suite.
        folder: where its card lies.
        source: the curriculum's item source, which says what is covered and when two questions are the same; None
            where there is no curriculum.
        skills: the curriculum's skills; only those that are taught or kept count as covered.
        most: items at most, the first ones; None means all.

    Raises:
        UserError: if rows have another form than the card says, or none can be asked.
        PrerequisiteError: if it is a task of lm-eval, and that is not installed.
    """
    if card.inspect is not None:
        return _read_log(card, card.inspect, folder, source or AnyQuestion(), frozenset(skills), most)
    if card.lm_eval is not None:
        return _read_task(card, card.lm_eval, folder, source or AnyQuestion(), frozenset(skills), most)
    path = find_data(card.data.path, folder) if card.data.path else None
    if path is not None:
        rows: Iterable[Row] = read_rows(path)
        digest, origin = digest_file(path), card.data.path
    else:
        found = _from_hub(card.data)
        if isinstance(found, str):
            return Suite(card.exam, (), None, None, card.grader or GraderConfig(type="exact"), missing=found)
        rows, digest, origin = found, None, f"hub:{card.data.hub}"
    if card.extract is not None:
        read = Questions(tuple(_extract(rows, card, str(path or origin))), ())
    else:
        read = read_questions(rows, card.columns, str(origin), open_ended=isinstance(card.grader, RubricConfig))
    items = make_items(read.asked, card, origin or "", source or AnyQuestion(), frozenset(skills))
    grader, chosen = (_with_rubric(card.grader, folder), "") if card.grader is not None else choose_grader(items)
    return Suite(card.exam, items[:most], digest, origin, grader, chosen, read.rejections)


def _read_task(
    card: SuiteCard,
    task: LmEvalCard,
    folder: Path,
    source: ItemSource | AnyQuestion,
    skills: Collection[str],
    most: int | None,
) -> Suite:
    grader = GraderConfig(type=GRADER)
    found = read_task(task, folder, most)
    if isinstance(found, str):
        return Suite(card.exam, (), None, None, grader, missing=found)
    asked, ref = found
    origin = f"lm-eval:{task.task}"
    items = make_items(asked, card, origin, source, skills)
    return Suite(card.exam, items, ref.digest, origin, grader, task=ref)


def _read_log(
    card: SuiteCard,
    name: str,
    folder: Path,
    source: ItemSource | AnyQuestion,
    skills: Collection[str],
    most: int | None,
) -> Suite:
    path = find_data(name, folder)
    if path is None:
        remedy = "lay it beside the card or below $TFT_DATA"
        raise UserError(Problem("there is no such log", key="inspect", value=name, remedy=remedy))
    found = read_log(path, name, card.grader)
    items = make_items(found.questions.asked, card, name, source, skills)
    grader = _with_rubric(found.grader, folder)
    return Suite(card.exam, items[:most], digest_file(path), name, grader, found.chosen, found.questions.rejections)


def _with_rubric(grader: GraderConfig, folder: Path) -> GraderConfig:
    """Read the rubric where it is a file."""
    if not isinstance(grader, RubricConfig) or grader.rubric_file is None:
        return grader
    path = folder / grader.rubric_file
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        remedy, key = "lay a text file beside the card", "grader.rubric_file"
        raise UserError(Problem("cannot be read", key=key, value=grader.rubric_file, remedy=remedy)) from None
    return grader.model_copy(update={"rubric": text, "rubric_file": None})


def _from_hub(data: DataCard) -> list[Row] | str:
    where = f"{data.path} was not found beside the suite or below $TFT_DATA" if data.path else ""
    found = "" if data.hub is None else fetch_rows(data)
    if isinstance(found, str):
        return ", and ".join(filter(None, (where, found)))
    return [Row(number, values) for number, values in enumerate(found, start=1)]


def _extract(rows: Iterable[Row], card: SuiteCard, file: str) -> Iterable[Asked]:
    assert card.extract is not None
    for row in rows:
        if row.trouble:
            raise UserError(Problem(f"row {row.number} {row.said}", file=file, remedy="mend it, or take it out"))
        text = row.values.get(card.extract.field)
        if not isinstance(text, str):
            raise UserError(Problem(f"a row has no text in the field {card.extract.field!r}", file=card.exam))
        for match in re.finditer(card.extract.pattern, text):
            yield Asked(match["question"].strip(), match["reference"].strip())
