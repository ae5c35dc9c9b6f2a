"""Whole exams: the items of a suite, taken out of a data set by path or from the hub."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tft.datafiles import fetch_rows
from tft.errors import Problem, UserError
from tft.library import find_data
from tft.records import Item

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tft.config.cards import SuiteCard
    from tft.config.data import DataCard
    from tft.ports import ItemSource


@dataclass(frozen=True, slots=True)
class Suite:
    """The items of a whole exam, or the reason why there are none."""

    name: str
    items: tuple[Item, ...]
    digest: str | None
    """sha256 of the data file; None from the hub."""
    origin: str | None
    """Where the rows came from."""
    missing: str | None = None
    """Why it cannot be sat."""
    left_out: int = 0
    """Items that are not asked because they had been taught before."""


def read_suite(card: SuiteCard, folder: Path, source: ItemSource, skills: Iterable[str]) -> Suite:
    """Read the items of a suite; a suite whose data cannot be reached is empty and says why.

    Args:
        card: the suite.
        folder: where its card lies.
        source: the curriculum's item source, which says what is covered and when two questions are the same.
        skills: the curriculum's skills; only those that are taught or kept count as covered.
    """
    path = find_data(card.data.path, folder) if card.data.path else None
    if path is not None:
        data = path.read_bytes()
        rows: Iterable[dict[str, Any]] = _read_rows(data, path)
        digest, origin = hashlib.sha256(data).hexdigest(), card.data.path
    else:
        found = _from_hub(card.data)
        if isinstance(found, str):
            return Suite(card.exam, (), None, None, missing=found)
        rows, digest, origin = found, None, f"hub:{card.data.hub}"
    covered = frozenset(skills)
    items = [item for row in rows for item in _extract(row, card, source, covered, origin or "")]
    return Suite(card.exam, tuple(items), digest, origin)


def _read_rows(data: bytes, path: Path) -> list[dict[str, Any]]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        remedy = "save it as UTF-8 text"
        raise UserError(Problem(f"is not text: {error.reason}", file=str(path), remedy=remedy)) from None
    rows = []
    # Not splitlines(), which also breaks at line separators that JSON allows inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise UserError(Problem(f"line {number} is not JSON: {error}", file=str(path))) from None
        if not isinstance(row, dict):
            raise UserError(Problem(f"line {number} is not a JSON object", file=str(path)))
        rows.append(row)
    return rows


def _from_hub(data: DataCard) -> Iterable[dict[str, Any]] | str:
    where = f"{data.path} was not found beside the suite or below $TFT_DATA"
    if data.hub is None:
        return where
    found = fetch_rows(data)
    return f"{where}, and {found}" if isinstance(found, str) else found


def _extract(
    row: dict[str, Any], card: SuiteCard, source: ItemSource, covered: frozenset[str], origin: str
) -> list[Item]:
    text = row.get(card.extract.field)
    if not isinstance(text, str):
        raise UserError(Problem(f"a row has no text in the field {card.extract.field!r}", file=card.exam))
    return [
        _item(match["question"].strip(), match["reference"].strip(), card, source, covered, origin)
        for match in re.finditer(card.extract.pattern, text)
    ]


def _item(
    question: str, reference: str, card: SuiteCard, source: ItemSource, covered: frozenset[str], origin: str
) -> Item:
    classified = source.classify(question)
    inside = classified is not None and classified[0] in covered
    named = next((name for name, form in card.groups.items() if re.fullmatch(form, question)), None)
    groups = ["covered" if inside else "uncovered"]
    if classified is not None and inside:
        groups.append(f"covered: {classified[0]}")
    elif named is not None:
        groups.append(f"uncovered: {named}")
    return Item(
        skill=card.exam,
        level=0,
        question=question.replace(" ", "") if inside else question,
        reference=reference,
        fingerprint=source.fingerprint(question),
        source=origin,
        groups=tuple(groups),
    )
