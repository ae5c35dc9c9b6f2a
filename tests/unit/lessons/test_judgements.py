from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import corpus
import items
import pytest

from tft.config.campaign import TuitionConfig, TutorUse
from tft.config.cards import GraderConfig
from tft.errors import BudgetError
from tft.graders import grade_attempts, is_judged
from tft.lessons import (
    Contested,
    ContestRequest,
    CurateRequest,
    JudgeRequest,
    answer,
    curate,
    draw_items,
    judge,
    unanswered,
)  # fmt: skip
from tft.library import Library, load_items
from tft.preparation import find_tutor
from tft.records import Attempt, Item, Offered
from tft.student import StudentRef
from tft.tutor import NO_LIMIT, Allowance, Pair, Preference

GRADER = GraderConfig(type="numeric", marker="#")

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def request_(ada: StudentRef, tmp_path_factory: pytest.TempPathFactory) -> JudgeRequest:
    """Give answers to be judged by the real tutor: of each question one right, and one with a slip in it."""
    source, rng = load_items(Path(items.__file__).resolve()), Random(7)
    drawn = [item for skill in ("add_2", "sub_2") for item in draw_items(source, skill, 40, frozenset(), "7")]
    texts = [(items.work(it.question), corpus.slip(it.question, rng)) for it in drawn]
    answers = tuple(tuple(Attempt(it, text, len(text)) for text in pair) for it, pair in zip(drawn, texts, strict=True))
    contested = Contested(tuple(map(unanswered, drawn)), answers)
    _, tutor = find_tutor(TutorUse(use="abacus"), Library(), tmp_path_factory.mktemp("cache"))
    return JudgeRequest(tutor, ada, contested, None, NO_LIMIT)


@pytest.fixture(scope="module")
def judged(request_: JudgeRequest) -> Offered:
    return judge(request_)


def test_the_judge_prefers_what_is_right_more_often_than_not(judged: Offered) -> None:
    grade = grade_attempts(GRADER)
    told = [grade(it.item, it.answer, True).passed for it in judged.lessons]
    assert len(told) >= 30
    assert sum(told) > 0.6 * len(told)
    assert len(judged.lessons) + len(judged.rejections) == 80
    assert {it.reason for it in judged.rejections} <= {"tie", "orders_disagree"}
    assert judged.usage.requests == 160


def test_a_students_own_answers_are_judged_each_once(ada: StudentRef) -> None:
    source = load_items(Path(items.__file__).resolve())
    drawn = draw_items(source, "add_1", 8, frozenset(), "7") + draw_items(source, "sub_2", 8, frozenset(), "7")
    found = answer(ContestRequest(ada, tuple(map(unanswered, drawn)), 4, 1.0, GRADER, 64, seed=7)).answers
    assert {len(own) for own in found[:8]} == {1}
    assert max(len(own) for own in found[8:]) > 1
    assert all(len({it.text for it in own}) == len(own) for own in found)


def test_a_pair_says_who_judged_it(judged: Offered) -> None:
    lesson = judged.lessons[0]
    assert (lesson.kind, lesson.lineage.source) == ("preference", "student")
    assert lesson.lineage.prompts["judge"]
    assert [(it.grader, it.passed) for it in lesson.verdicts] == [("judge", True)]


def test_a_judge_does_not_overrule_a_grader_that_knows(judged: Offered) -> None:
    curated = curate(CurateRequest(judged.lessons, GRADER, ()))
    grade = grade_attempts(GRADER)
    assert all(grade(it.item, it.answer, True).passed for it in curated.kept)
    assert {it.reason for it in curated.rejections} <= {"wrong"}


class Opinion:
    """A grader that knows nothing for sure, and here likes nothing."""

    opinion = True

    def __init__(self, _: GraderConfig) -> None:
        pass

    def grade(self, item: Item, text: str) -> None:
        raise AssertionError(f"nobody asked about {item} and {text}")


