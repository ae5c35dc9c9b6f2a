"""The stock: lessons of files, graded once, that every student reads at its own pace, as far as it can learn from them.

What a skill has in stock is read when the student is taught that skill: not while it waits for what it needs, and no
longer when it has mastered it. Skills that the curriculum does not have are read in any cycle, because nothing says
when they are mastered.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.errors import UserError
from tft.material import GradeRequest, grade_material, nothing_good
from tft.records import Lesson, Offered, Tuition
from tft.student.references import teaches

if TYPE_CHECKING:
    from tft.preparation import Prepared
    from tft.pupil import Pupil
    from tft.records import LessonKind, Syllabus
    from tft.steps import Steps

    Row = tuple[str, str, LessonKind]
    """File, skill and kind."""


class Stock:
    """The material of a campaign.

    Args:
        prepared: the campaign.
        steps: runs the grading.
    """

    def __init__(self, prepared: Prepared, steps: Steps) -> None:
        self._prepared = prepared
        self._steps = steps
        self._rows: dict[Row, list[Lesson]] = {}
        self._cycles: dict[Row, tuple[int, ...] | None] = {}

    async def open(self) -> None:
        """Have all material graded.

        Raises:
            UserError: if nothing of a file is left.
        """
        for place, (config, found) in enumerate(
            zip(self._prepared.config.material, self._prepared.material, strict=True)
        ):
            request = GradeRequest(
                name=found.name,
                lessons=found.lessons,
                rejections=found.rejections,
                items_path=self._prepared.items_path,
                grader=self._prepared.curriculum.grader,
            )
            offered = await self._steps.run(Offered, "tutor", grade_material, request, name="material")
            if not offered.lessons:
                raise UserError(nothing_good(config, f"material.{place}", offered.rejections))
            for lesson in offered.lessons:
                row = (found.name, lesson.item.skill, lesson.kind)
                self._rows.setdefault(row, []).append(lesson)
                self._cycles[row] = config.cycles

    def lines(self, pupil: Pupil, cycle: int) -> list[Tuition]:
        """Say what a student may read in a cycle: at most ``tuition.lessons`` a skill, file after file."""
        found: list[Tuition] = []
        room: Counter[str] = Counter()
        for (name, skill, kind), every in self._rows.items():
            row, lessons = (name, skill, kind), _readable(every, pupil)
            left = len(lessons) - pupil.stock.get(row, 0)
            count = min(self._share(row, left, cycle), self._prepared.config.tuition.lessons - room[skill])
            if count > 0:
                reason = f"material: {count} of {len(lessons)} lessons in {name}"
                if len(lessons) < len(every):
                    reason += f"; its head cannot learn from {len(every) - len(lessons)} others"
                if skill not in self._prepared.skills:
                    reason += "; the curriculum has no such skill, so it is not examined"
                found.append(Tuition(skill, kind, count, reason, name))
                room[skill] += count
        return found

    def _share(self, row: Row, left: int, cycle: int) -> int:
        cycles = self._cycles[row]
        if cycles is None:
            return left
        return math.ceil(left / sum(it >= cycle for it in cycles)) if cycle in cycles else 0

    def read(self, pupil: Pupil, syllabus: Syllabus) -> list[Lesson]:
        """Let a student read on, as its syllabus says."""
        found: list[Lesson] = []
        for line in syllabus.tuition:
            if line.source:
                row = (line.source, line.skill, line.kind)
                start = pupil.stock.get(row, 0)
                found += _readable(self._rows[row], pupil)[start : start + line.lessons]
                pupil.stock[row] = start + line.lessons
        return found


def _readable(lessons: list[Lesson], pupil: Pupil) -> list[Lesson]:
    """Leave out what a student with a head cannot learn from."""
    adapter = pupil.config.adapter
    return [it for it in lessons if teaches(it, adapter.task)] if isinstance(adapter, HeadAdapter) else lessons
