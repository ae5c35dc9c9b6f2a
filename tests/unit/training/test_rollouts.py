from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.learning import LONGEST, practices, setting
from tft.ports import Sampling
from tft.training.learner import Learner
from tft.training.rollouts import cut, write
from tft.training.rows import encode_answers

pytestmark = pytest.mark.usefixtures("one_thread")


@given(st.integers(0, 20), st.integers(1, 8), st.integers(1, 3), st.integers())
def test_every_lesson_is_taken_once_a_pass(count: int, size: int, passes: int, seed: int) -> None:
    lessons = practices(count)
    units = cut(lessons, size, passes, Random(seed))
    assert all(0 < len(unit) <= size for unit in units)
    assert len(units) == passes * -(-count // size)
    flat = [lesson.id for unit in units for lesson in unit]
    for number in range(passes):
        assert sorted(flat[number * count : (number + 1) * count]) == sorted(lesson.id for lesson in lessons)


def test_the_student_writes_after_the_question(unsure: Learner) -> None:
    lessons = practices(4)
    written = write(lessons, setting(unsure), 1.0)
    prompts = unsure.write_questions([lesson.item.question for lesson in lessons])
    for it, lesson, prompt in zip(written, lessons, prompts, strict=True):
        assert it.item == lesson.item and it.question == lesson.item.question
        assert list(it.row.tokens[: it.row.start]) == prompt
        assert it.row.skill == lesson.item.skill
        assert it.text == unsure.tokenizer.decode(it.row.tokens[it.row.start :], skip_special_tokens=True)
        assert it.finished == (it.row.tokens[-1] == unsure.tokenizer.eos_token_id)
        assert 0 < it.row.learned <= LONGEST


def test_a_question_is_answered_several_times_and_never_alike(unsure: Learner) -> None:
    lessons = practices(3)
    told = setting(unsure)
    written = write(lessons, told, 4.0, times=4)
    assert [it.question for it in written] == [lesson.item.question for lesson in lessons for _ in range(4)]
    assert len({it.row.tokens for it in written}) > 6
    later = write(lessons, told, 4.0, times=4)
    assert [it.text for it in later] != [it.text for it in written]
    assert dict(told.asked) == {lesson.id: 8 for lesson in lessons}


def test_what_is_written_is_a_function_of_the_seed(unsure: Learner) -> None:
    lessons = practices(3)
    texts = [[it.text for it in write(lessons, setting(unsure, seed=seed), 4.0, times=3)] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    # Who else is asked makes no difference.
    alone = write(lessons[1:2], setting(unsure, seed=1), 4.0, times=3)
    assert [it.text for it in alone] == texts[0][3:6]


def test_a_share_of_the_answers_is_the_lessons_own(unsure: Learner) -> None:
    lessons = [replace(lesson, answer="own #1") for lesson in practices(8)]
    rows = encode_answers(lessons, unsure.tokenizer)
    for share, marks in ((0.0, "oooooooo"), (0.25, "ooosooos"), (0.5, "osososos"), (1.0, "ssssssss")):
        written = write(lessons, setting(unsure), 1.0, share)
        assert "".join("o" if it.text == "own #1" else "s" for it in written) == marks
        for it, row, mark in zip(written, rows, marks, strict=True):
            assert mark == "s" or (it.row == row and it.finished)


def test_what_is_cut_off_is_not_finished(unsure: Learner) -> None:
    written = write(practices(3), setting(unsure, max_tokens=2), 1.0)
    assert all(not it.finished and it.row.learned == 2 for it in written)


def test_a_cold_student_writes_what_it_is_surest_of(unsure: Learner) -> None:
    lessons = practices(4)
    prompts = unsure.write_questions([lesson.item.question for lesson in lessons])
    greedy = unsure.sample(prompts, Sampling(LONGEST), [0] * 4)
    cold = write(lessons, setting(unsure), 1e-4)
    assert [list(it.row.tokens[it.row.start :]) for it in cold] == [it.tokens for it in greedy]
