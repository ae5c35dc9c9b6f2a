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
from dataclasses import replace
from typing import TYPE_CHECKING

from tft import plugins
from tft.admission import admit
from tft.config.adapters import HeadAdapter
from tft.curriculum import Purse, Standing, ask_planner
from tft.gate import Gate
from tft.lessons import CurateRequest, curate
from tft.probing import Prober
from tft.pupil import Pupil
from tft.records import Checkpoint, Curated, Syllabus
from tft.shelf import Shelf
from tft.sittings import Sittings
from tft.stock import Stock
from tft.teaching import Teaching
from tft.training import ClassRequest, ClassResult, TrainRequest, seat, train, train_together

if TYPE_CHECKING:
    from tft.curriculum import Planner
    from tft.preparation import Prepared
    from tft.records import Lesson, StopReason
    from tft.steps import Steps


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
        self._stock = Stock(prepared, steps)
        self._sittings = Sittings(prepared, steps)
        self._teaching = Teaching(prepared, self._held_out, steps, self._shelf, self._stock, self._sittings)
        self._planner: Planner = plugins.load("tft.planners", self._config.tuition.planner)
        self._prober = Prober(prepared, steps, self._sittings)
        self._gate = Gate(prepared, self._held_out, steps, self._sittings, self._prober, self._shelf)
        self._tutor_for_students = steps.reach(prepared.tutor)
        self._taught = [name for name, skill in prepared.skills.items() if skill.role == "taught"]
        self.pupils = [Pupil(config, ref) for config, ref in zip(self._config.students, prepared.students, strict=True)]

    @property
    def limit(self) -> str:
        """The limit that was reached, in words; empty where none was."""
        return self._shelf.limit

    async def run(self) -> None:
        """Go round until every student has stopped for a reason."""
        admitted = (
            admit(self._prepared, self._steps, place, pupil, self._tutor_for_students)
            for place, pupil in enumerate(self.pupils)
        )
        await asyncio.gather(*admitted)
        await self._stock.open()
        await asyncio.gather(*(self._sittings.sit_finals(pupil, 0) for pupil in self.pupils))
        for cycle in range(1, self._config.tuition.cycles + 1):
            active = [pupil for pupil in self.pupils if pupil.stop is None]
            if not active or self._is_too_late(cycle):
                break
            await self._turn(cycle, active)
        for pupil in self.pupils:
            pupil.stop = pupil.stop or ("budget" if self._shelf.limit else "cycles")
        await asyncio.gather(*(self._sittings.sit_finals(pupil, 1) for pupil in self.pupils if pupil.ref.digest))

    async def _turn(self, cycle: int, pupils: list[Pupil]) -> None:
        """Turn the circle once, for every student that still learns."""
        await asyncio.gather(*(self._prober.probe(pupil, cycle) for pupil in pupils))
        waiting: list[tuple[Pupil, TrainRequest]] = []
        async with asyncio.TaskGroup() as learning:
            for pupil in pupils:
                request = await self._teach(pupil, cycle)
                if request is None:
                    continue
                if self._config.training.classroom:
                    waiting.append((pupil, request))
                else:
                    learning.create_task(self._learn(cycle, [(pupil, request)]))
            for group in seat(waiting):
                learning.create_task(self._learn(cycle, group))
        for pupil in pupils:
            await self._gate.ask_second_opinion(pupil, cycle)

    async def _teach(self, pupil: Pupil, cycle: int) -> TrainRequest | None:
        """Plan, teach and curate; None where that leaves nothing to learn, and the student stops."""
        syllabus = self._plan(pupil, cycle)
        if not syllabus.tuition:
            mastered = set(self._taught) <= set(syllabus.mastered)
            pupil.stop = "mastery" if mastered else self._out_of_lessons()
            return None
        offered = await self._teaching.gather(pupil, syllabus)
        kept = await self._curate(pupil, cycle, offered)
        only_replay = all(lesson.kind == "replay" for lesson in kept)
        # Where a limit is reached, what is read again is all that is left, and worth a cycle.
        if not kept or (only_replay and not self._shelf.limit):
            pupil.stop = self._out_of_lessons()
            return None
        pupil.remember(kept)
        return self._request(pupil, syllabus, kept)

    def _plan(self, pupil: Pupil, cycle: int) -> Syllabus:
        adapter = pupil.config.adapter
        standing = Standing(
            student=pupil.config.id,
            cycle=cycle,
            known=pupil.known,
            shown={skill: len(lessons) for skill, lessons in pupil.notebook.items()},
            held=pupil.held,
            roll_backs=pupil.roll_backs,
            material=self._stock.lines(pupil, cycle),
            purse=self._shelf.purse(pupil.read),
            judged=self._prepared.judged,
            only=adapter.learns_from if isinstance(adapter, HeadAdapter) else None,
            kept=self._prepared.inherited.worked,
        )
        # With a larger budget there would be another plan; what was planned and taught stays as it was.
        syllabus = self._steps.decide(
            Syllabus,
            replace(standing, purse=Purse()),
            lambda: ask_planner(self._planner, standing, self._prepared.skills, self._config.tuition),
            name="plan",
            student=pupil.config.id,
            cycle=cycle,
        )
        pupil.hold(syllabus.mastered)
        return syllabus

    async def _curate(self, pupil: Pupil, cycle: int, offered: list[Lesson]) -> list[Lesson]:
        """Keep what was verified, and write down what was not; nothing where there is no time left to learn it."""
        request = CurateRequest(
            tuple(offered), self._prepared.curriculum.grader, self._held_out, self._prepared.inherited.graders(),
            None if isinstance(pupil.config.adapter, HeadAdapter) else pupil.ref, self._config.exams.max_tokens,
        )  # fmt: skip
        with self._shelf.within_limits():
            curated = await self._steps.run(
                Curated, pupil.place, curate, request, name="curate", student=pupil.config.id, cycle=cycle,
                before=self._shelf.refuse_late,
            )  # fmt: skip
            return list(curated.kept)
        return []

    def _request(self, pupil: Pupil, syllabus: Syllabus, kept: list[Lesson]) -> TrainRequest:
        folder = self._prepared.folder / "students" / pupil.config.id / f"cycle-{syllabus.cycle}"
        return TrainRequest(
            student=pupil.ref,
            lessons=tuple(kept),
            config=self._config.training,
            learning_rate=pupil.config.learning_rate,
            learning_rate_scale=syllabus.learning_rate_scale,
            seed=self._prepared.seed("train", pupil.config.id, syllabus.cycle),
            folder_path=str(folder.resolve()),
            max_tokens=self._config.exams.max_tokens,
            grader=self._prepared.curriculum.grader if any(it.kind == "practice" for it in kept) else None,
            tutor=self._tutor_for_students if any(it.kind == "feedback" for it in kept) else None,
            reward=self._prepared.reward if any(it.kind == "practice" for it in kept) else None,
        )

    async def _learn(self, cycle: int, group: list[tuple[Pupil, TrainRequest]]) -> None:
        """Train a student, or a classroom of them, and judge each."""
        if len(group) == 1:
            ((pupil, request),) = group
            checkpoint = await self._steps.run(
                Checkpoint, pupil.place, train, request, name="train", student=pupil.config.id, cycle=cycle,
                workers=request.config.workers,
            )  # fmt: skip
            await self._gate.judge(pupil, cycle, request, checkpoint)
            return
        together = ClassRequest(tuple(request for _, request in group))
        found = await self._steps.run(
            ClassResult, group[0][0].place, train_together, together, name="classroom", cycle=cycle
        )
        for (pupil, _), checkpoint in zip(group, found.checkpoints, strict=True):
            self._steps.note(checkpoint, name="train", student=pupil.config.id, cycle=cycle)
        judged = zip(group, found.checkpoints, strict=True)
        await asyncio.gather(*(self._gate.judge(pupil, cycle, request, it) for (pupil, request), it in judged))

    def _out_of_lessons(self) -> StopReason:
        return "budget" if self._shelf.limit else "no_lessons"

    def _is_too_late(self, cycle: int) -> bool:
        """Whether time was over before a cycle began; one that began in time is gone through again as it was."""
        if any(self._steps.ledger.steps("plan", cycle=cycle)):
            return False
        with self._shelf.within_limits():
            self._shelf.refuse_late()
            return False
        return True

    def _out_of_time(self) -> bool:
        hours = self._config.budget.hours
        return hours is not None and time.monotonic() - self._began > 3600 * hours
