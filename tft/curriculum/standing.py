"""What a planner is told: how a student stands before a cycle, and what the tutor's time costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tft.errors import StageError
from tft.records import LessonKind, Mastery, Syllabus, Tuition, take

if TYPE_CHECKING:
    from tft.config.campaign import TuitionConfig
    from tft.config.cards import SkillCard


@dataclass(frozen=True, slots=True)
class Purse:
    """What one student may have of the tutor in one cycle."""

    tokens: float | None = None
    """Those that are left; None means without limit."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """Tokens that the next demonstration of a skill will cost, by what the last ones did, where any were written."""
    ready: Mapping[str, int] = field(default_factory=dict)
    """Lessons of a skill that it has not read and somebody has paid for."""
    scarce: bool = False
    """Whether the budget would not reach if the tutor wrote all lessons of all skills in every cycle."""
    spent: bool = False
    """Whether the tutor may not be asked at all."""
    critique: float | None = None
    """Tokens a critique, by what those cost that were written; None where none was."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a student stands before a cycle."""

    student: str
    cycle: int
    """From 1."""
    known: Mapping[str, Mastery]
    """What was found out about its skills, by skill."""
    shown: Mapping[str, int] = field(default_factory=dict)
    """Lessons it had in earlier cycles, by skill."""
    held: Mapping[str, int] = field(default_factory=dict)
    """Cycles in a row, before this one, in which a skill was found mastered."""
    roll_backs: int = 0
    """Checkpoints refused in a row."""
    material: Sequence[Tuition] = ()
    """Lines that may be read from files, where the student is taught their skill, or no skill says when."""
    purse: Purse = field(default_factory=Purse)
    judged: bool = False
    """Whether the tutor's judge tells answers apart, because no grader can."""
    only: LessonKind | None = None
    """The one kind of lesson that it can learn from; None for one that can learn from all."""
    kept: Collection[str] = ()
    """Skills that an earlier campaign taught or kept, tables left out; where nothing is stored of them, they are
    rehearsed on as many rows as another skill has new lessons."""


class Planner(Protocol):
    """Plans a cycle: the same standing, the same syllabus."""

    def __call__(self, standing: Standing, skills: Mapping[str, SkillCard], config: TuitionConfig) -> Syllabus:
        """Say what one student is taught in one cycle, and why."""


def ask_planner(
    planner: Planner, standing: Standing, skills: Mapping[str, SkillCard], config: TuitionConfig
) -> Syllabus:
    """Let a planner plan a cycle; a plan that cannot be followed is not written down.

    Raises:
        StageError: if it is no syllabus, or names skills that nobody knows.
    """
    where = f"tuition.planner: {config.planner}, {standing.student}, cycle {standing.cycle}"
    planned = planner(standing, skills, config)
    try:
        syllabus = take(Syllabus, planned)
    except ValueError as error:
        raise StageError(f"{where}: {error}") from error
    known = {*skills, *standing.known, *standing.shown, *standing.kept, *(line.skill for line in standing.material)}
    if unknown := sorted({line.skill for line in syllabus.tuition} - known):
        raise StageError(f"{where}: it plans skills that nobody knows: {', '.join(unknown)}")
    return syllabus
