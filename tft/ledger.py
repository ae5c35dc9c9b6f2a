"""The campaign's memory: SQLite with one writer, the driver. Every step is keyed by the content of its inputs.

A step that is in the ledger has happened; what is not there has not. Each result carries the sha256 of its
bytes, and one that does not match is refused rather than used. ``events.jsonl`` beside it says the same to any
tool that reads lines. Left out on purpose: results of many gigabytes, which belong into files named by a step.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from tft.errors import PrerequisiteError, StageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS steps (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    stage TEXT NOT NULL,
    student TEXT NOT NULL,
    cycle INTEGER NOT NULL,
    seconds REAL NOT NULL,
    written REAL NOT NULL,
    digest TEXT NOT NULL,
    result BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_by_place ON steps (stage, student, cycle);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One finished step."""

    key: str
    """Content key of the stage and its inputs."""
    stage: str
    student: str
    """Empty where the step belongs to no student."""
    cycle: int
    seconds: float
    """How long the stage was busy."""
    result: Any
    """Plain JSON values."""


class Ledger:
    """Steps of one campaign.

    Args:
        folder: the run directory; made if it is missing.

    Raises:
        PrerequisiteError: if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._events = folder / "events.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise PrerequisiteError(
                f"the run directory {folder} cannot be used: {error}. Free some space, mend its permissions, or "
                "name another with --out; nothing that was done is lost"
            ) from error

    def get(self, key: str) -> Step | None:
        """Look a step up; None if it has not happened.

        Raises:
            StageError: if its result does not match its digest.
        """
        row = self._base.execute(
            "SELECT key, stage, student, cycle, seconds, digest, result FROM steps WHERE key = ?", (key,)
        ).fetchone()
        return None if row is None else _read(row)

    def put(self, step: Step, note: str = "", metrics: Mapping[str, float] | None = None) -> None:
        """Write a step; it is on the disk when this returns.

        Args:
            step: what happened.
            note: the same in a few words, for ``events.jsonl``.
            metrics: the same in numbers, for the same file.

        Raises:
            StageError: if it cannot be written, for instance because the disk is full.
        """
        blob = zlib.compress(json.dumps(step.result, ensure_ascii=False, separators=(",", ":")).encode(), 1)
        written = time.time()
        try:
            self._base.execute(
                "INSERT INTO steps (key, stage, student, cycle, seconds, written, digest, result) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (step.key, step.stage, step.student, step.cycle, step.seconds, written, _digest(blob), blob),
            )
            self.event("step", key=step.key, stage=step.stage, student=step.student, cycle=step.cycle,
                       seconds=round(step.seconds, 3), written=written, note=note, metrics=metrics or {})  # fmt: skip
        except (OSError, sqlite3.Error) as error:
            raise StageError(
                f"the ledger cannot be written: {error}. Free some space and run the same command again; every "
                "step before this one is kept"
            ) from error

    def event(self, kind: str, **values: Any) -> None:
        """Add a line to ``events.jsonl``; one that was cut short before it, by a full disk or a kill, is taken away."""
        line = json.dumps({"event": kind, **values}, ensure_ascii=False) + "\n"
        with self._events.open("a+b") as file:
            file.truncate(_whole(file))
            file.write(line.encode())

    def steps(self, stage: str, student: str | None = None, cycle: int | None = None) -> Iterator[Step]:
        """Read the steps of a stage in the order they were written."""
        query = "SELECT key, stage, student, cycle, seconds, digest, result FROM steps WHERE stage = ?"
        arguments: list[Any] = [stage]
        if student is not None:
            query, arguments = query + " AND student = ?", [*arguments, student]
        if cycle is not None:
            query, arguments = query + " AND cycle = ?", [*arguments, cycle]
        for row in self._base.execute(query + " ORDER BY id", arguments):
            yield _read(row)

    def digests(self, stage: str) -> list[tuple[str, str]]:
        """List key and digest of every step of a stage, in the order of the keys; nothing is read."""
        return list(self._base.execute("SELECT key, digest FROM steps WHERE stage = ? ORDER BY key", (stage,)))

    def last_day(self) -> str:
        """Give the day on which the last step was written, in UTC; empty where there is none."""
        (written,) = self._base.execute("SELECT MAX(written) FROM steps").fetchone()
        return "" if written is None else time.strftime("%Y-%m-%d", time.gmtime(written))

    def busy_seconds(self) -> dict[str, float]:
        """Add up how long each stage was busy."""
        rows = self._base.execute("SELECT stage, SUM(seconds) FROM steps GROUP BY stage")
        return {stage: float(seconds) for stage, seconds in rows}

    def fact(self, name: str) -> Any:
        """Read a fact about the run; None if it is not known."""
        row = self._base.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else json.loads(row[0])

    def set_fact(self, name: str, value: Any) -> None:
        """Write a fact about the run, such as the seconds its sessions took."""
        self._base.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value)))

    def state(self) -> str:
        """Name all that it holds: the same digest, the same steps and facts."""
        (steps,) = self._base.execute("SELECT MAX(id) FROM steps").fetchone()
        facts = self._base.execute("SELECT name, value FROM facts ORDER BY name").fetchall()
        return _digest(json.dumps([steps, facts]).encode())

    def close(self) -> None:
        """Close the file."""
        self._base.close()


def _whole(file: BinaryIO) -> int:
    """Say how many bytes of a file are whole lines."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 4096)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _read(row: tuple[str, str, str, int, float, str, bytes]) -> Step:
    key, stage, student, cycle, seconds, digest, blob = row
    if _digest(blob) != digest:
        raise StageError(
            f"the ledger is damaged: the result of {stage} (student {student or 'none'}, cycle {cycle}) does not "
            "match its digest. Restore ledger.sqlite from a snapshot, or start the campaign anew with --fork"
        )
    return Step(key, stage, student, cycle, seconds, json.loads(zlib.decompress(blob)))


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()
