"""An earlier campaign, as one that continues it sees it: read from its ledger, which it must have finished.

Left out on purpose: its tutor's answers, which lie in the cache, and its curriculum's files; what was examined and
what was taught stand in the ledger.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.curriculum import estimate
from tft.errors import Problem, UserError
from tft.ledger import Ledger
from tft.library import find_run, is_file
from tft.origins import Origins
from tft.records import Inherited, Item, Lesson, Sitting, Version, digest, load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from tft.records import Split

KEY = "continue_from"
_STAGES = ("inherit", "curate", "examine")
"""What is taken over comes from these."""


class Earlier:
    """A finished run.

    Args:
        folder: the run directory.
        key: where its name stands, for the error.

    Raises:
        UserError: if it is not finished.
    """

    def __init__(self, folder: Path, key: str = KEY) -> None:
        self.folder = folder.resolve()
        with self._ledger() as ledger:
            self.setting: dict[str, Any] = ledger.fact("setting") or {}
            self._identity = ledger.fact("identity")
            self._outcomes = {name: ledger.fact(f"outcome/{name}") for name in self.students}
            self._held_out = ledger.fact("held_out")
        missing = [name for name, outcome in self._outcomes.items() if outcome is None]
        if missing or not self.setting or self._held_out is None:
            remedy = "run its config to the end with `tft run`, then try this again"
            raise UserError(Problem("is a run that is not finished", key=key, value=str(folder), remedy=remedy))

    @property
    def campaign(self) -> str:
        """Its name."""
        return str(self.setting["campaign"])

    @property
    def before(self) -> tuple[dict[str, Any], ...]:
        """What it and those before it were taught from, the oldest first: campaign, tutor, curriculum, material."""
        own = {key: self.setting.get(key, []) for key in ("campaign", "tutor", "curriculum", "material")}
        return (*self.setting.get("before", ()), own)

    @property
    def beside(self) -> Path:
        """The folder of its config file, where what that names is looked up."""
        return Path(self.setting["beside"])

    @property
    def students(self) -> dict[str, dict[str, Any]]:
        """What its config says of each student, by id."""
        return {it["id"]: it for it in self.setting.get("config", {}).get("students", ())}

    @cached_property
    def digest(self) -> str:
        """Name all that can be taken over: the same digest, the same start."""
        with self._ledger() as ledger:
            steps = {stage: ledger.digests(stage) for stage in _STAGES}
        promoted = {name: outcome["promoted_digest"] for name, outcome in self._outcomes.items()}
        return digest([self._identity, promoted, steps])

    @property
    def held_out(self) -> frozenset[str]:
        """Fingerprints of what was examined, here and in the runs before; tables that are examined whole left out."""
        return frozenset(self._held_out)

    @cached_property
    def taught(self) -> frozenset[str]:
        """Fingerprints of all that was taught to anybody, here and in the runs before."""
        with self._ledger() as ledger:
            return _taught(ledger)

    @cached_property
    def exams(self) -> dict[Split, tuple[Item, ...]]:
        """The items of check and final, as its students sat them."""
        found: dict[Split, tuple[Item, ...]] = {}
        with self._ledger() as ledger:
            for step in ledger.steps("examine", next(iter(self.students)), 0):
                if step.result["exam"] in ("check", "final"):
                    found[step.result["exam"]] = tuple(it.attempt.item for it in load(Sitting, step.result).answers)
        return found

    def base(self, student: str) -> str:
        """Give the fingerprint of a student's base model."""
        return str(self._identity["contents"][f"students.{student}.model"])

    def checkpoint(self, student: str) -> tuple[Path | None, str | None]:
        """Give the folder and the digest of a student's last promoted checkpoint; None where there is none."""
        outcome = self._outcomes[student]
        place = outcome["checkpoint"]
        return (None, None) if place is None else (self.folder / place, outcome["promoted_digest"])

    def inherited(self, student: str) -> Inherited:
        """Give what a student brings along: all lessons it was shown, in their order, and its history."""
        with self._ledger() as ledger:
            before = Inherited((), ())
            for step in ledger.steps("inherit", student):
                before = load(Inherited, step.result)
            new = [load(tuple[Lesson, ...], step.result["kept"]) for step in ledger.steps("curate", student)]
            origins = Origins.of(self.setting)
            lessons = [origins.attribute(lesson) for kept in new for lesson in kept]
            version = self._version(ledger, student, lessons)
            return Inherited((*before.lessons, *lessons), (*before.versions, version))

    def _version(self, ledger: Ledger, student: str, lessons: list[Lesson]) -> Version:
        taught = Counter(lesson.item.skill for lesson in lessons if lesson.kind != "replay")
        finals = [it for step in ledger.steps("examine", student) if (it := load(Sitting, step.result)).exam == "final"]
        return Version(
            run=self.campaign,
            date=ledger.last_day(),
            checkpoint=self.checkpoint(student)[1],
            taught=tuple(it["name"] for it in self.setting["skills"] if taught[it["name"]]),
            scores=estimate(finals[-1:]),
        )

    def _ledger(self) -> AbstractContextManager[Ledger]:
        return _opened(self.folder)


@dataclass(frozen=True, slots=True)
class Upbringing:
    """Where a student comes from, for those who examine it alone."""

    campaign: str
    taught: frozenset[str]
    """Fingerprints of all that was taught to anybody, there and in the runs before."""
    kin: dict[str, str]
    """Fingerprints of who may not examine it, by who they are: its tutor, and the model that it began with."""


def find_upbringing(folder: Path) -> Upbringing | None:
    """Read how a student was brought up; the run need not be finished.

    Args:
        folder: ``students/<id>/final`` or ``students/<id>/cycle-N`` of a run.

    Returns:
        What the ledger of the run says; None where the folder is in no run.
    """
    folder = folder.expanduser().resolve()
    if len(folder.parents) < 3 or folder.parents[1].name != "students":
        return None
    run, student = folder.parents[2], folder.parent.name
    if not is_file(run / "ledger.sqlite"):
        return None
    with _opened(run) as ledger:
        setting, identity = ledger.fact("setting"), ledger.fact("identity")
        if not setting or not identity:
            return None
        kin = {
            f"the tutor of {setting['campaign']}": identity["contents"]["tutor.model"],
            f"the model that {student} began with": identity["contents"].get(f"students.{student}.model", ""),
        }
        return Upbringing(setting["campaign"], _taught(ledger), kin)


def _taught(ledger: Ledger) -> frozenset[str]:
    """Give the fingerprints of all that was taught to anybody, in a run and in those before."""
    here = {lesson["item"]["fingerprint"] for step in ledger.steps("curate") for lesson in step.result["kept"]}
    return frozenset(here | set(ledger.fact("taught_before") or ()))


@contextmanager
def _opened(folder: Path) -> Iterator[Ledger]:
    ledger = Ledger(folder)
    try:
        yield ledger
    finally:
        ledger.close()


def fill_students(values: dict[str, Any], beside: Path) -> None:
    """Fill in what a config leaves out of students whom an earlier run knows; without ``continue_from``, nothing.

    Args:
        values: the config as it was written; changed in place.
        beside: the folder of its file.

    Raises:
        UserError: if there is no such run, or it is not finished.
    """
    name = values.get(KEY)
    if not isinstance(name, str):
        return
    known = Earlier(find_run(name, KEY, beside)).students
    written = values.get("students")
    if written is None:
        values["students"] = list(known.values())
    elif isinstance(written, list):
        values["students"] = [
            {**known.get(str(it.get("id")), {}), **it} if isinstance(it, dict) else it for it in written
        ]
