from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import islice

import items
import pytest

from tests.making import demonstration
from tft.config.campaign import ExamsConfig
from tft.config.cards import GraderConfig, SkillCard
from tft.exams import make_splits
from tft.lessons import CurateRequest, curate
from tft.records import Curated, Item, Lesson, LessonKind, Verdict
from tft.student import StudentRef

GRADER = GraderConfig(type="numeric", marker="#")
SKILLS = ("add_2", "sub_2", "mul_2x1", "add_3")


def judge(lessons: list[Lesson], held_out: set[str] | None = None) -> Curated:
    return curate(CurateRequest(tuple(lessons), GRADER, tuple(sorted(held_out or ()))))


def reasons(curated: Curated) -> Counter[str]:
    return Counter(rejection.reason for rejection in curated.rejections)


def critique(question: str, attempt: str, revision: str) -> Lesson:
    verdict = Verdict(0.0, "differs from the reference", "numeric")
    lesson = demonstration(question, revision)
    return replace(lesson, id=f"critique {question} {attempt}", kind="critique", attempt=attempt,
                   critique="step 1 fact", verdicts=(verdict,))  # fmt: skip


def exam_items(count: int) -> list[Item]:
    """Draw exam items of several skills, some of each."""
    cards = {skill: SkillCard(title=skill) for skill in SKILLS}
    splits = make_splits(cards, items, ExamsConfig(probe=8, check=8, final=64), 7)
    return random.Random(3).sample(splits.items["final"], count)


def reword(question: str, number: int) -> str:
    """Ask the same in another way: operands swapped where that asks the same, blanks where it does not."""
    problem = items.parse(question)
    assert problem is not None
    if problem.operator == "-":
        return f"{problem.a} - {problem.b}"
    swapped = f"{problem.b}{problem.operator}{problem.a}"
    return swapped if number % 2 and problem.a != problem.b else f"{problem.b} {problem.operator} {problem.a}"


def test_right_lessons_are_kept_in_order_with_what_they_passed() -> None:
    lessons = [demonstration(question) for question in ("27+58", "52-27", "47*6")]
    curated = judge(lessons)
    assert [lesson.id for lesson in curated.kept] == [lesson.id for lesson in lessons]
    assert curated.rejections == ()
    for lesson in curated.kept:
        assert lesson.lineage.filters == ("grader", "decontamination", "duplicates")
        assert [verdict.passed for verdict in lesson.verdicts] == [True]


def test_verdicts_that_came_before_are_not_lost() -> None:
    (kept,) = judge([critique("27+58", "7+8=15 2+5=7 #75", items.work("27+58"))]).kept
    assert [verdict.passed for verdict in kept.verdicts] == [False, True]


def test_a_lesson_knows_only_what_it_passed_itself() -> None:
    twice = [demonstration("27+58"), demonstration("27+58")]
    assert all(lesson.lineage.filters == () for lesson in twice)
    judge(twice)
    assert all(lesson.lineage.filters == () for lesson in twice)


@pytest.mark.parametrize("work", ["", "7+8=15 2+5+1=8 #86", "7+8=15 2+5+1=8 85", "7+8=15 2+5+1=8 #", "#85 I think"])
def test_a_wrong_demonstration_is_not_taught(work: str) -> None:
    curated = judge([demonstration("27+58", work)])
    (rejection,) = curated.rejections
    assert curated.kept == ()
    assert (rejection.kind, rejection.skill, rejection.reason) == ("demonstration", "add_2", "wrong")
    assert rejection.text == f"27+58 → {work}"


def test_a_critique_needs_a_wrong_attempt_and_a_right_revision() -> None:
    right, wrong = items.work("27+58"), "7+8=15 2+5=7 #75"
    assert len(judge([critique("27+58", wrong, right)]).kept) == 1
    assert reasons(judge([critique("27+58", right, right)])) == {"right_attempt": 1}
    assert reasons(judge([critique("27+58", wrong, wrong)])) == {"wrong": 1}


def test_repetitions_are_dropped_but_not_from_replay() -> None:
    lesson = demonstration("27+58")
    assert reasons(judge([lesson, lesson, lesson])) == {"duplicate": 2}
    replayed = replace(lesson, kind="replay")
    assert len(judge([replayed, replayed, replayed]).kept) == 3


