"""The circle: probe, plan, teach, curate, train, examine, reflect, and round again.

    probe ──► plan ──► teach ──► curate ──► train ──► examine ──► reflect ─┐
      ▲        (syllabus) (lessons)  (kept)   (checkpoint) (verdicts)      │
      └──────── next cycle, or stop: mastery · plateau · budget · no lessons ◄┘

Every stage is one call that takes records and returns records, and its result is in the ledger before the next
begins; so a campaign that is stopped anywhere goes on with the same command, to the same end. There is one
tutor: it teaches one student after the other, in the order of the roster, while those it has taught train.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tft.config.campaign import StudentConfig
from tft.curriculum import Evidence, estimate, mean_score, plan, reflect
from tft.errors import BudgetError
from tft.exams.examiner import SitRequest, sit
from tft.lessons import CritiqueRequest, CurateRequest, ReplayRequest, criticise, curate, rehearse, review
from tft.records import (
    Checkpoint,
    Curated,
    Item,
    Lesson,
    Mastery,
    Offered,
    Sitting,
    StopReason,
    Syllabus,
    digest,
)
from tft.shelf import Shelf
from tft.student import StudentRef
from tft.training import TrainRequest, train

if TYPE_CHECKING:
    from tft.config.cards import GraderConfig
    from tft.preparation import Prepared
    from tft.records import Tuition
    from tft.steps import Steps


@dataclass
class Pupil:
    """What the campaign knows of one student while it runs."""

    config: StudentConfig
    ref: StudentRef
    """The promoted checkpoint."""
    check: Sitting = field(default_factory=lambda: Sitting("check", ()))
    """The check of the promoted checkpoint."""
    known: dict[str, Mastery] = field(default_factory=dict)
    history: list[float] = field(default_factory=list)
    roll_backs: int = 0
    read: dict[str, int] = field(default_factory=dict)
    """How far it has read each shelf."""
    notebook: dict[str, list[Lesson]] = field(default_factory=dict)
    """The lessons it was trained on, by skill."""
    stop: StopReason | None = None

    @property
    def place(self) -> str:
        """Where its stages run."""
        return f"student/{self.config.id}"


class Campaign:
    """One campaign.

    Args:
        prepared: everything its config names.
        steps: runs its stages.
        elapsed: seconds that earlier sessions of this run took.
    """

    def __init__(self, prepared: Prepared, steps: Steps, elapsed: float = 0.0) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._steps = steps
        self._began = time.monotonic() - elapsed
        self._held_out = prepared.held_out()
        self._shelf = Shelf(prepared, self._held_out, steps, self._out_of_time)
        self._taught = [name for name, skill in prepared.skills.items() if skill.role == "taught"]
        self.pupils = [Pupil(config, ref) for config, ref in zip(self._config.students, prepared.students, strict=True)]

    @property
    def limit(self) -> str:
        """The limit that was reached, in words; empty where none was."""
        return self._shelf.limit

    async def run(self) -> None:
        """Go round until every student has stopped for a reason."""
        await asyncio.gather(*(self._sit_finals(pupil, 0) for pupil in self.pupils))
        for cycle in range(1, self._config.tuition.cycles + 1):
            active = [pupil for pupil in self.pupils if pupil.stop is None]
            if not active:
                break
            await self._turn(cycle, active)
        for pupil in self.pupils:
            pupil.stop = pupil.stop or "cycles"
        await asyncio.gather(*(self._sit_finals(pupil, 1) for pupil in self.pupils if pupil.ref.digest))

    async def _turn(self, cycle: int, pupils: list[Pupil]) -> None:
        """Turn the circle once, for every student that still learns."""
        await asyncio.gather(*(self._probe(pupil, cycle) for pupil in pupils))
        async with asyncio.TaskGroup() as learning:
            for pupil in pupils:
                syllabus = self._plan(pupil, cycle)
                if not syllabus.tuition:
                    pupil.stop = "mastery" if not syllabus.waiting else "no_lessons"
                    continue
                offered = await self._teach(pupil, syllabus)
                kept = await self._curate(pupil, cycle, offered)
                if all(lesson.kind == "replay" for lesson in kept):
                    pupil.stop = "budget" if self._shelf.limit else "no_lessons"
                    continue
                learning.create_task(self._learn(pupil, syllabus, kept))
        if self._shelf.limit:
            for pupil in pupils:
                pupil.stop = pupil.stop or "budget"

    async def _probe(self, pupil: Pupil, cycle: int) -> None:
        """Find out what a student can do, before it is taught anything."""
        probe = await self._sit(pupil, pupil.ref, "probe", cycle, self._prepared.splits.items["probe"])
        if cycle == 1:
            pupil.check = await self._sit(pupil, pupil.ref, "check", 0, self._prepared.splits.items["check"])
            pupil.history.append(mean_score(estimate([pupil.check]), self._taught))
        pupil.known = estimate([probe, pupil.check])

    def _plan(self, pupil: Pupil, cycle: int) -> Syllabus:
        shown = {skill: len(lessons) for skill, lessons in pupil.notebook.items()}
        syllabus = plan(
            pupil.config.id, cycle, self._prepared.skills, pupil.known, self._config.tuition, shown, pupil.roll_backs
        )
        self._steps.note(syllabus, name="plan", student=pupil.config.id, cycle=cycle)
        return syllabus

    async def _teach(self, pupil: Pupil, syllabus: Syllabus) -> list[Lesson]:
        """Gather the lessons a syllabus asks for; what the budget does not reach is left out."""
        lessons: list[Lesson] = []
        by_skill: dict[str, list[Tuition]] = {}
        for line in syllabus.tuition:
            by_skill.setdefault(line.skill, []).append(line)
        for skill, lines in by_skill.items():
            counts = {line.kind: line.lessons for line in lines if line.kind != "replay"}
            if not counts:
                continue
            shown = await self._shelf.take(skill, pupil.read.get(skill, 0), sum(counts.values()))
            pupil.read[skill] = pupil.read.get(skill, 0) + len(shown)
            if counts.get("critique"):
                critiques = await self._criticise(pupil, syllabus.cycle, skill, shown, counts["critique"])
                answered = {lesson.item.question for lesson in critiques}
                shown = [lesson for lesson in shown if lesson.item.question not in answered]
                lessons += critiques
            lessons += shown[: counts.get("demonstration", 0)]
        if not lessons:
            return []
        rows = {line.skill: line.lessons for line in syllabus.tuition if line.kind == "replay"}
        return lessons + await self._replay(pupil, syllabus.cycle, rows)

    async def _replay(self, pupil: Pupil, cycle: int, rows: dict[str, int]) -> list[Lesson]:
        """Let a student read again what it was shown, and rehearse what it knew before."""
        seed = self._seed("replay", pupil, cycle)
        again = [
            lesson for skill, shown in pupil.notebook.items() for lesson in review(shown, rows.get(skill, 0), seed)
        ]
        known = {skill: count for skill, count in rows.items() if skill not in pupil.notebook}
        if not known:
            return again
        return again + list((await self._rehearse(pupil, cycle, known, seed)).lessons)

    async def _criticise(self, pupil: Pupil, cycle: int, skill: str, shown: list[Lesson], count: int) -> list[Lesson]:
        """Let a student attempt items, and the tutor criticise what went wrong."""
        items = tuple(lesson.item for lesson in shown)
        attempts = await self._sit(pupil, pupil.ref, f"practice {skill}", cycle, items, name="practise")
        wrong = tuple(answered for answered in attempts.answers if not answered.verdict.passed)[:count]
        if not wrong or self._shelf.limit:
            return []
        request = CritiqueRequest(
            tutor=self._prepared.tutor,
            answered=wrong,
            longest=self._prepared.tutor_card.longest_attempt,
            marker=self._prepared.curriculum.grader.marker,
            allowance=self._shelf.allowance(),
        )
        try:
            offered = await self._steps.run(
                Offered, "tutor", criticise, request, name="criticise", student=pupil.config.id, cycle=cycle
            )
        except BudgetError as error:
            self._shelf.limit = str(error)
            return []
        self._shelf.used += offered.usage
        return list(offered.lessons)

    async def _rehearse(self, pupil: Pupil, cycle: int, rows: dict[str, int], seed: int) -> Offered:
        request = ReplayRequest(
            student=pupil.ref,
            items_path=self._prepared.items_path,
            rows=rows,
            held_out=self._held_out,
            grader=self._prepared.curriculum.grader,
            max_tokens=self._config.exams.max_tokens,
            seed=seed,
        )
        return await self._steps.run(
            Offered, pupil.place, rehearse, request, name="rehearse", student=pupil.config.id, cycle=cycle
        )

    async def _curate(self, pupil: Pupil, cycle: int, offered: list[Lesson]) -> list[Lesson]:
        """Keep what was verified, and write down what was not."""
        request = CurateRequest(tuple(offered), self._prepared.curriculum.grader, self._held_out)
        curated = await self._steps.run(
            Curated, pupil.place, curate, request, name="curate", student=pupil.config.id, cycle=cycle
        )
        return list(curated.kept)

    async def _learn(self, pupil: Pupil, syllabus: Syllabus, kept: list[Lesson]) -> None:
        """Train, examine, and decide whether that was worth keeping."""
        cycle = syllabus.cycle
        for lesson in kept:
            if lesson.kind != "replay":
                pupil.notebook.setdefault(lesson.item.skill, []).append(lesson)
        folder = self._prepared.folder / "students" / pupil.config.id / f"cycle-{cycle}"
        request = TrainRequest(
            student=pupil.ref,
            lessons=tuple(kept),
            config=self._config.training,
            learning_rate=pupil.config.learning_rate,
            learning_rate_scale=syllabus.learning_rate_scale,
            seed=self._seed("train", pupil, cycle),
            folder_path=str(folder.resolve()),
        )
        checkpoint = await self._steps.run(
            Checkpoint, pupil.place, train, request, name="train", student=pupil.config.id, cycle=cycle
        )
        candidate = replace(pupil.ref, checkpoint_path=str(folder.resolve()), digest=checkpoint.digest)
        check = await self._sit(pupil, candidate, "check", cycle, self._prepared.splits.items["check"])
        decision = reflect(
            pupil.config.id,
            cycle,
            self._prepared.skills,
            Evidence(pupil.check, check, tuple(pupil.history)),
            self._config.tuition,
        )
        self._steps.note(decision, name="reflect", student=pupil.config.id, cycle=cycle)
        if decision.promoted:
            pupil.ref, pupil.check, pupil.roll_backs = candidate, check, 0
        else:
            pupil.roll_backs += 1
        pupil.history.append(mean_score(estimate([pupil.check]), self._taught))
        pupil.stop = decision.stop

    async def _sit_finals(self, pupil: Pupil, cycle: int) -> None:
        """Sit the final and the whole exams: once before the first cycle, once with the promoted checkpoint."""
        await self._sit(pupil, pupil.ref, "final", cycle, self._prepared.splits.items["final"])
        for card, suite in self._prepared.suites:
            if suite.missing is None:
                await self._sit(pupil, pupil.ref, card.exam, cycle, suite.items, grader=card.grader)

    async def _sit(
        self, pupil: Pupil, ref: StudentRef, exam: str, cycle: int, items: tuple[Item, ...], *,
        grader: GraderConfig | None = None, name: str = "examine",
    ) -> Sitting:  # fmt: skip
        request = SitRequest(
            ref, exam, items, grader or self._prepared.curriculum.grader, self._config.exams.max_tokens
        )
        return await self._steps.run(
            Sitting, pupil.place, sit, request, name=name, student=pupil.config.id, cycle=cycle
        )

    def _seed(self, purpose: str, pupil: Pupil, cycle: int) -> int:
        return int(digest([self._config.seed, purpose, pupil.config.id, cycle]), 16) % 2**31

    def _out_of_time(self) -> bool:
        hours = self._config.budget.hours
        return hours is not None and time.monotonic() - self._began > 3600 * hours
