"""How a whole exam is sat: asked here and graded by rules or by a judge, or asked and graded by lm-eval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.exams.examiner import JudgedRequest, SitRequest, sit, sit_judged
from tft.exams.harness import TaskRequest, sit_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.exams.suites import Suite
    from tft.records import Sitting
    from tft.student import StudentRef


def stage_of(suite: Suite, student: StudentRef, max_tokens: int) -> tuple[Callable[[Any], Sitting], Any]:
    """Give the stage in which a student sits a whole exam, and what it is asked."""
    if suite.task is not None:
        return sit_task, TaskRequest(student, suite.name, suite.items, suite.task)
    request = SitRequest(student, suite.name, suite.items, suite.grader, max_tokens)
    return (sit, request) if suite.judge is None else (sit_judged, JudgedRequest(request, suite.judge))
