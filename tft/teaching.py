"""From a syllabus to lessons: the shelf, the student and the tutor are asked for each kind it names.

Feedback takes questions that a student was shown before, as far as there are any, because those have been paid for;
critiques, self-training and practice take questions that the curriculum draws, which cost nothing.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from tft.config.adapters import HeadAdapter
from tft.lessons import (
    Contested,
    ContestRequest,
    CritiqueRequest,
    FeedbackRequest,
    JudgeRequest,
    ReplayRequest,
    answer,
    contest,
    criticise,
    draw_items,
    for_own_work,
    judge,
    promise_feedback,
    rehearse,
    review,
    self_train,
    unanswered,
)
from tft.records import Lesson, Offered
from tft.tutor.values import roles_that_show

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tft.config.cards import GraderConfig
    from tft.preparation import Prepared
    from tft.pupil import Pupil
    from tft.records import Syllabus
    from tft.shelf import Shelf
    from tft.sittings import Sittings
    from tft.steps import Steps
    from tft.stock import Stock

Result = TypeVar("Result")

_ATTEMPTS = 4
"""Answers a question, to find one that is right and one that is wrong."""
_QUESTIONS = 4
"""Most questions for each lesson that comes of a student's own work: not all are of use, and they cost nothing."""


class Teaching:
    """Gathers the lessons of a campaign.

    Args:
        prepared: the campaign.
        held_out: fingerprints that may not be taught.
        steps: runs the stages.
        shelf: has the demonstrations.
        stock: has the lessons of files.
        sittings: lets students answer items, and has them graded.
    """

    def __init__(
        self,
        prepared: Prepared,
        held_out: tuple[str, ...],
        steps: Steps,
        shelf: Shelf,
        stock: Stock,
        sittings: Sittings,
    ) -> None:
        self._prepared = prepared
        self._config = prepared.config
        self._held_out = held_out
        self._not_drawn = frozenset(held_out)
        self._steps = steps
        self._shelf = shelf
        self._stock = stock
        self._sittings = sittings

    async def gather(self, pupil: Pupil, syllabus: Syllabus) -> list[Lesson]:
        """Gather the lessons a syllabus asks for; what the budget does not reach is left out.

        Where the tutor's budget is spent, there may be nothing but replay.
        """
        wanted: dict[str, dict[str, int]] = {}
        for line in syllabus.tuition:
            if not line.source:
                wanted.setdefault(line.skill, {})[line.kind] = line.lessons
        lessons = self._stock.read(pupil, syllabus)
        for skill, counts in wanted.items():
            lessons += await self._teach(pupil, syllabus.cycle, skill, counts)
        if not (lessons or self._shelf.limit):
            return []
        rows = {skill: counts["replay"] for skill, counts in wanted.items() if "replay" in counts}
        return lessons + await self._replay(pupil, syllabus.cycle, rows)

    async def _teach(self, pupil: Pupil, cycle: int, skill: str, counts: dict[str, int]) -> list[Lesson]:
        lessons = await self._read_on(pupil, skill, counts.get("demonstration", 0))
        if counts.get("critique"):
            lessons += await self._criticise(pupil, cycle, skill, counts["critique"])
        if counts.get("feedback"):
            # Only on what the tutor can answer itself.
            answered = self._shown_before(pupil, cycle, skill, counts["feedback"])
            answered += await self._read_on(pupil, skill, counts["feedback"] - len(answered))
            lessons += await self._reserve_feedback(pupil, cycle, tuple(answered))
        if counts.get("self_training"):
            lessons += await self._train_itself(pupil, cycle, skill, counts["self_training"])
        if counts.get("preference"):
            asked = await self._to_answer(pupil, cycle, skill, counts["preference"])
            pair = self._have_judged if self._prepared.judged else self._pair
            lessons += await pair(pupil, cycle, skill, asked)
        if counts.get("practice"):
            drawn = self._draw(pupil, cycle, skill, counts["practice"], "practice")
            lessons += for_own_work(drawn, "practice")
        return lessons

    async def _read_on(self, pupil: Pupil, skill: str, count: int) -> list[Lesson]:
        new = await self._shelf.take(skill, pupil.read.get(skill, 0), count) if count > 0 else []
        pupil.read[skill] = pupil.read.get(skill, 0) + len(new)
        return new

    def _shown_before(self, pupil: Pupil, cycle: int, skill: str, count: int) -> list[Lesson]:
        """Pick questions the tutor showed a student in earlier cycles, at random and each once; none of material."""
        page = (it for it in pupil.notebook.get(skill, ()) if it.kind not in ("self_training", "confirmation"))
        shown = (lesson for lesson in page if lesson.answer and lesson.lineage.row is None)
        pages = {lesson.item.question: lesson for lesson in shown}
        rng = random.Random(self._prepared.seed("own work", pupil.config.id, cycle, skill))
        return rng.sample(list(pages.values()), min(count, len(pages)))

    async def _to_answer(self, pupil: Pupil, cycle: int, skill: str, count: int) -> tuple[Lesson, ...]:
        """Pick questions the tutor has answered; where it answers none, such as the curriculum draws.

        A head that rates answers chooses among those of its base. Pairs with the tutor's would teach it whose answer is
        whose.
        """
        if isinstance(pupil.config.adapter, HeadAdapter):
            return tuple(self._draw(pupil, cycle, skill, count, "pairs"))
        known = self._shown_before(pupil, cycle, skill, count)
        if set(roles_that_show(self._config.tuition)) <= set(self._prepared.tutor_card.roles):
            known += await self._read_on(pupil, skill, count - len(known))
        return (*known, *self._draw(pupil, cycle, skill, count - len(known), "pairs"))

    def _draw(self, pupil: Pupil, cycle: int, skill: str, count: int, purpose: str) -> list[Lesson]:
        """Let the curriculum draw questions; others for every purpose."""
        seed = str(self._prepared.seed(f"draw {purpose}", pupil.config.id, cycle, skill))
        return [unanswered(item) for item in draw_items(self._prepared.source, skill, count, self._not_drawn, seed)]

    async def _reserve_feedback(self, pupil: Pupil, cycle: int, lessons: tuple[Lesson, ...]) -> list[Lesson]:
        """Reserve what the tutor may be asked for while the student trains."""
        if self._shelf.limit:
            return []
        request = FeedbackRequest(
            tutor=self._prepared.tutor,
            lessons=for_own_work(lessons, "feedback"),
            passes=self._config.training.objectives.feedback.epochs or 1,
            max_tokens=self._config.exams.max_tokens,
            allowance=self._shelf.allowance(),
        )
        return await self._ask_tutor(pupil, cycle, "promise", promise_feedback, request)

    async def _train_itself(self, pupil: Pupil, cycle: int, skill: str, count: int) -> list[Lesson]:
        """Let a student answer several times, and keep what is right; without a tutor, until there is enough."""
        alone = bool(self._shelf.limit)
        drawn = self._draw(pupil, cycle, skill, _QUESTIONS * count if alone else count, "self_training")
        wanted = count if alone else None
        return list((await self._contest(Offered, self_train, pupil, cycle, drawn, wanted)).lessons)

    async def _pair(self, pupil: Pupil, cycle: int, _: str, lessons: Sequence[Lesson]) -> list[Lesson]:
        """Let a student answer several times, and the grader tell right from wrong."""
        return list((await self._contest(Offered, contest, pupil, cycle, lessons)).lessons)

    async def _have_judged(self, pupil: Pupil, cycle: int, skill: str, lessons: Sequence[Lesson]) -> list[Lesson]:
        """Let a student answer several times, and the tutor say which answer is better."""
        if self._shelf.limit:
            return []
        contested = await self._contest(Contested, answer, pupil, cycle, lessons)
        rubric = self._prepared.skills[skill].rubric
        request = JudgeRequest(self._prepared.tutor, pupil.ref, contested, rubric, self._shelf.allowance())
        return await self._ask_tutor(pupil, cycle, "judge", judge, request)

    async def _contest(
        self, kind: type[Result], stage: Callable[[ContestRequest], Result], pupil: Pupil, cycle: int,
        lessons: Sequence[Lesson], wanted: int | None = None,
    ) -> Result:  # fmt: skip
        request = ContestRequest(
            student=pupil.ref,
            lessons=tuple(lessons),
            attempts=_ATTEMPTS,
            temperature=1.0,
            grader=self._prepared.curriculum.grader,
            max_tokens=self._config.exams.max_tokens,
            seed=self._prepared.seed("contest", pupil.config.id, cycle),
            wanted=wanted,
        )
        return await self._steps.run(
            kind, pupil.place, stage, request, name=stage.__name__, student=pupil.config.id, cycle=cycle
        )

    async def _criticise(self, pupil: Pupil, cycle: int, skill: str, count: int) -> list[Lesson]:
        """Let a student attempt questions that the curriculum draws, and the tutor criticise what went wrong."""
        drawn = self._draw(pupil, cycle, skill, _QUESTIONS * count, "critique")
        attempts = await self._sittings.practise(pupil, cycle, skill, tuple(lesson.item for lesson in drawn))
        wrong, right = (
            tuple(it for it in attempts.answers if it.verdict.passed is passed)[:count] for passed in (False, True)
        )
        if not wrong or self._shelf.limit:
            return []
        request = CritiqueRequest(
            tutor=self._prepared.tutor,
            answered=wrong + right[: len(wrong)],
            longest=self._prepared.tutor_card.longest_attempt,
            marker=self._prepared.curriculum.grader.marker,
            allowance=self._shelf.allowance(),
        )
        return await self._ask_tutor(pupil, cycle, "criticise", criticise, request)

    async def _ask_tutor(
        self, pupil: Pupil, cycle: int, name: str, stage: Callable[..., Offered], request: object
    ) -> list[Lesson]:
        with self._shelf.within_limits():
            offered = await self._steps.run(
                Offered, "tutor", stage, request, name=name, student=pupil.config.id, cycle=cycle,
                before=self._shelf.refuse_late,
            )  # fmt: skip
            self._shelf.pay(offered)
            return list(offered.lessons)
        return []

    async def _replay(self, pupil: Pupil, cycle: int, rows: dict[str, int]) -> list[Lesson]:
        """Let a student read again what it was shown, and rehearse what it knew before."""
        seed = self._prepared.seed("replay", pupil.config.id, cycle)
        again = [
            lesson for skill, shown in pupil.notebook.items() for lesson in review(shown, rows.get(skill, 0), seed)
        ]
        known = {skill: count for skill, count in rows.items() if skill not in pupil.notebook}
        if not known:
            return again
        groups: dict[tuple[str, GraderConfig], dict[str, int]] = {}
        for skill, count in known.items():
            groups.setdefault(self._drawn_by(skill), {})[skill] = count
        for (items_path, grader), some in groups.items():
            request = ReplayRequest(
                student=pupil.ref,
                items_path=items_path,
                rows=some,
                held_out=self._held_out,
                grader=grader,
                max_tokens=self._config.exams.max_tokens,
                seed=seed,
            )
            offered = await self._steps.run(
                Offered, pupil.place, rehearse, request, name="rehearse", student=pupil.config.id, cycle=cycle
            )
            again += offered.lessons
        return again

    def _drawn_by(self, skill: str) -> tuple[str, GraderConfig]:
        """Say who draws items of a skill, and who grades them: its own curriculum, where it is another one's."""
        origin = self._prepared.inherited.origins.get(skill)
        if origin is not None:
            return origin.items_path, origin.grader
        return self._prepared.items_path, self._prepared.curriculum.grader
