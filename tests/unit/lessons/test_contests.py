from __future__ import annotations

from pathlib import Path

import items
import pytest

from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.lessons import ContestRequest, CurateRequest, contest, curate, draw_items, self_train, unanswered
from tft.library import load_items
from tft.records import Offered, Usage
from tft.student import StudentRef

GRADER = GraderConfig(type="numeric", marker="#")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def request_(ada: StudentRef) -> ContestRequest:
    """Give questions that the student sometimes answers right, and some that it always does."""
    source = load_items(Path(items.__file__).resolve())
    drawn = [item for skill in ("sub_2", "add_1") for item in draw_items(source, skill, 24, frozenset(), "7")]
    return ContestRequest(ada, tuple(map(unanswered, drawn)), 4, 1.0, GRADER, 64, seed=7)


def reasons(offered: Offered) -> set[str]:
    return {it.reason for it in offered.rejections}


def test_a_student_teaches_itself_what_it_gets_right_now_and_then(request_: ContestRequest) -> None:
    offered = self_train(request_)
    grade = grade_attempts(GRADER)
    assert 4 <= len(offered.lessons) < 24
    assert {lesson.item.skill for lesson in offered.lessons} == {"sub_2"}
    assert all(grade(lesson.item, lesson.answer, True).passed for lesson in offered.lessons)
    assert {lesson.lineage.source for lesson in offered.lessons} == {"student"}
    assert reasons(offered) >= {"all_right", "all_wrong"}
    assert len(offered.lessons) + len(offered.rejections) == 48
    assert offered.usage == Usage()
    assert curate(CurateRequest(offered.lessons, GRADER, ())).rejections == ()


def test_the_same_questions_make_pairs(request_: ContestRequest) -> None:
    offered, alone = contest(request_), self_train(request_)
    assert [it.item for it in offered.lessons] == [it.item for it in alone.lessons]
    assert [it.answer for it in offered.lessons] == [it.answer for it in alone.lessons]
    assert all(it.rejected not in (None, it.answer) for it in offered.lessons)
    assert curate(CurateRequest(offered.lessons, GRADER, ())).rejections == ()


def test_an_answer_that_is_cut_off_is_not_learned_by_heart(request_: ContestRequest) -> None:
    short = ContestRequest(
        request_.student, request_.lessons, 4, 1.0, GraderConfig(type="numeric", cut_off=True), 4, seed=7
    )
    assert all(len(lesson.answer) <= 4 for lesson in self_train(short).lessons)
    assert self_train(short).lessons != contest(short).lessons
