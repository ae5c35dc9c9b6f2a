"""Rows of data as they lie in files, one after the other, and those of a data set on the hub.

What cannot be read is a row with its trouble, never an exception: a file is worth reading although a line of it is
broken. JSON lines and CSV are read line by line, Parquet batch by batch.
"""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tft.records import digest_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from tft.config.data import DataCard

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
_PATIENCE = 3.0
"""Seconds the hub has to answer."""
_BATCH = 1024


@dataclass(frozen=True, slots=True)
class Row:
    """One row, or the trouble with it."""

    number: int
    """From 1: the line of JSON lines, otherwise the row."""
    values: dict[str, Any] = field(default_factory=dict)
    trouble: str = ""
    """``not_text``, ``not_json``, ``not_csv``, ``not_parquet`` or ``not_a_row``; empty where there is none."""
    said: str = ""
    """The trouble in words."""


def list_files(path: Path) -> list[Path]:
    """List the files of a folder, or the file itself, of the kinds that can be read; none where there are none."""
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [it for it in found if it.suffix.lower() in SUFFIXES and it.is_file()]


def digest_files(paths: Iterable[Path], root: Path) -> str:
    """Name the content of files: sha256 over what they hold and what they are called below a folder."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{path.relative_to(root)} {digest_file(path)}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def list_columns(rows: Iterable[Row]) -> list[str]:
    """List the columns of rows, in the order in which they first stand there."""
    return list(dict.fromkeys(column for row in rows for column in row.values))


def fold_columns(columns: Sequence[str]) -> dict[str, str]:
    """Give columns by their names without case and outer space; the first of two that fold alike."""
    return {column.strip().casefold(): column for column in reversed(columns)}


def read_rows(path: Path) -> Iterator[Row]:
    """Read the rows of a file, by its suffix."""
    match path.suffix.lower():
        case ".csv":
            return _read_csv(path)
        case ".parquet":
            return _read_parquet(path)
        case ".json":
            return _read_json(path)
    return _read_lines(path)


def _read_lines(path: Path) -> Iterator[Row]:
    # As bytes: text would end lines at separators that JSON allows inside a string, and end at the first bad byte.
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip(b"\xef\xbb\xbf \t\r\n"):
                yield _parse(line, number)


def _parse(data: bytes, number: int) -> Row:
    value = _load(data, number)
    return value if isinstance(value, Row) else _row(value, number)


def _load(data: bytes, number: int) -> object:
    """Read JSON; a row with its trouble where it is none."""
    try:
        return json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return Row(number, trouble="not_text", said=f"is not UTF-8: {error.reason} at byte {error.start}")
    # ValueError: not JSON, or a number of thousands of digits.
    except (ValueError, RecursionError) as error:
        return Row(number, trouble="not_json", said=f"is not JSON: {error}")


def _row(value: object, number: int) -> Row:
    if isinstance(value, dict):
        return Row(number, value)
    return Row(number, trouble="not_a_row", said="is not an object of named fields")


def _read_json(path: Path) -> Iterator[Row]:
    """Read a list of objects; an object that holds one such list; or JSON lines under another name."""
    data = path.read_bytes()
    rows = _load(data, 1)
    if isinstance(rows, Row):
        listed = data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
        yield from [rows] if listed else _read_lines(path)
        return
    if isinstance(rows, dict):
        (first, *others) = rows.values() or [None]
        inside = not others and isinstance(first, list) and first and all(isinstance(row, dict) for row in first)
        rows = first if inside and "messages" not in rows and "conversations" not in rows else [rows]
    for number, value in enumerate(rows if isinstance(rows, list) else [rows], start=1):
        yield _row(value, number)


def _read_csv(path: Path) -> Iterator[Row]:
    # Bytes that are not UTF-8 become surrogates, which no good row holds.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.DictReader(file)
        number = 0
        while True:
            number += 1
            try:
                values: dict[Any, Any] | None = next(reader, None)
            except csv.Error as error:
                yield Row(number, trouble="not_csv", said=f"is not CSV: {error}")
                continue
            if values is None:
                return
            if None in values:
                yield Row(number, trouble="not_csv", said="has more fields than the header names")
            else:
                yield Row(number, values)


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_BATCH):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(number, values)
    except (pa.ArrowException, ValueError, OSError) as error:
        reason = str(error).partition("\n")[0]
        yield Row(number + 1, trouble="not_parquet", said=f"cannot be read on from here: {reason}")


def fetch_rows(data: DataCard) -> Iterable[dict[str, Any]] | str:
    """Fetch the rows of a data set from the hub, or say why there are none."""
    assert data.hub is not None
    name, _, revision = data.hub.partition("@")
    try:
        from datasets import load_dataset
        from huggingface_hub import HfApi, constants

        if not constants.HF_HUB_OFFLINE:
            # Ask once, briefly: load_dataset would try again and again for half a minute.
            HfApi().dataset_info(name, timeout=_PATIENCE)
        found: Iterable[dict[str, Any]] = load_dataset(name, data.config, split=data.split, revision=revision or None)
    except Exception as error:  # the hub fails in many ways, and all of them mean: not there
        return f"{data.hub} could not be read from the hub ({type(error).__name__})"
    return found
