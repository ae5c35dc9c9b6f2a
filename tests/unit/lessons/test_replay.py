from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import items
import pytest

from tft.config.cards import GraderConfig
from tft.lessons import CurateRequest, ReplayRequest, curate, rehearse, review
from tft.records import Offered, Usage
from tft.student import StudentRef

GRADER = GraderConfig(type="numeric", marker="#")
ITEMS = Path(items.__file__).resolve()
FACTS = {items.fingerprint(f"{a}+{b}") for a in range(10) for b in range(10)}

pytestmark = pytest.mark.usefixtures("one_thread")


def offer(
    student: StudentRef, rows: dict[str, int], held_out: set[str] | None = None, max_tokens: int = 64, seed: int = 7
) -> Offered:
    held = tuple(sorted(held_out or ()))
    return rehearse(ReplayRequest(student, str(ITEMS), rows, held, GRADER, max_tokens, seed))


def test_a_student_rehearses_its_own_right_answers(ada: StudentRef) -> None:
    offered = offer(ada, {"add_1": 20, "sub_1": 10})
    assert Counter(lesson.item.skill for lesson in offered.lessons) == {"add_1": 20, "sub_1": 10}
    for lesson in offered.lessons:
        assert lesson.kind == "replay"
        assert lesson.lineage.source == "student"
        (example,) = lesson.examples
        assert [message.content for message in example.messages] == [lesson.item.question, lesson.answer]
    curated = curate(CurateRequest(offered.lessons, GRADER, ()))
    assert curated.rejections == ()


def test_it_costs_no_tutor_tokens(ada: StudentRef) -> None:
    assert offer(ada, {"add_1": 3}).usage == Usage()


def test_a_short_table_is_repeated_until_the_rows_are_full(ada: StudentRef) -> None:
    offered = offer(ada, {"sub_1": 150})
    assert len(offered.lessons) == 150
    times = Counter(lesson.item.question for lesson in offered.lessons)
    assert len(times) + len(offered.rejections) == 55
    assert max(times.values()) - min(times.values()) <= 1


def test_what_is_held_out_is_not_rehearsed(ada: StudentRef) -> None:
    kept = {items.fingerprint(f"{a}+{a}") for a in range(10)}
    offered = offer(ada, {"add_1": 40}, FACTS - kept)
    assert len(offered.lessons) == 40
    assert {lesson.item.fingerprint for lesson in offered.lessons} <= kept


def test_a_skill_that_is_held_out_as_a_whole_gives_nothing(ada: StudentRef) -> None:
    assert offer(ada, {"add_1": 5}, FACTS) == Offered((), (), Usage())


def test_an_answer_that_was_cut_off_is_refused_even_where_it_is_right(ada: StudentRef) -> None:
    whole = {lesson.item.question: lesson.answer for lesson in offer(ada, {"add_1": 40}).lessons}
    shortest = min(len(answer) for answer in whole.values())
    # One token short of the end: the text is all there, and the student would have gone on.
    offered = offer(ada, {"add_1": 40}, max_tokens=shortest)
    assert offered.lessons == ()
    cut = {rejection.text for rejection in offered.rejections}
    assert cut & {f"{question} → {answer}" for question, answer in whole.items()}


def test_the_seed_decides_what_is_rehearsed(ada: StudentRef) -> None:
    first, again, other = (offer(ada, {"add_1": 8}, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert [it.item.question for it in first.lessons] != [it.item.question for it in other.lessons]


def test_a_review_takes_lessons_once_each_and_says_they_are_replay(ada: StudentRef) -> None:
    lessons = [replace(lesson, kind="demonstration") for lesson in offer(ada, {"add_1": 9}).lessons]
    picked = review(lessons, 4, seed=1)
    assert len({lesson.id for lesson in picked}) == 4
    assert {lesson.kind for lesson in picked} == {"replay"}
    assert picked == review(lessons, 4, seed=1)
    assert len(review(lessons, 20, seed=1)) == 9
