"""How a whole exam is sat: asked here and graded by rules or by a judge, or asked and graded by lm-eval. And how what
the gate watches of them is sat.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.exams.examiner import JudgedRequest, SitRequest, sit, sit_judged
from tft.exams.harness import TaskRequest, sit_task

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tft.exams.suites import Suite
    from tft.records import Sitting
    from tft.student import StudentRef


def stage_of(suite: Suite, student: StudentRef, max_tokens: int) -> tuple[Callable[[Any], Sitting], Any]:
    """Give the stage in which a student sits a whole exam, and what it is asked."""
    if suite.task is not None:
        return sit_task, TaskRequest(student, suite.name, suite.items, suite.task)
    request = SitRequest(student, suite.name, suite.items, suite.grader, max_tokens)
    return (sit, request) if suite.judge is None else (sit_judged, JudgedRequest(request, suite.judge))


def watch(suites: Sequence[Suite], student: StudentRef, max_tokens: int) -> SitRequest:
    """Give the one sitting in which a student answers what is watched of whole exams, each graded by its own rule."""
    items = tuple(item for suite in suites for item in suite.watched)
    graders = {suite.name: suite.grader for suite in suites}
    return SitRequest(student, "watched", items, suites[0].grader, max_tokens, graders)
