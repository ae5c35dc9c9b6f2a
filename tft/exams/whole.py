"""How a whole exam is sat: asked and graded here, or by lm-eval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.exams.examiner import SitRequest, sit
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
    return sit, SitRequest(student, suite.name, suite.items, suite.grader, max_tokens)
