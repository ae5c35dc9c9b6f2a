"""The gate: whether what a student learned in a cycle becomes the student, and what went wrong where it does not.

A candidate sits the check, and the questions of the whole exams that are watched. It also answers a sample of what it
was just taught: who knows that much better than the check has learned by heart. A cycle that is refused is looked into:
its lessons are verified once more, and what does not pass is never taught again.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

from tft.curriculum import Compared, Evidence, estimate, keep_best, mean_score, reflect, renew
from tft.curriculum.findings import name_wrong_lessons
from tft.lessons import Audited, CurateRequest, audit
from tft.records import Opinion, Sitting
from tft.tutor import OpinionRequest, Pair, give_opinion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.preparation import Prepared
    from tft.probing import Prober
    from tft.pupil import Pupil
    from tft.records import Answered, Checkpoint, Decision, Item, Lesson
    from tft.shelf import Shelf
    from tft.sittings import Sittings
    from tft.steps import Steps
    from tft.training import TrainRequest

_SAMPLE = 16
"""Lessons a skill that a candidate is asked again."""


class Gate:
    """Promotes checkpoints, or rolls them back.

    Args:
        prepared: the campaign.
        held_out: fingerprints that may not be taught.
        steps: runs the stages.
        sittings: lets students sit exams.
        prober: writes down what is believed of a student.
        shelf: knows what the tutor has been paid.
    """

    def __init__(
        self,
        prepared: Prepared,
        held_out: tuple[str, ...],
        steps: Steps,
        sittings: Sittings,
        prober: Prober,
        shelf: Shelf,
    ) -> None:
        self._prepared = prepared
        self._held_out = held_out
        self._not_taught = frozenset(held_out)
        self._steps = steps
        self._sittings = sittings
        self._prober = prober
        self._shelf = shelf
        self._taught = [name for name, skill in prepared.skills.items() if skill.role == "taught"]

    async def judge(self, pupil: Pupil, cycle: int, request: TrainRequest, checkpoint: Checkpoint) -> None:
        """Examine what was learned, and decide whether it was worth keeping."""
        candidate = replace(pupil.ref, checkpoint_path=request.folder_path, digest=checkpoint.digest)
        check = await self._sittings.sit(pupil, candidate, "check", cycle, self._prepared.splits.items["check"])
        if not pupil.watched.answers:
            pupil.watched = pupil.best_watched = await self._sittings.watch(pupil, pupil.ref, 0)
        watched = await self._sittings.watch(pupil, candidate, cycle)
        trained, sample = Sitting("trained", ()), self._sample(pupil, cycle, request.lessons)
        if sample:
            trained = await self._sittings.sit(pupil, candidate, "trained", cycle, sample)
        traces = renew(pupil.traces, pupil.check, check, cycle)
        evidence = Evidence(
            Compared(pupil.check, pupil.best, check), tuple(pupil.history), self._prober.believed(traces),
            watched=Compared(pupil.watched, pupil.best_watched, watched),
            trained=trained,
            leaked=[it.item.question for it in request.lessons if it.item.fingerprint in self._not_taught],
            measures=checkpoint.measures,
        )  # fmt: skip
        decision = reflect(pupil.config.id, cycle, self._prepared.skills, evidence, self._prepared.config.tuition)
        pupil.turned = self._turned(pupil, cycle, request, check) if decision.promoted else {}
        if decision.promoted:
            pupil.ref, pupil.check, pupil.watched, pupil.traces = candidate, check, watched, traces
            pupil.best, pupil.best_watched = keep_best(pupil.best, check), keep_best(pupil.best_watched, watched)
            pupil.roll_backs = 0
        else:
            decision = await self._look_into(pupil, cycle, request.lessons, decision)
            pupil.roll_backs += 1
        self._steps.note(decision, name="reflect", student=pupil.config.id, cycle=cycle)
        self._prober.believe(pupil, cycle)
        pupil.history.append(mean_score(estimate([pupil.check]), self._taught))
        pupil.stop = decision.stop

    async def ask_second_opinion(self, pupil: Pupil, cycle: int) -> None:
        """Let the tutor's judge read what the grader came to pass in a cycle of practice.

        When all students have been judged: what the tutor has been paid must not depend on who was first.
        """
        turned, pupil.turned = pupil.turned, {}
        if not turned or self._shelf.limit or "judge" not in self._prepared.tutor_card.roles:
            return
        request = OpinionRequest(
            tutor=self._prepared.tutor,
            pairs={
                skill: tuple(Pair(new.attempt.item.question, old.attempt.text, new.attempt.text) for old, new in page)
                for skill, page in turned.items()
            },
            rubrics={skill: self._prepared.skills[skill].rubric for skill in turned},
            allowance=self._shelf.allowance(),
        )
        opinion = await self._steps.run(
            Opinion, "tutor", give_opinion, request, name="second_opinion", student=pupil.config.id, cycle=cycle
        )
        self._shelf.used += opinion.usage

    def _turned(
        self, pupil: Pupil, cycle: int, request: TrainRequest, check: Sitting
    ) -> dict[str, list[tuple[Answered, Answered]]]:
        """Pick answers that the grader passes now and did not before, where it was what rewarded them."""
        practised = {it.item.skill for it in request.lessons if it.kind == "practice"} if not request.reward else set()
        longest = self._prepared.tutor_card.longest_attempt
        turned: dict[str, list[tuple[Answered, Answered]]] = {}
        for old, new in zip(pupil.check.answers, check.answers, strict=True):
            skill, readable = new.attempt.item.skill, all(0 < len(it.attempt.text) <= longest for it in (old, new))
            if readable and skill in practised and new.verdict.passed and not old.verdict.passed:
                turned.setdefault(skill, []).append((old, new))
        most = self._prepared.config.tuition.second_opinion
        rng = random.Random(self._prepared.seed("second opinion", pupil.config.id, cycle))
        picked = {skill: rng.sample(page, min(most, len(page))) for skill, page in turned.items()}
        return {skill: page for skill, page in picked.items() if page}

    async def _look_into(self, pupil: Pupil, cycle: int, lessons: tuple[Lesson, ...], decision: Decision) -> Decision:
        """Verify the lessons of a cycle once more, and strike out those that do not pass."""
        graders = self._prepared.inherited.graders()
        request = CurateRequest(lessons, self._prepared.curriculum.grader, self._held_out, graders)
        found = await self._steps.run(
            Audited, pupil.place, audit, request, name="audit", student=pupil.config.id, cycle=cycle
        )
        pupil.strike(found.refused)
        return replace(decision, findings=(*decision.findings, *name_wrong_lessons(found.rejections, len(lessons))))

    def _sample(self, pupil: Pupil, cycle: int, lessons: Sequence[Lesson]) -> tuple[Item, ...]:
        """Pick questions that were just taught, at random; none whose answer nobody here can check."""
        by_skill: dict[str, dict[str, Item]] = {}
        for lesson in lessons:
            if lesson.kind not in ("replay", "practice") and not lesson.lineage.trusted and not lesson.asked:
                by_skill.setdefault(lesson.item.skill, {})[lesson.item.question] = lesson.item
        rng = random.Random(self._prepared.seed("trained", pupil.config.id, cycle))
        pages = [list(page.values()) for page in by_skill.values()]
        return tuple(it for page in pages for it in rng.sample(page, min(_SAMPLE, len(page))))
