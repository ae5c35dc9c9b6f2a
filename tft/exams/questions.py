"""Rows that are items: which column holds what, and what of a row can be asked.

A row that cannot be asked is dropped, and counted by reason; a file is worth sitting although a line of it is broken.
Left out on purpose: several right answers to one question, and conversations.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tft.config.suites import ColumnsCard
from tft.datafiles import fold_columns, list_columns
from tft.errors import Problem, UserError
from tft.records import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tft.datafiles import Row

USUAL: dict[str, tuple[str, ...]] = {
    "question": ("question", "prompt", "problem", "query", "instruction", "input"),
    "reference": ("answer", "reference", "target", "expected", "completion", "output", "solution", "label"),
    "group": ("group", "category"),
    "same": ("same_as", "paraphrase_of", "variant_of"),
}
"""Names of columns by what they hold; the first that is there counts."""
_TOLD = 400
"""Characters of a rejection."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as somebody wrote it down."""

    question: str
    reference: str | None
    group: str | None = None
    sought: str | None = None
    """What lessons are searched for, where the question has more words than that."""
    same: str = ""
    """What it has in common with questions that ask the same in other words."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a file that are read."""

    question: str
    reference: str | None
    """None where there is none, and the grader needs none."""
    group: str | None
    same: str | None = None
    more: str | None = None
    """What belongs to the question too: ``input`` beside ``instruction``."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What was read."""

    asked: tuple[Asked, ...]
    rejections: tuple[Rejection, ...]
    """Rows that were dropped, in their order."""


def read_questions(rows: Iterable[Row], card: ColumnsCard | None, name: str, *, open_ended: bool = False) -> Questions:
    """Read the rows of a file.

    Args:
        rows: as they lie there.
        card: the columns; None, or None for one of them, takes the usual names.
        name: of the file, for errors and rejections.
        open_ended: whether questions may do without a right answer.

    Raises:
        UserError: if a column is not there, or no row can be asked.
    """
    listed = list(rows)
    sound = [it for it in listed if not it.trouble]
    if not sound:
        raise UserError(_nothing_good(name, [reject(name, it.number, it.trouble, it.said) for it in listed]))
    columns = find_columns(list_columns(sound), card or ColumnsCard(), name, open_ended=open_ended)
    asked: dict[Asked, None] = {}
    rejections: list[Rejection] = []
    for row in listed:
        found = _read(row, columns, open_ended=open_ended)
        if isinstance(found, tuple):
            rejections.append(reject(name, row.number, *found))
        elif found in asked:
            rejections.append(reject(name, row.number, "duplicate", "stood there before, with the same answer"))
        else:
            asked[found] = None
    read = Questions(tuple(asked), tuple(rejections))
    refuse_empty(read, name)
    return read


def find_columns(there: Sequence[str], card: ColumnsCard, name: str, *, open_ended: bool) -> Columns:
    """Say which column holds what.

    Raises:
        UserError: with the columns there are, and what to write.
    """
    folded = fold_columns(there)
    found: dict[str, str | None] = {}
    problems = []
    for part, usual in USUAL.items():
        written = getattr(card, part)
        known = [written] if written is not None else [folded[it] for it in usual if it in folded]
        found[part] = next(iter(known), None)
        optional = part in ("group", "same") or (part == "reference" and open_ended)
        if written is not None and written not in there:
            problems.append(_no_column(part, written, there, name))
        elif not known and not optional:
            problems.append(_no_column(part, None, there, name))
    if problems:
        raise UserError(*problems)
    question = str(found["question"])
    more = folded.get("input") if question.strip().casefold() == "instruction" else None
    return Columns(question, found["reference"], found["group"], found["same"], more)


def count(rejections: Iterable[Rejection]) -> dict[str, int]:
    """Count rows that were dropped by reason, the most frequent first."""
    return dict(Counter(it.reason for it in rejections).most_common())


def _no_column(part: str, written: str | None, there: Sequence[str], name: str) -> Problem:
    message = f"has the columns {', '.join(map(str, there)) or 'of nothing'}, and none "
    message += f"that is called {written}" if written is not None else f"whose name says that it holds the {part}"
    remedy = f"call it {' or '.join(USUAL[part][:2])}, or write a card evals/<name>.yaml with columns: {{{part}: …}}"
    return Problem(message, file=name, key=f"columns.{part}", value=written, remedy=remedy)


def _read(row: Row, columns: Columns, *, open_ended: bool) -> Asked | tuple[str, str]:
    """Read a row, or say why it cannot be asked: in a word, and in words."""
    if row.trouble:
        return row.trouble, row.said
    question, more, group, same = (
        row.values.get(it or "") for it in (columns.question, columns.more, columns.group, columns.same)
    )
    reference = row.values.get(columns.reference or "")
    if not isinstance(question, str | None):
        return "wrong_type", f"{columns.question} is no text: {_short(question)}"
    if not (question or "").strip():
        return "empty", f"{columns.question} is empty"
    if not isinstance(reference, str | None) and not _is_number(reference):
        return "wrong_type", f"{columns.reference} is neither text nor a number: {_short(reference)}"
    if not open_ended and not _text(reference):
        return "empty", f"{columns.reference} is empty"
    found = Asked(
        "\n\n".join(filter(None, map(_text, (question, more)))), _text(reference) or None, _text(group) or None,
        same=_text(same),
    )  # fmt: skip
    try:
        f"{found.question}{found.reference}{found.group}{found.same}".encode()
    except UnicodeEncodeError:
        return "not_text", "holds what is not Unicode text"
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value).strip()


def _is_number(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))


def reject(name: str, number: int, reason: str, said: str) -> Rejection:
    """Say that a row is left out, and why."""
    # Names of columns may hold what no ledger can keep.
    told = f"{name}, row {number}: {said}".encode(errors="backslashreplace").decode()
    return Rejection("exam", name, reason, told[:_TOLD])


def refuse_empty(read: Questions, name: str) -> None:
    """Make sure that something can be asked.

    Raises:
        UserError: with the reasons, and the first row.
    """
    if not read.asked:
        raise UserError(_nothing_good(name, read.rejections))


def _nothing_good(name: str, rejections: Sequence[Rejection]) -> Problem:
    if not rejections:
        return Problem("holds no rows", file=name, remedy="write a row a question; docs/exams.md shows how")
    told = ", ".join(f"{number} {reason}" for reason, number in count(rejections).items())
    message = f"holds no row that can be asked ({told}); the first: {rejections[0].text}"
    return Problem(message, file=name, remedy="a row has a question and its answer; docs/exams.md shows how")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
