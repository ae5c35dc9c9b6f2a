"""What a campaign knows of one student while it runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tft.config.campaign import StudentConfig
from tft.curriculum import Traces
from tft.records import Answered, Lesson, Mastery, Sitting, StopReason
from tft.student import StudentRef

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class Pupil:
    """One student, from cycle to cycle."""

    config: StudentConfig
    ref: StudentRef
    """The promoted checkpoint."""
    check: Sitting = field(default_factory=lambda: Sitting("check", ()))
    """The check of the promoted checkpoint."""
    best: Sitting = field(default_factory=lambda: Sitting("check", ()))
    """Of each skill, the best check of a checkpoint that was promoted."""
    watched: Sitting = field(default_factory=lambda: Sitting("watched", ()))
    """What the promoted checkpoint answered of the whole exams, as far as the gate watches them."""
    best_watched: Sitting = field(default_factory=lambda: Sitting("watched", ()))
    """Of each whole exam, the best such sitting of a checkpoint that was promoted."""
    turned: dict[str, list[tuple[Answered, Answered]]] = field(default_factory=dict)
    """Answers to the check, of before and after the last cycle of practice, that the grader came to pass; by skill."""
    traces: Traces = field(default_factory=dict)
    """Its last answers to probe and check, and what they are worth."""
    known: dict[str, Mastery] = field(default_factory=dict)
    """What is believed of it by these."""
    history: list[float] = field(default_factory=list)
    roll_backs: int = 0
    held: dict[str, int] = field(default_factory=dict)
    """Cycles in a row in which a skill was found mastered."""
    read: dict[str, int] = field(default_factory=dict)
    """How far it has read each shelf."""
    stock: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """How far it has read the material, by file, skill and kind of lesson."""
    notebook: dict[str, list[Lesson]] = field(default_factory=dict)
    """The lessons it was trained on, by skill, without what it only read again."""
    stop: StopReason | None = None

    @property
    def place(self) -> str:
        """Where its stages run."""
        return f"student/{self.config.id}"

    def hold(self, mastered: Iterable[str]) -> None:
        """Count one more cycle for what was found mastered, and begin again for the rest."""
        self.held = {skill: self.held.get(skill, 0) + 1 for skill in mastered}

    def strike(self, refused: Iterable[str]) -> None:
        """Take lessons out of its notebook, by their ids."""
        gone = set(refused)
        self.notebook = {
            skill: [lesson for lesson in page if lesson.id not in gone] for skill, page in self.notebook.items()
        }

    def remember(self, lessons: Iterable[Lesson]) -> None:
        """Write lessons into its notebook; what it was taught on a question it knows already is not another."""
        asked = {lesson.item.question for page in self.notebook.values() for lesson in page}
        for lesson in lessons:
            if lesson.kind in ("replay", "practice") or not lesson.examples:
                continue
            if lesson.kind in ("demonstration", "critique", "confirmation") or lesson.item.question not in asked:
                self.notebook.setdefault(lesson.item.skill, []).append(lesson)
                asked.add(lesson.item.question)
