from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.making import demonstration
from tft.config.campaign import LESSONS_A_BATCH, BudgetConfig, TuitionConfig, TutorUse
from tft.config.cards import SkillCard
from tft.errors import BudgetError
from tft.lessons import DemonstrationRequest, demonstrate
from tft.records import Lesson, Offered, Usage
from tft.shelf import Shelf
from tft.tutor import Allowance

BATCH = LESSONS_A_BATCH
SKILLS = {"add_2": SkillCard(title="add", levels=2), "sub_2": SkillCard(title="sub")}


class FakeSteps:
    """Batches that are as long as they are told to be, 10 tokens a lesson."""

    def __init__(self, *sizes: int, cut: int = 0) -> None:
        self._sizes = list(sizes)
        self._cut = cut
        self.asked: list[DemonstrationRequest] = []

    async def run(
        self, kind: type[Offered], place: str, stage: Any, request: DemonstrationRequest, *, name: str,
        before: Callable[[], None],
    ) -> Offered:  # fmt: skip
        assert (kind, place, stage, name) == (Offered, "tutor", demonstrate, "teach")
        if request not in self.asked:
            before()
        if request.allowance.tokens is not None and request.allowance.tokens < 100:
            raise BudgetError("nothing left")
        size = self._sizes.pop(0) if self._sizes else BATCH
        first = sum(BATCH for it in self.asked if it.skill == request.skill)
        self.asked.append(request)
        sign = {"add_2": "+", "sub_2": "-"}[request.skill]
        lessons = tuple(demonstration(f"{10_000 + first + number}{sign}1") for number in range(size))
        return Offered(lessons, (), Usage(prompt=4 * size, completion=6 * size, requests=size),
                       len(self.asked) <= self._cut)  # fmt: skip


def make(
    steps: FakeSteps, tokens: int | None = None, out_of_time: Callable[[], bool] = lambda: False,
    methods: str = "demonstration", questions: str = "auto",
) -> Shelf:  # fmt: skip
    budget = BudgetConfig(tutor_tokens=tokens, hours=2)
    prepared = SimpleNamespace(
        config=SimpleNamespace(
            budget=budget,
            seed=7,
            tutor=TutorUse(use="abacus"),
            tuition=TuitionConfig.model_validate(
                {"methods": methods, "questions": questions, "lessons": 500, "cycles": 3}
            ),
        ),
        tutor_card=SimpleNamespace(price=None),
        skills=SKILLS,
        tutor="abacus",
        items_path="items.py",
        curriculum=SimpleNamespace(grader=SimpleNamespace(marker="#")),
        inherited=SimpleNamespace(digest=""),
    )
    return Shelf(cast("Any", prepared), ("5+27",), cast("Any", steps), out_of_time)


def take(shelf: Shelf, start: int, count: int, skill: str = "add_2") -> list[str]:
    lessons: list[Lesson] = asyncio.run(shelf.take(skill, start, count))
    return [lesson.item.question for lesson in lessons]


def test_what_stands_there_is_shared_and_paid_for_once() -> None:
    steps = FakeSteps()
    shelf = make(steps)
    first = take(shelf, 0, 100)
    assert take(shelf, 0, 100) == first
    assert take(shelf, 50, 50) == first[50:]
    assert len(steps.asked) == 1
    assert shelf.used == Usage(4 * BATCH, 6 * BATCH, requests=BATCH)


def test_a_shelf_grows_batch_by_batch_as_far_as_it_must() -> None:
    steps = FakeSteps()
    shelf = make(steps)
    assert len(take(shelf, 0, 2 * BATCH + 1)) == 2 * BATCH + 1
    assert [request.number for request in steps.asked] == [0, 1, 2]
    assert [len(request.known) for request in steps.asked] == [0, BATCH, 2 * BATCH]


