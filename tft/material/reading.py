"""Material: what a config names is found, read row by row, and sorted into lessons and rows that are dropped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath
from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.config.cards import SkillCard
from tft.config.explaining import closest
from tft.datafiles import SUFFIXES, Row, digest_files, fetch_rows, list_files, read_rows
from tft.errors import PrerequisiteError, Problem, UserError
from tft.library import find_data, is_there
from tft.material.formats import COLUMNS, read_row
from tft.material.sieve import SIEVED, HeldOut, Place, Sieve
from tft.material.turns import Trouble
from tft.ports import ItemSource
from tft.records import Lesson, Rejection
from tft.student.references import teaches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tft.config.campaign import StudentConfig
    from tft.config.data import MaterialConfig


@dataclass(frozen=True, slots=True)
class Setting:
    """What rows are held against."""

    source: ItemSource
    """The curriculum's items."""
    skills: Mapping[str, SkillCard]
    """Of the campaign."""
    held_out: HeldOut


@dataclass(frozen=True, slots=True)
class Material:
    """What was read."""

    name: str
    """As the config names it."""
    digest: str
    """sha256 of what was read; empty where only a part was."""
    lessons: tuple[Lesson, ...]
    """Not graded yet."""
    rejections: tuple[Rejection, ...]
    """Rows that were dropped, in their order."""

    @property
    def rows(self) -> int:
        """How many rows there were."""
        return len(self.lessons) + len(self.rejections)


def find_files(config: MaterialConfig, beside: Path, key: str) -> tuple[Path, list[Path]] | None:
    """Find a file, or a folder with its files; None where only the hub may have it.

    Raises:
        UserError: if there are none, or none that can be read.
    """
    if config.path is None:
        return None
    path = find_data(config.path, beside, is_there)
    if path is None and config.hub is not None:
        return None
    if path is None:
        remedy = "lay it beside the config or below $TFT_DATA, or name a data set with hub:"
        raise UserError(Problem("there is no such file or folder", key=f"{key}.path", value=config.path, remedy=remedy))
    files = list_files(path)
    if not files:
        what = "folder holds no file" if path.is_dir() else "file is of no kind"
        remedy = f"known: {', '.join(SUFFIXES)}"
        raise UserError(Problem(f"the {what} that can be read", key=f"{key}.path", value=config.path, remedy=remedy))
    return path, files


def read_material(
    config: MaterialConfig, key: str, beside: Path, setting: Setting, most: int | None = None
) -> Material | None:
    """Read material.

    Args:
        config: what is read.
        key: where it stands in the campaign's config, for errors.
        beside: folder of the campaign's config.
        setting: what it is held against.
        most: rows to look at; None means all. The hub is asked only for all.

    Returns:
        The material; None where only the hub may have it, and it is not asked.

    Raises:
        UserError: if it is nowhere, cannot become lessons of this campaign, or has not one good row; of a part, if none
            of it can even be read.
        PrerequisiteError: if the hub does not give it.
    """
    check_skill(config, key, setting.skills)
    check_columns(config, key)
    found = find_files(config, beside, key)
    if found is None and most is not None:
        return None
    sieve = Sieve(config, setting.source, _taught(setting.skills), setting.held_out)
    if found is None:
        rows = _from_hub(config, key)
        read, digest = [_sort(config, f"hub:{config.hub}", row, sieve) for row in rows], _digest(config, rows)
    else:
        path, files = found
        names = {file: str(PurePath(config.address, file.relative_to(path))) for file in files}
        rows_read = ((names[file], row) for file in files for row in read_rows(file))
        try:
            read = [_sort(config, name, row, sieve) for name, row in islice(rows_read, most)]
            digest = digest_files(files, path) if most is None else ""
        except OSError as error:
            problem = Problem(
                f"cannot be read: {error.strerror}", key=f"{key}.path", value=config.path, remedy="mend it"
            )
            raise UserError(problem) from None
    lessons = tuple(it for it in read if isinstance(it, Lesson))
    rejections = tuple(it for it in read if isinstance(it, Rejection))
    # Further down there may be rows that can be taught, where these could be read at least.
    may_come = most == len(read) and any(it.reason in SIEVED for it in rejections)
    if not lessons and not may_come:
        raise UserError(nothing_good(config, key, rejections))
    return Material(config.address, digest, lessons, rejections)


def check_skill(config: MaterialConfig, key: str, skills: Mapping[str, SkillCard]) -> None:
    """Make sure that rows can become lessons of a skill.

    Raises:
        UserError: if nothing of it is taught, or nobody could check its answers.
    """
    skill = config.topic or config.skill
    if skill is None or (skill in skills and skills[skill].role == "taught"):
        return
    if skill in skills:
        message = f"is a skill of role {skills[skill].role}, which is never taught"
        remedy = closest(skill, _taught(skills))
    elif config.verify == "grader":
        message = "is no skill of this campaign, so nothing can check its answers"
        remedy = f"{closest(skill, _taught(skills))}; or write verify: trust, if you answer for them"
    else:
        return
    raise UserError(Problem(message, key=f"{key}.skill", value=skill, remedy=remedy))


