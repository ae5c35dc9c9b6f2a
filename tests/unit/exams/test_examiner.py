"""Students sit down before items of several curricula, each graded as its own curriculum says."""

from __future__ import annotations

from dataclasses import replace

from tests.making import make_item
from tft.config.cards import GraderConfig
from tft.exams.examiner import SitRequest, sit
from tft.student import StudentRef

HASH = GraderConfig(type="numeric", marker="#")


def test_skills_of_another_curriculum_are_graded_as_it_says(ada: StudentRef) -> None:
    items = tuple(make_item(question) for question in ("2+3", "4-1", "5+1"))
    request = SitRequest(ada, "final", items, HASH, 32)
    assert [it.verdict.passed for it in sit(request).answers] == [True, True, True]
    mixed = sit(replace(request, graders={"sub_1": GraderConfig(type="exact")})).answers
    assert [it.attempt.item for it in mixed] == list(items)
    assert [it.verdict.passed for it in mixed] == [True, False, True]
