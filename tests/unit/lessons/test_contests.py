from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import items
import pytest

from tests.making import demonstration
from tft.config.cards import GraderConfig
from tft.graders import grade_attempts
from tft.lessons import ContestRequest, CurateRequest, contest, curate, draw_items, review, self_train, unanswered
from tft.library import load_items
from tft.records import Example, Offered, Usage
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
    assert [it.item for it in offered.lessons] == [it.item for it in contest(request_).lessons]
    assert all(grade(lesson.item, lesson.answer, True).passed for lesson in offered.lessons)
    assert {lesson.lineage.source for lesson in offered.lessons} == {"student"}
    assert reasons(offered) >= {"all_right", "all_wrong"}
    assert len(offered.lessons) + len(offered.rejections) == 48
    assert offered.usage == Usage()
    assert curate(CurateRequest(offered.lessons, GRADER, ())).rejections == ()


def test_it_is_asked_until_it_has_what_is_wanted(request_: ContestRequest) -> None:
    sometimes = self_train(request_).lessons
    whole = self_train(replace(request_, wanted=100)).lessons
    assert whole[: len(sometimes)] == sometimes
    assert {it.item.skill for it in whole[len(sometimes) :]} >= {"add_1"}
    some = self_train(replace(request_, wanted=3))
    assert some.lessons == whole[:3]
    assert len(some.rejections) < 48 - len(whole)
    assert self_train(replace(request_, wanted=len(whole) - 1)).lessons == whole[:-1]


def test_the_same_questions_make_pairs(request_: ContestRequest) -> None:
    offered = contest(request_)
    assert reasons(offered) >= {"all_right", "all_wrong"}
    assert all(it.rejected not in (None, it.answer) for it in offered.lessons)
    assert all(it.examples == (Example.of(it.item.question, it.answer),) for it in offered.lessons)
    assert curate(CurateRequest(offered.lessons, GRADER, ())).rejections == ()


def test_what_a_pair_prefers_is_what_is_read_of_it(request_: ContestRequest) -> None:
    shown = [demonstration(it.item.question, "1 #0") for it in request_.lessons]
    lessons = tuple(replace(it, item=asked.item) for it, asked in zip(shown, request_.lessons, strict=True))
    pairs = contest(replace(request_, lessons=lessons)).lessons
    own = [it for it in pairs if it.answer != "1 #0"]
    assert own
    assert [it.examples[0].messages[-1].content for it in pairs] == [it.answer for it in pairs]
    again = curate(CurateRequest(tuple(review(own, len(own), 0)), GRADER, ())).kept
    grade = grade_attempts(GRADER)
    assert all(grade(it.item, it.examples[0].messages[-1].content, True).passed for it in again)
    assert len(again) == len(own)


def test_an_answer_that_is_cut_off_is_not_learned_by_heart(request_: ContestRequest) -> None:
    def asked(longest: int) -> ContestRequest:
        return replace(request_, grader=GraderConfig(type="numeric", cut_off=True), max_tokens=longest)

    # Long enough for the result of most questions, and too short for the end of the turn after it.
    for longest in range(4, 16):
        cut = {(it.item.question, it.answer) for it in contest(asked(longest)).lessons if it.answer in it.cut_off}
        if cut:
            break
    learned = {(it.item.question, it.answer) for it in self_train(asked(longest)).lessons}
    assert cut
    assert not cut & learned
