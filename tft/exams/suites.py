"""Whole exams: the items of a suite, taken out of rows by path or from the hub.

A suite is a card; or, with nothing else to write, a file of questions and answers, a task of lm-eval, or a log
of inspect_ai.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.config.data import DataCard
from tft.config.reading import read_config
from tft.config.suites import LmEvalCard, RubricConfig, SuiteCard
from tft.datafiles import SUFFIXES, Row, fetch_rows, read_rows
from tft.errors import Problem, UserError
from tft.exams.logs import read_log
from tft.exams.questions import Asked, Questions, count, read_questions
from tft.exams.tasks import GRADER, TaskRef, read_task
from tft.graders.numeric import read_number
from tft.graders.rubric import JudgeRef
from tft.library import find_data
from tft.records import Item, Rejection, digest_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tft.library import Library
    from tft.ports import ItemSource


_LM_EVAL = "lm-eval:"
_INSPECT = "inspect:"


@dataclass(frozen=True, slots=True)
class Suite:
    """The items of a whole exam, or the reason why there are none."""

    name: str
    items: tuple[Item, ...]
    digest: str | None
    """sha256 of the data file; None from the hub."""
    origin: str | None
    """Where the rows came from."""
    grader: GraderConfig
    """Who judges the answers."""
    chosen: str = ""
    """Why it is this grader, in words; empty where the card names it."""
    rejections: tuple[Rejection, ...] = ()
    """Rows that cannot be asked."""
    missing: str | None = None
    """Why it cannot be sat."""
    task: TaskRef | None = None
    """The task of lm-eval that it is; None where it is asked and graded here."""
    judge: JudgeRef | None = None
    """Who grades by its rubric; None where a rule does."""

    def told(self, caption: str) -> str:
        """Say what a score means, who graded it if nobody named a grader, and what was left out."""
        told = [caption] if not self.chosen else [caption, f"Graded by {self.chosen}."]
        if self.rejections:
            counts = ", ".join(f"{number} {reason}" for reason, number in count(self.rejections).items())
            told.append(f"{len(self.rejections)} rows were left out ({counts}); the first: {self.rejections[0].text}.")
        return " ".join(told)


class AnyQuestion:
    """Stands in for the items of a curriculum where there is none: it knows no question."""

    def classify(self, question: str) -> None:
        """Know no question."""

    def fingerprint(self, question: str) -> str:
        """Take questions for the same that differ in case and white space alone."""
        return " ".join(question.split()).casefold()


def find_suite(
    library: Library, name: str, *, file: str | None = None, key: str | None = None
) -> tuple[Path, SuiteCard | None]:
    """Find a suite: the file of its card, or the data of one that needs none with the card it would have.

    Raises:
        UserError: if there is neither.
    """
    beside = library.beside or Path()
    if name.startswith(_LM_EVAL):
        task = name.removeprefix(_LM_EVAL)
        caption = f"The task {task} of lm-eval, asked and graded as lm-eval does it."
        return beside, SuiteCard(exam=name, caption=caption, lm_eval=LmEvalCard(task=task))
    if name.startswith(_INSPECT) or name.endswith(".eval"):
        log = name.removeprefix(_INSPECT)
        if find_data(log, beside) is None:
            remedy = "lay it beside the config or below $TFT_DATA"
            raise UserError(Problem("there is no such log", file=file, key=key, value=name, remedy=remedy))
        caption = f"The samples of {log}, asked as they were asked there."
        return beside, SuiteCard(exam=name, caption=caption, inspect=log)
    if Path(name).suffix.lower() not in SUFFIXES:
        return library.find("evals", name, file=file, key=key), None
    found = find_data(name, beside)
    if found is None:
        remedy = "lay it beside the config or below $TFT_DATA, or name a suite that `tft ls` lists"
        raise UserError(Problem("there is no such file of questions", file=file, key=key, value=name, remedy=remedy))
    caption = f"The questions of {name}, each asked as it stands there."
    return beside, SuiteCard(exam=name, caption=caption, data=DataCard(path=name))


def open_suite(library: Library, name: str) -> tuple[SuiteCard, Path]:
    """Read the card of a suite, or write that of one that needs none; with the folder it names data beside.

    Raises:
        UserError: if there is neither, or the card is wrong.
    """
    path, card = find_suite(library, name)
    return (card, path) if card is not None else (read_config(SuiteCard, path), path.parent)


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
    items = make_items(asked, card, f"lm-eval:{task.task}", source, skills)
    return Suite(card.exam, items, ref.digest, items[0].source, grader, task=ref)


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


def choose_grader(items: Sequence[Item]) -> tuple[GraderConfig, str]:
    """Choose a grader by the references: ``numeric`` where all are numbers, otherwise ``exact``; with the reason."""
    others = [it.reference for it in items if read_number(it.reference or "") is None]
    if not others:
        return GraderConfig(type="numeric"), f"numeric, because all {len(items)} references are numbers"
    said = f"exact, because {len(others)} of {len(items)} references are no numbers, the first {others[0]!r}"
    return GraderConfig(type="exact"), said


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


def make_items(
    asked: Iterable[Asked], card: SuiteCard, origin: str, source: ItemSource | AnyQuestion, skills: Collection[str]
) -> tuple[Item, ...]:
    """Make the items of questions; whether they are covered is only told where some are."""
    classified = [(it, source.classify(it.sought or it.question)) for it in asked]
    found = [(it, known[0] if known is not None and known[0] in skills else None) for it, known in classified]
    covers = any(skill is not None for _, skill in found)
    return tuple(
        Item(
            skill=card.exam,
            level=0,
            # An operation inside a text is written as the curriculum writes it.
            question=it.question.replace(" ", "") if skill and card.extract is not None else it.question,
            reference=it.reference,
            fingerprint=source.fingerprint(it.sought or it.question),
            source=origin,
            groups=_groups(it, skill, card.groups, covers=covers),
        )
        for it, skill in found
    )


def _groups(it: Asked, skill: str | None, patterns: dict[str, str], *, covers: bool) -> tuple[str, ...]:
    first = ("covered" if skill else "uncovered",) if covers else ()
    named = next((name for name, form in patterns.items() if re.fullmatch(form, it.question)), None)
    if it.group is not None:
        return (*first, it.group)
    if skill is not None:
        return (*first, f"covered: {skill}")
    return (*first, f"uncovered: {named}" if covers else named) if named is not None else first