@pytest.fixture
def opinion(monkeypatch: pytest.MonkeyPatch) -> GraderConfig:
    monkeypatch.setattr("tft.plugins.load", lambda *_: Opinion)
    return GraderConfig(type="opinion")


def test_where_the_grader_is_an_opinion_too_the_judge_is_enough(judged: Offered, opinion: GraderConfig) -> None:
    curated = curate(CurateRequest(judged.lessons, opinion, ()))
    assert curated.rejections == ()
    assert curated.kept[0].lineage.filters[0] == "judge"


def test_who_tells_answers_apart(opinion: GraderConfig) -> None:
    def asks(**values: str) -> bool:
        return is_judged(TuitionConfig.model_validate(values), opinion)

    assert asks()
    assert not asks(pairs="grader")
    assert not asks(methods="demonstration", pairs="judge")


def test_a_fact_needs_no_judge() -> None:
    assert not is_judged(TuitionConfig(), GRADER)
    assert is_judged(TuitionConfig(pairs="judge"), GRADER)


def says(monkeypatch: pytest.MonkeyPatch, *said: Preference) -> list[Pair]:
    """Make the judge say what it is told to; gives what it was asked."""
    asked: list[Pair] = []

    def prefer(_: object, pairs: list[Pair], *__: object) -> tuple[list[Preference], object]:
        asked.extend(pairs)
        return list(said), Offered((), (), None).usage  # type: ignore[arg-type]

    monkeypatch.setattr("tft.lessons.judgements.prefer", prefer)
    return asked


def one(request: JudgeRequest, answers: tuple[str, ...], worked: str = "") -> JudgeRequest:
    lesson = replace(request.contested.lessons[0], answer=worked)
    own = tuple(Attempt(lesson.item, text, 3) for text in answers)
    return replace(request, contested=Contested((lesson,), (own,)))


def test_a_student_of_one_mind_is_held_against_the_tutor(
    request_: JudgeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = says(monkeypatch, Preference("second", ("second", "second")))
    (lesson,) = judge(one(request_, ("mine",), "the tutor's")).lessons
    assert (asked[0].first, asked[0].second) == ("mine", "the tutor's")
    assert (lesson.answer, lesson.rejected) == ("the tutor's", "mine")


@pytest.mark.parametrize(("said", "reason"), [
    (("tie", "tie"), "tie"), (("first", "tie"), "tie"), (("first", "second"), "orders_disagree"),
    ((None, "first"), "unreadable"), ((None, None), "unreadable"),
])  # fmt: skip
def test_what_the_judge_is_not_sure_of_teaches_nothing(
    request_: JudgeRequest, monkeypatch: pytest.MonkeyPatch, said: tuple[str, str], reason: str
) -> None:
    says(monkeypatch, Preference("tie", said))  # type: ignore[arg-type]
    offered = judge(one(request_, ("this", "that")))
    assert offered.lessons == ()
    assert [it.reason for it in offered.rejections] == [reason]


@pytest.mark.parametrize(("answers", "worked"), [(("same",), ""), (("same",), "same"), ((), "worked")])
def test_there_must_be_two_answers(
    request_: JudgeRequest, monkeypatch: pytest.MonkeyPatch, answers: tuple[str, ...], worked: str
) -> None:
    assert says(monkeypatch) == []
    assert judge(one(request_, answers, worked)).lessons == ()


def test_what_is_left_of_the_budget_buys_as_many_verdicts_as_it_can(request_: JudgeRequest) -> None:
    offered = judge(replace(request_, allowance=Allowance(4_000)))
    judged = len(offered.lessons) + len(offered.rejections)
    assert 2 <= judged < 80
    assert offered.usage.requests == 2 * judged
    assert offered.usage.total <= 4_000


def test_a_judge_is_paid_for(request_: JudgeRequest) -> None:
    with pytest.raises(BudgetError, match="are left"):
        judge(replace(request_, allowance=Allowance(10)))