def test_a_request_says_all_that_a_batch_depends_on() -> None:
    steps = FakeSteps()
    shelf = make(steps, tokens=1_000_000)
    asked = take(shelf, 0, 1)
    take(shelf, BATCH, 1)
    first, second = steps.asked
    assert first == DemonstrationRequest(
        tutor="abacus", items_path="items.py", skill="add_2", title="add", levels=2, marker="#", number=0,
        size=BATCH, known=(), held_out=("5+27",), seed=7, allowance=Allowance(1_000_000),
    )  # fmt: skip
    assert second.known == tuple(sorted(take(shelf, 0, BATCH)))
    assert set(asked) <= set(second.known)
    assert second.allowance.tokens == 1_000_000 - 10 * BATCH


def test_skills_stand_on_shelves_of_their_own() -> None:
    steps = FakeSteps()
    shelf = make(steps)
    assert not set(take(shelf, 0, 10, "add_2")) & set(take(shelf, 0, 10, "sub_2"))
    assert [(request.skill, request.number, request.known) for request in steps.asked] == [
        ("add_2", 0, ()), ("sub_2", 0, ()),
    ]  # fmt: skip


def test_who_asks_first_changes_nothing() -> None:
    one, other = make(FakeSteps()), make(FakeSteps())
    take(one, 0, 10)
    take(other, BATCH, 10)
    assert take(one, 0, 2 * BATCH) == take(other, 0, 2 * BATCH)


def test_a_purse_holds_what_is_left() -> None:
    shelf = make(FakeSteps(), tokens=60_000)
    take(shelf, 0, 1)
    assert shelf.purse({}).tokens == 60_000 - 10 * BATCH
    assert make(FakeSteps()).purse({}).tokens is None


