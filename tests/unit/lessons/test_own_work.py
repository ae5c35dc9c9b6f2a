from __future__ import annotations

from dataclasses import replace
from random import Random

import items
import pytest

from tests.making import demonstration
from tft.config.campaign import Price, TutorUse
from tft.errors import BudgetError
from tft.lessons import FeedbackRequest, draw_items, for_own_work, promise_feedback, unanswered
from tft.library import Library
from tft.preparation import find_tutor
from tft.tutor import NO_LIMIT, Allowance

LESSONS = for_own_work([demonstration("27+58"), demonstration("3+4")], "feedback")


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> FeedbackRequest:
    _, tutor = find_tutor(TutorUse(use="abacus"), Library(), tmp_path_factory.mktemp("cache"))
    return FeedbackRequest(tutor, LESSONS, 2, 24, NO_LIMIT)


def test_a_promise_counts_what_may_be_asked_at_most(request_: FeedbackRequest) -> None:
    offered = promise_feedback(request_)
    # "Q27+58\nA" and "Q3+4\nA", each read twice; each answer of the student may have 24 tokens.
    assert offered.usage.prompt == 2 * (8 + 6)
    assert offered.usage.scored == 2 * 2 * 24
    assert offered.usage.requests == 4
    assert [lesson.id for lesson in offered.lessons] == [lesson.id for lesson in LESSONS]
    assert all(lesson.lineage.prompts["scorer"] == "plain" for lesson in offered.lessons)


def test_an_answer_of_the_tutor_may_be_longer_than_the_student_may_write(request_: FeedbackRequest) -> None:
    longest = len(items.work("27+58")) + 1
    offered = promise_feedback(replace(request_, max_tokens=4))
    assert offered.usage.scored == 2 * (longest + len(items.work("3+4")) + 1)


@pytest.mark.parametrize(("allowance", "limit"), [
    (Allowance(tokens=100), "budget.tutor_tokens"),
    (Allowance(requests=3), "budget.tutor_requests"),
    (Allowance(money=0.5, price=Price(prompt=0.0, completion=10_000.0)), "budget.money"),
])  # fmt: skip
def test_what_cannot_be_paid_for_is_not_promised(allowance: Allowance, limit: str, request_: FeedbackRequest) -> None:
    with pytest.raises(BudgetError, match=limit):
        promise_feedback(replace(request_, allowance=allowance))


def test_scored_tokens_cost_what_written_ones_cost(request_: FeedbackRequest) -> None:
    allowance = Allowance(money=1.0, price=Price(prompt=0.0, completion=10_000.0))
    left = allowance.after(promise_feedback(request_).usage)
    assert left.money == pytest.approx(1.0 - 96 * 0.01)


def test_what_is_too_long_for_the_tutor_is_left_out(request_: FeedbackRequest) -> None:
    offered = promise_feedback(replace(request_, max_tokens=249))
    assert [lesson.item.question for lesson in offered.lessons] == ["3+4"]
    assert [(it.reason, it.text) for it in offered.rejections] == [("too_long", "27+58")]


def test_the_same_lesson_for_another_purpose_is_another_lesson() -> None:
    (lesson,) = for_own_work([demonstration("27+58")], "practice")
    assert lesson.id != LESSONS[0].id
    assert (lesson.kind, lesson.item) == ("practice", LESSONS[0].item)


def test_nothing_held_out_is_drawn_and_a_table_is_drawn_to_its_end() -> None:
    held_out = {items.fingerprint(question) for question in ("3+4", "1+1")}
    drawn = draw_items(items, "add_1", 500, held_out, "seed")  # type: ignore[arg-type]
    questions = [item.question for item in drawn]
    assert len(questions) == len(set(questions)) > 90
    assert not held_out & {item.fingerprint for item in drawn}
    assert draw_items(items, "add_2", 7, (), "a") == draw_items(items, "add_2", 7, (), "a")  # type: ignore[arg-type]
    assert {items.classify(question)[0] for question in Random(1).sample(questions, 9)} == {"add_1"}  # type: ignore[index]
    lesson = unanswered(drawn[0])
    assert (lesson.answer, lesson.examples, lesson.lineage.source) == ("", (), "curriculum")
