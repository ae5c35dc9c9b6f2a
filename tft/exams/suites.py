"""Whole exams: the items of a suite, taken out of rows by path or from the hub.

A suite is a card; or, with nothing else to write, a file of questions and answers, a task of lm-eval, or a log
of inspect_ai.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.config.data import DataCard
from tft.config.reading import read_config
from tft.config.suites import LmEvalCard, SuiteCard
from tft.datafiles import SUFFIXES
from tft.errors import Problem, UserError
from tft.exams.questions import count
from tft.exams.tasks import TaskRef
from tft.graders.rubric import JudgeRef
from tft.library import find_data
from tft.records import SELF_CORRECTION, Item, Rejection

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tft.library import Library


_LM_EVAL = "lm-eval:"
_INSPECT = "inspect:"
_SITTINGS = ("probe", "check", "watched", "trained", "final", SELF_CORRECTION)
"""What a campaign calls its own sittings."""


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
    left_out: int = 0
    """Items that are not asked because they had been taught before."""
    task: TaskRef | None = None
    """The task of lm-eval that it is; None where it is asked and graded here."""
    judge: JudgeRef | None = None
    """Who grades by its rubric; None where a rule does."""
    watched: tuple[Item, ...] = ()
    """Items that were set apart, for the gate to ask every candidate."""
    unwatched: str = ""
    """Why there are none, in words; empty where there are, or nobody wanted any."""

    def without(self, taught: Collection[str]) -> Suite:
        """Leave out what was taught: items with these fingerprints."""
        kept = tuple(it for it in self.items if it.fingerprint not in taught)
        return replace(self, items=kept, left_out=self.left_out + len(self.items) - len(kept))

    def told(self, caption: str) -> str:
        """Say what a score means, who graded it if nobody named a grader, and what was set apart and left out."""
        told = [caption] if not self.chosen else [caption, f"Graded by {self.chosen}."]
        if self.watched:
            told.append(f"{len(self.watched)} of its questions were set apart for the gate.")
        if self.rejections:
            counts = ", ".join(f"{number} {reason}" for reason, number in count(self.rejections).items())
            told.append(f"{len(self.rejections)} rows were left out ({counts}); the first: {self.rejections[0].text}.")
        return " ".join(told)


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


def refuse_names(
    exams: Iterable[tuple[str, str, str]], skills: Collection[str], file: str | None = None
) -> list[Problem]:
    """Find whole exams that are called what something else is, whose answers would be taken for each other's.

    Args:
        exams: of each, its key in the config, how the config names it, and what its card calls it.
        skills: names of the campaign's skills.
        file: the config.
    """
    problems = []
    first: dict[str, str] = {}
    for key, named, exam in exams:
        if exam in _SITTINGS:
            taken = "a sitting of every campaign"
        elif exam in skills:
            taken = "a skill of this campaign"
        elif first.setdefault(exam, named) != named:
            taken = f"the whole exam {first[exam]}"
        else:
            continue
        message, remedy = f"is called {exam}, as is {taken}", "give it another name in `exam` of its card"
        problems.append(Problem(message, file, key, named, remedy))
    return problems