def test_a_purse_knows_prices_and_what_is_paid_for() -> None:
    shelf = make(FakeSteps(BATCH // 2), tokens=60_000)
    take(shelf, 0, 100)
    purse = shelf.purse({"add_2": 28, "sub_2": 5})
    assert purse.prices == {"add_2": 10.0}
    assert purse.ready == {"add_2": 100, "sub_2": 0}
    assert not purse.spent


@pytest.mark.parametrize(("tokens", "scarce"), [(29_999, True), (30_000, False), (None, False)])
def test_tokens_are_scarce_where_they_do_not_reach_for_all_lessons(tokens: int | None, scarce: bool) -> None:
    # 10 tokens a lesson, 500 lessons of two skills in three cycles.
    shelf = make(FakeSteps(), tokens)
    assert not shelf.purse({}).scarce
    take(shelf, 0, 1)
    assert shelf.purse({}).scarce is scarce


@pytest.mark.parametrize(("methods", "drawn"), [("auto", [False, False, True, True]), ("critique", [False] * 4)])
def test_a_tutor_that_repeats_itself_answers_what_the_curriculum_draws(methods: str, drawn: list[bool]) -> None:
    steps = FakeSteps(BATCH * 3 // 4, BATCH * 3 // 4 - 1, BATCH, BATCH)
    take(make(steps, methods=methods), 0, 3 * BATCH)
    assert [request.drawn for request in steps.asked] == drawn


@pytest.mark.parametrize(("tokens", "drawn"), [(29_999, [False, True]), (30_000, [False, False]), (None, [False] * 2)])
def test_where_tokens_are_scarce_the_curriculum_draws(tokens: int | None, drawn: list[bool]) -> None:
    steps = FakeSteps()
    take(make(steps, tokens, methods="auto"), 0, 2 * BATCH)
    assert [request.drawn for request in steps.asked] == drawn


@pytest.mark.parametrize(("questions", "drawn"), [("curriculum", True), ("tutor", False)])
@pytest.mark.parametrize("methods", ["auto", "demonstration"])
def test_who_asks_may_be_said(methods: str, questions: str, drawn: bool) -> None:
    steps = FakeSteps(BATCH, BATCH // 2, BATCH)
    take(make(steps, 20_000, methods=methods, questions=questions), 0, 2 * BATCH)
    assert [request.drawn for request in steps.asked] == [drawn] * 3


@pytest.mark.parametrize(("tokens", "scarce"), [(29_999, True), (30_000, False)])
def test_what_is_drawn_for_another_reason_makes_tokens_scarce_at_its_own_price(tokens: int, scarce: bool) -> None:
    shelf = make(FakeSteps(), tokens, methods="auto", questions="curriculum")
    take(shelf, 0, 1)
    assert shelf.purse({}).scarce is scarce


def test_a_skill_is_asked_out_only_when_nothing_can_be_drawn_either() -> None:
    steps = FakeSteps(3, 100, 5)
    shelf = make(steps, methods="auto")
    assert len(take(shelf, 0, 500)) == 108
    assert [request.drawn for request in steps.asked] == [False, True, True]


def test_a_batch_with_next_to_nothing_new_exhausts_the_skill() -> None:
    steps = FakeSteps(100, 5)
    shelf = make(steps)
    whole = take(shelf, 0, 105)
    assert len(whole) == 105
    assert take(shelf, 100, 20) == [*whole[100:], *whole[:15]]
    assert take(shelf, 105, 10) == whole[:10]
    assert take(shelf, 1000, 500) == [whole[(1000 + place) % 105] for place in range(105)]
    assert len(steps.asked) == 2


@pytest.mark.parametrize("methods", ["auto", "demonstration"])
def test_a_batch_that_the_budget_cut_says_nothing_about_the_skill(methods: str) -> None:
    steps = FakeSteps(5, 3, cut=2)
    assert len(take(make(steps, methods=methods), 0, 9)) == 9
    assert [request.drawn for request in steps.asked] == [False] * 3


def test_a_skill_without_any_lesson_gives_none() -> None:
    steps = FakeSteps(0)
    shelf = make(steps)
    assert take(shelf, 0, 10) == take(shelf, 5, 10) == []
    assert len(steps.asked) == 1
    assert not shelf.limit


@pytest.mark.parametrize("tokens", [10 * BATCH, 10 * BATCH + 99])
def test_a_budget_that_is_spent_gives_what_there_is_and_asks_no_more(tokens: int) -> None:
    steps = FakeSteps()
    shelf = make(steps, tokens)
    assert len(take(shelf, 0, 2 * BATCH)) == BATCH
    assert shelf.limit
    assert take(shelf, BATCH, 10) == []
    assert len(take(shelf, BATCH - 3, 10)) == 3
    assert take(shelf, 0, 5, "sub_2") == []
    assert len(steps.asked) == 1
    assert shelf.allowance().tokens == tokens - 10 * BATCH


def test_without_a_limit_there_is_no_allowance_to_speak_of() -> None:
    assert make(FakeSteps()).allowance() == Allowance()


def test_what_others_used_counts_too() -> None:
    shelf = make(FakeSteps(), 1000)
    shelf.used += Usage(prompt=100, completion=50, cached=150)
    assert shelf.allowance().tokens == 850


def test_a_purse_knows_what_a_critique_cost() -> None:
    shelf = make(FakeSteps(), 10_000)
    assert shelf.purse({}).critique is None
    critique = replace(demonstration("27+58"), kind="critique")
    confirmed = replace(demonstration("27+59"), kind="confirmation")
    shelf.pay(Offered((critique, critique, confirmed), (), Usage(prompt=60, completion=90, requests=3)))
    shelf.pay(Offered((confirmed,), (), Usage()))
    assert shelf.purse({}).critique == 75.0
    assert shelf.allowance().tokens == 9850


def test_no_batch_is_begun_when_time_is_up() -> None:
    steps = FakeSteps()
    late: list[bool] = []
    shelf = make(steps, out_of_time=lambda: bool(late))
    take(shelf, 0, 1)
    late.append(True)
    assert len(take(shelf, 0, BATCH)) == BATCH
    assert not shelf.limit
    assert take(shelf, BATCH, 1) == []
    assert shelf.limit == "budget.hours: 2 hours are over"
    assert len(steps.asked) == 1


def test_a_batch_that_was_made_in_time_is_read_again_later() -> None:
    steps = FakeSteps()
    take(make(steps), 0, 1)
    later = make(steps, out_of_time=lambda: True)
    assert len(take(later, 0, BATCH)) == BATCH
    assert not later.limit
