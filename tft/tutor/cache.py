"""The tutor's answers, kept by content: the same requests to the same weights are answered from here.

The unit is a batch. With an embedded engine an answer may depend, in its last bit, on the rows it ran beside, so
a batch is stored whole or not at all. Rows of an engine that answers each by itself are stored as they come, until
their batch is. Many processes may share the file. What cannot be kept is used all the same.
"""

from __future__ import annotations

import json
import sqlite3
import warnings
import zlib
from typing import TYPE_CHECKING

from tft.errors import PrerequisiteError
from tft.ports import Generation
from tft.records import dump, load

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class AnswerCache:
    """Batches of answers.

    Args:
        folder: where the file lies; made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            # The thread that opens a tutor need not be the one that asks it; no two ask at a time.
            self._base = sqlite3.connect(
                folder / "answers.sqlite", isolation_level=None, timeout=60, check_same_thread=False
            )
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answers BLOB NOT NULL)")
            self._base.execute(
                "CREATE TABLE IF NOT EXISTS unfinished "
                "(key TEXT, place INTEGER, answers BLOB NOT NULL, PRIMARY KEY (key, place))"
            )
        except (OSError, sqlite3.Error) as error:
            raise PrerequisiteError(f"the answer cache {folder} cannot be used: {error}") from error

    def get(self, key: str) -> list[Generation] | None:
        """Look a batch up; None if it was never answered."""
        row = self._base.execute("SELECT answers FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else _unpack(row[0])

    def put(self, key: str, answers: Sequence[Generation]) -> None:
        """Keep a batch, if that can be; the first of two writers wins."""
        if self._write("INSERT OR IGNORE INTO answers VALUES (?, ?)", key, _pack(answers)):
            self._write("DELETE FROM unfinished WHERE key = ?", key)

    def rows(self, key: str) -> dict[int, Generation]:
        """Look up what was answered of a batch that is not finished, by place."""
        rows = self._base.execute("SELECT place, answers FROM unfinished WHERE key = ?", (key,)).fetchall()
        return {place: answer for place, blob in rows for answer in _unpack(blob)}

    def put_row(self, key: str, place: int, answer: Generation) -> bool:
        """Keep one answer of a batch, until all of it is kept; say whether that could be done."""
        return self._write("INSERT OR IGNORE INTO unfinished VALUES (?, ?, ?)", key, place, _pack([answer]))

    def _write(self, statement: str, *values: str | int | bytes) -> bool:
        try:
            self._base.execute(statement, values)
        except sqlite3.Error as error:
            # What was answered is of use all the same.
            warnings.warn(f"the answer cache cannot be written, so answers are not kept: {error}", stacklevel=3)
            return False
        return True

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def _pack(answers: Sequence[Generation]) -> bytes:
    return zlib.compress(json.dumps(dump(list(answers), list[Generation])).encode(), 1)


def _unpack(blob: bytes) -> list[Generation]:
    return load(list[Generation], json.loads(zlib.decompress(blob)))