def test_another_way_to_the_right_answer_is_no_repetition() -> None:
    assert len(judge([demonstration("27+58"), demonstration("27+58", "#85")]).kept) == 2


def test_a_wrong_lesson_does_not_make_the_right_one_a_repetition() -> None:
    right = demonstration("27+58")
    curated = judge([replace(right, answer="#86"), right])
    assert (len(curated.kept), reasons(curated)) == (1, {"wrong": 1})


@pytest.mark.parametrize("kind", ["demonstration", "critique", "replay"])
def test_a_hundred_exam_items_are_caught_word_for_word(kind: LessonKind) -> None:
    exam = exam_items(100)
    leaks = [replace(demonstration(item.question), kind=kind) for item in exam]
    curated = judge(leaks, {item.fingerprint for item in exam})
    assert curated.kept == ()
    assert reasons(curated) == {"leak": 100}


def test_a_hundred_exam_items_are_caught_in_other_words() -> None:
    exam = exam_items(100)
    leaks = [demonstration(reword(item.question, number)) for number, item in enumerate(exam)]
    assert {lesson.item.question for lesson in leaks}.isdisjoint(item.question for item in exam)
    curated = judge(leaks, {item.fingerprint for item in exam})
    assert reasons(curated) == {"leak": 100}


def test_a_mixture_is_sorted_out_to_the_last_lesson() -> None:
    exam = exam_items(40)
    held_out = {item.fingerprint for item in exam}
    rng = random.Random(5)
    free = [
        question for question in islice(items.draw("sub_3", rng), 60) if items.fingerprint(question) not in held_out
    ]
    free = list(dict.fromkeys(free))[:50]
    right = [demonstration(question) for question in free]
    planted = {
        "leak": [demonstration(item.question) for item in exam],
        "wrong": [demonstration(question, "#99999") for question in free[:30]],
        "right_attempt": [critique(question, items.work(question), items.work(question)) for question in free[:20]],
        "duplicate": right[:10],
    }
    lessons = [lesson for group in planted.values() for lesson in group] + right
    rng.shuffle(lessons)
    curated = judge(lessons, held_out)
    assert {lesson.id for lesson in curated.kept} == {lesson.id for lesson in right}
    assert len(curated.kept) == len(right) == 50
    assert reasons(curated) == {reason: len(group) for reason, group in planted.items()}


def test_nothing_offered_is_nothing_kept() -> None:
    assert judge([]) == Curated((), ())


def test_a_skill_of_another_curriculum_has_its_own_grader() -> None:
    lesson = demonstration("27+58", "=85")
    assert curate(CurateRequest((lesson,), GRADER, ())).kept == ()
    theirs = {"add_2": GraderConfig(type="numeric", marker="=")}
    assert len(curate(CurateRequest((lesson,), GRADER, (), theirs)).kept) == 1


def test_an_answer_that_its_student_may_not_write_to_the_end_is_not_taught(ada: StudentRef) -> None:
    work = items.work("27+58")
    lesson, longer = demonstration("27+58"), replace(demonstration("9*9"), answer=f"{items.work('9*9')} " * 3)
    # As many tokens as characters, and the end.
    enough = CurateRequest((lesson,), GRADER, (), student=ada, max_tokens=len(work) + 1)
    short = replace(enough, max_tokens=len(work))
    assert curate(enough).kept == curate(CurateRequest((lesson,), GRADER, ())).kept
    assert reasons(curate(short)) == {"too_long": 1}
    assert reasons(curate(replace(enough, lessons=(lesson, longer)))) == {"too_long": 1}
    mended = critique("27+58", "7+8=15 2+5=7 #75", work)
    assert reasons(curate(replace(short, lessons=(mended, replace(lesson, kind="replay"))))) == {"too_long": 2}
    # What it practises has no answer to learn, and what stands in a file is what it is to learn.
    free = [replace(lesson, kind=kind) for kind in ("feedback", "practice")]
    free.append(replace(lesson, lineage=replace(lesson.lineage, row=3)))
    for it in free:
        assert curate(replace(short, lessons=(it,))).rejections == ()
    # Nothing needs an end where what was cut off is graded.
    assert curate(replace(short, grader=GRADER.model_copy(update={"cut_off": True}))).rejections == ()
    assert curate(replace(short, graders={"add_2": GRADER.model_copy(update={"cut_off": True})})).rejections == ()
