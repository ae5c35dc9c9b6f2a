"""A deployed student, seen in its log: which skills it is asked for, how often it is right, and what has drifted.

Each logged prompt that the curriculum knows is graded as the exams are, and its share of right answers is held against
the final exam of the student's campaign (Fisher's exact test, corrected by Holm for how many skills there are). A
prompt counts once, however often it was asked: who is asked again says the same again. Where people said what they
thought of an answer, that is counted beside it.

Left out on purpose: teaching from the log itself. It holds what people wrote, and nobody here knows whose it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any

from tft.datafiles import SUFFIXES, fold_columns, list_columns, read_rows
from tft.earlier import Earlier
from tft.errors import Problem, UserError
from tft.graders import grade_attempts
from tft.library import Library, load_items
from tft.records import Item
from tft.statistics import fisher, holm, wilson_interval

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tft.datafiles import Row

PROMPTS = ("prompt", "question", "input", "query")
ANSWERS = ("answer", "response", "output", "completion")
THUMBS = ("thumb", "thumbs", "feedback", "rating", "liked")
_UP = frozenset({"up", "true", "yes", "good", "like", "liked", "👍"})
_DOWN = frozenset({"down", "false", "no", "bad", "dislike", "disliked", "👎"})
_UNREAD = "thumb"
"""Why a thumb is dropped, and its answer kept."""
_SHOWN = 5
_SURE = 0.05


@dataclass(frozen=True, slots=True)
class Logged:
    """One answer of a deployed student."""

    prompt: str
    answer: str
    liked: bool | None
    """What whoever read it thought of it; None where nothing was said."""


@dataclass(frozen=True, slots=True)
class Log:
    """What was read of a log."""

    rows: tuple[Logged, ...]
    dropped: dict[str, int]
    """Rows that could not be read, by reason; ``thumb`` counts thumbs, whose answers were read all the same."""


def read_log(path: Path) -> Log:
    """Read a log: JSON lines, CSV or Parquet, with the usual names for its columns.

    Raises:
        UserError: if it is not there, or has no column of prompts or of answers.
    """
    if not path.is_file() or path.suffix.lower() not in SUFFIXES:
        remedy = f"name a file that ends in {', '.join(SUFFIXES)}"
        raise UserError(Problem("is no log that can be read", key="LOG", value=str(path), remedy=remedy))
    rows = list(read_rows(path))
    there = list_columns(rows)
    folded = fold_columns(there)
    prompt, answer, thumb = (next((folded[it] for it in names if it in folded), None)
                             for names in (PROMPTS, ANSWERS, THUMBS))  # fmt: skip
    for names, column in ((PROMPTS, prompt), (ANSWERS, answer)):
        if column is None:
            remedy = f"name a column {' or '.join(names)}"
            listed = ", ".join(there) or "none"
            raise UserError(Problem(f"has no such column; it has {listed}", key="LOG", value=str(path), remedy=remedy))
    read: list[Logged] = []
    dropped: Counter[str] = Counter()
    for row in rows:
        found = _read(row, str(prompt), str(answer))
        if isinstance(found, str):
            dropped[found] += 1
            continue
        liked = _read_thumb(row.values.get(thumb)) if thumb else None
        if liked == _UNREAD:
            dropped[_UNREAD] += 1
        read.append(Logged(*found, liked if isinstance(liked, bool) else None))
    return Log(tuple(read), dict(sorted(dropped.items())))


def _read(row: Row, prompt: str, answer: str) -> tuple[str, str] | str:
    if row.trouble:
        return row.trouble
    texts = [row.values.get(prompt), row.values.get(answer)]
    if not all(isinstance(it, str | int | float) for it in texts):
        return "not_text"
    asked, said = (str(it).strip() for it in texts)
    return (asked, said) if asked else "empty"


def _read_thumb(value: Any) -> bool | str | None:
    """Read a thumb: a word or a number, 1 up and 0 or -1 down; None where there is none."""
    word = str(value).strip().casefold()
    if value is None or not word:
        return None
    if word in _UP or word in _DOWN:
        return word in _UP
    try:
        number = float(word)
    except ValueError:
        return _UNREAD
    # Columns with gaps are floats in most tables, and a gap is no number.
    if isnan(number):
        return None
    return number == 1 if number in (1, 0, -1) else _UNREAD


def watch(run: Path, log: Log, student: str) -> dict[str, Any]:
    """Hold a log against the final exam of a student.

    Args:
        run: the directory of its campaign, which must be finished.
        log: what it answered since.
        student: its id.

    Returns:
        Skills with what was seen of each, and whether it has drifted; what the curriculum does not know.

    Raises:
        UserError: if the run is not finished, there is no such student, or the curriculum is gone.
    """
    earlier = Earlier(run, key="RUN")
    if student not in earlier.students:
        remedy = f"students of this run: {', '.join(earlier.students)}"
        raise UserError(Problem("is no student of this run", key="--student", value=student, remedy=remedy))
    config = earlier.setting["config"]
    card, folder = Library(earlier.beside).curriculum(config["curriculum"])
    source, grade = load_items((folder / card.items).resolve()), grade_attempts(card.grader)
    seen: dict[str, dict[str, list[bool]]] = {}
    liked: dict[str, Counter[bool]] = {}
    unknown = []
    for it in log.rows:
        classified = source.classify(it.prompt)
        if classified is None:
            unknown.append(it.prompt)
            continue
        skill, level, reference = classified
        item = Item(skill, level, it.prompt, reference, source.fingerprint(it.prompt), "log")
        seen.setdefault(skill, {}).setdefault(it.prompt, []).append(grade(item, it.answer, True).passed)
        if it.liked is not None:
            liked.setdefault(skill, Counter())[it.liked] += 1
    version = earlier.inherited(student).versions[-1]
    rows = [_row(skill, seen[skill], version.scores.get(skill), liked.get(skill, Counter())) for skill in sorted(seen)]
    tested = [row for row in rows if row["p"] is not None]
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["corrected"] = p
        row["drifted"] = p < _SURE and row["difference"] < 0
    return {
        "run": earlier.campaign,
        "student": student,
        "checkpoint": version.checkpoint,
        "rows": len(log.rows),
        "dropped": log.dropped,
        "skills": rows,
        "unknown": {"rows": len(unknown), "examples": list(dict.fromkeys(unknown))[:_SHOWN]},
        "drifted": [row["skill"] for row in rows if row["drifted"]],
    }


def _row(skill: str, marks: Mapping[str, Sequence[bool]], exam: Any, liked: Counter[bool]) -> dict[str, Any]:
    # Answers to one prompt are no trials of their own: it is right where more than half of them are.
    right, n = sum(2 * sum(it) > len(it) for it in marks.values()), len(marks)
    low, high = wilson_interval(right, n)
    row: dict[str, Any] = {
        "skill": skill, "score": right / n, "low": low, "high": high, "n": n,
        "answers": sum(map(len, marks.values())), "examined": None, "difference": None, "p": None, "corrected": None,
        "drifted": False, "liked": liked[True], "disliked": liked[False],
    }  # fmt: skip
    if exam is not None:
        row["examined"] = exam.score
        row["difference"] = right / n - exam.score
        row["p"] = fisher((exam.right, exam.n), (right, n))
    return row