def check_columns(config: MaterialConfig, key: str) -> None:
    """Make sure that columns are given names that mean something.

    Raises:
        UserError: if one is not.
    """
    unknown = [name for name in config.columns if name not in COLUMNS]
    if unknown:
        message = "is no column that a format has"
        raise UserError(
            *(Problem(message, key=f"{key}.columns", value=it, remedy=closest(it, COLUMNS)) for it in unknown)
        )


def refuse_verdicts(objective: str, material: Sequence[Material]) -> None:
    """Make sure that answers which are right or wrong alone meet an objective that can learn from them.

    Raises:
        UserError: if they meet one that wants pairs.
    """
    found = [it for it in material if any(lesson.kind == "verdict" for lesson in it.lessons)]
    if found and objective == "dpo":
        message = f"learns from pairs, and {found[0].name} has answers that are right or wrong alone"
        key, remedy = "training.objectives.preference.type", "write training: {objectives: {preference: kto}}"
        raise UserError(Problem(message, key=key, value=objective, remedy=remedy))


def refuse_unread(students: Sequence[StudentConfig], material: Material, key: str) -> None:
    """Make sure that somebody can learn from material.

    Args:
        students: of the campaign.
        material: all of it.
        key: where it stands in the campaign's config.

    Raises:
        UserError: if nobody can, because all have heads that learn from other lessons.
    """
    tasks = [it.adapter.task for it in students if isinstance(it.adapter, HeadAdapter)]
    if len(tasks) < len(students) or any(teaches(lesson, task) for lesson in material.lessons for task in tasks):
        return
    heads = ", ".join(sorted({task.type for task in tasks}))
    message = f"holds nothing that a head of these students can learn from ({heads})"
    remedy = (
        "a reward head learns from pairs of answers, the others from questions that the curriculum knows, with answers "
        "that the head can give: leave the file out, or add a student that writes"
    )
    raise UserError(Problem(message, key=key, value=material.name, remedy=remedy))


def nothing_good(config: MaterialConfig, key: str, rejections: Sequence[Rejection]) -> Problem:
    """Say that no row can be taught, with the reasons and the first row."""
    key, name = f"{key}.{'hub' if config.path is None else 'path'}", config.address
    if not rejections:
        return Problem("holds no rows", key=key, value=name, remedy="docs/data.md shows what is read")
    counts = count(rejections)
    told = ", ".join(f"{number} {reason}" for reason, number in counts.items())
    remedy = "docs/data.md shows the formats; format: names one"
    if "unverified" in counts:
        remedy = "write verify: trust, if you answer for them; or name a curriculum that knows these questions"
    elif set(counts) <= {"wrong", "both_right", "leak", "off_skill", "duplicate"}:
        remedy = "see what the grader, the exams and the skills of the campaign say to them"
    message = f"holds no row that can be taught ({told}); the first: {rejections[0].text}"
    return Problem(message, key=key, value=name, remedy=remedy)


def count(rejections: Iterable[Rejection]) -> dict[str, int]:
    """Count by reason, the most frequent first."""
    found: dict[str, int] = {}
    for it in rejections:
        found[it.reason] = found.get(it.reason, 0) + 1
    return dict(sorted(found.items(), key=lambda it: (-it[1], it[0])))


def _taught(skills: Mapping[str, SkillCard]) -> list[str]:
    return [name for name, card in skills.items() if card.role == "taught"]


def _sort(config: MaterialConfig, file: str, row: Row, sieve: Sieve) -> Lesson | Rejection:
    place = Place(file, row.number)
    if row.trouble:
        return place.reject("", row.trouble, row.said)
    named = {ours: row.values[theirs] for ours, theirs in config.columns.items() if theirs in row.values}
    dialogue = read_row({**row.values, **named}, config.format)
    if isinstance(dialogue, Trouble):
        return place.reject("", dialogue.reason, dialogue.said)
    return sieve.admit(dialogue, place)


def _from_hub(config: MaterialConfig, key: str) -> list[Row]:
    found = fetch_rows(config)
    if isinstance(found, str):
        raise PrerequisiteError(f"{key}: {found}. Check the name and the network, or name a file with path:")
    return [Row(number, row) for number, row in enumerate(found, start=1)]


def _digest(config: MaterialConfig, rows: Sequence[Row]) -> str:
    """Name what rows of the hub say; other columns, such as pictures, may have no text that stays the same."""
    read = COLUMNS | set(config.columns.values())
    said = [{name: value for name, value in row.values.items() if name in read} for row in rows]
    text = json.dumps(said, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
