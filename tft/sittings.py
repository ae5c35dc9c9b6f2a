"""Sittings: a student answers questions, wherever it lives, and an examiner who is not its tutor grades them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.exams.examiner import SitRequest, sit
from tft.exams.self_correction import CorrectRequest, correct
from tft.exams.whole import stage_of, watch
from tft.records import Sitting

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.preparation import Prepared
    from tft.pupil import Pupil
    from tft.records import Item
    from tft.steps import Steps
    from tft.student import StudentRef

_CORRECTED = 64
"""Answers a skill that a student is given back to correct."""


class Sittings:
    """Lets the students of a campaign sit exams.

    Args:
        prepared: the campaign.
        steps: runs the stages.
    """

    def __init__(self, prepared: Prepared, steps: Steps) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._steps = steps
        self._taught = [name for name, skill in prepared.skills.items() if skill.role == "taught"]

    async def sit(
        self, pupil: Pupil, ref: StudentRef, exam: str, cycle: int, items: tuple[Item, ...], name: str = "examine"
    ) -> Sitting:
        """Let a student answer items, as it is or as a candidate would."""
        request = SitRequest(
            ref, exam, items, self._prepared.curriculum.grader, self._config.exams.max_tokens,
            self._prepared.inherited.graders(),
        )  # fmt: skip
        return await self._run(pupil, cycle, sit, request, name)

    async def practise(self, pupil: Pupil, cycle: int, skill: str, items: tuple[Item, ...]) -> Sitting:
        """Let a student attempt what it will be taught by."""
        return await self.sit(pupil, pupil.ref, f"practice {skill}", cycle, items, name="practise")

    async def watch(self, pupil: Pupil, ref: StudentRef, cycle: int) -> Sitting:
        """Let a student answer what is watched of the whole exams; nothing where nothing is."""
        suites = [suite for _, suite in self._prepared.suites if suite.watched]
        if not suites:
            return Sitting("watched", ())
        return await self._run(pupil, cycle, sit, watch(suites, ref, self._config.exams.max_tokens))

    async def sit_finals(self, pupil: Pupil, cycle: int) -> None:
        """Let a student sit the final and the whole exams: before the first cycle, and when its last is over."""
        final = await self.sit(pupil, pupil.ref, "final", cycle, self._prepared.splits.items["final"])
        if cycle and self._was_criticised(pupil):
            await self._correct(pupil, cycle, final)
        for _, suite in self._prepared.suites:
            if suite.missing is None:
                stage, asked = stage_of(suite, pupil.ref, self._config.exams.max_tokens)
                await self._run(pupil, cycle, stage, asked)

    def _was_criticised(self, pupil: Pupil) -> bool:
        """Whether this tutor criticised a student; in the words of another, it would not know what it is asked."""
        card = self._prepared.tutor_card
        critiques = (it for page in pupil.notebook.values() for it in page if it.kind == "critique")
        return "critic" in card.roles and any(it.lineage.source == card.tutor for it in critiques)

    async def _correct(self, pupil: Pupil, cycle: int, final: Sitting) -> None:
        """Let a student that was criticised correct itself, on what it was taught, with the tutor gone."""
        by_skill = ([it for it in final.answers if it.attempt.item.skill == skill] for skill in self._taught)
        request = CorrectRequest(
            student=pupil.ref,
            answered=tuple(it for answers in by_skill for it in answers[:_CORRECTED]),
            card_path=self._prepared.tutor.card_path,
            critic=self._prepared.contents["tutor.use"],
            longest=self._prepared.tutor_card.longest_attempt,
            grader=self._prepared.curriculum.grader,
        )
        await self._run(pupil, cycle, correct, request)

    async def _run(
        self, pupil: Pupil, cycle: int, stage: Callable[..., Sitting], request: object, name: str = "examine"
    ) -> Sitting:
        return await self._steps.run(
            Sitting, pupil.place, stage, request, name=name, student=pupil.config.id, cycle=cycle
        )
