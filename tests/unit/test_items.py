from __future__ import annotations

import random
import re
from itertools import islice

import items
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tft.library import Library

SKILLS = tuple(Library().curriculum("arithmetic")[0].skills)
STEP = re.compile(r"(\d+)([-+*])(\d+)(?:([-+])(\d+))?=(\d+)")
numbers = st.integers(0, 10**6)
problems = st.one_of(
    st.builds(items.Problem, numbers, st.just("+"), numbers),
    st.tuples(numbers, numbers).map(lambda pair: items.Problem(max(pair), "-", min(pair))),
    st.builds(items.Problem, numbers, st.just("*"), st.integers(0, 9)),
    st.builds(items.Problem, st.integers(0, 9), st.just("*"), numbers),
)
near_questions = st.one_of(st.text(max_size=12), st.text("0123456789+-* /=#.,٣", max_size=12))


def evaluate(step: str) -> tuple[int, int]:
    """Give both sides of a step."""
    match = STEP.fullmatch(step)
    assert match is not None, step
    left, operator, right, sign, carried, result = match.groups()
    value = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[operator](int(left), int(right))
    return value + (int(f"{sign}{carried}") if sign else 0), int(result)


@given(problems)
def test_the_work_ends_with_the_right_result(problem: items.Problem) -> None:
    assert items.work(str(problem)).split(" ")[-1] == f"#{problem.answer}"


@given(problems)
def test_every_step_is_true_and_together_they_are_the_result(problem: items.Problem) -> None:
    steps = items.steps(problem)
    for step in steps:
        claimed, result = evaluate(step)
        assert claimed == result >= 0
    # A sum inside a product takes the place of the column before it.
    after = [*steps[1:], ""]
    product = problem.operator == "*"
    columns = [step for step, nxt in zip(steps, after, strict=True) if not (product and "+" in nxt)]
    results = [step.partition("=")[2] for step in columns]
    # The last result stands as it is, of the others the ones go down and the rest is carried.
    assert int(results[-1] + "".join(result[-1] for result in reversed(results[:-1]))) == problem.answer


@given(problems)
def test_a_step_a_digit(problem: items.Problem) -> None:
    columns = [step for step in items.steps(problem) if problem.operator in step]
    assert len(columns) == max(len(str(problem.a)), len(str(problem.b)))


@pytest.mark.parametrize(("question", "work"), [
    ("0+0", "0+0=0 #0"),
    ("5+27", "5+7=12 0+2+1=3 #32"),
    ("999+1", "9+1=10 9+0+1=10 9+0+1=10 #1000"),
    ("100-1", "10-1=9 10-0-1=9 1-0-1=0 #99"),
    ("50-50", "0-0=0 5-5=0 #0"),
    ("6*47", "6*7=42 6*4=24 24+4=28 #282"),
    ("90*0", "0*0=0 9*0=0 #0"),
])  # fmt: skip
def test_the_work_by_hand(question: str, work: str) -> None:
    assert items.work(question) == work


@given(problems)
def test_a_question_is_read_as_it_was_written(problem: items.Problem) -> None:
    assert items.parse(str(problem)) == problem
    assert items.parse(f" {problem.a} {problem.operator}  {problem.b} ") == problem


@pytest.mark.parametrize("question", [
    "", "7", "7+", "+7", "7+5+3", "3-5", "07+5", "7+05", "7/5", "7.0+5", "-7+5", "7+5=12", "7x5", "seven+5", "7\t+5",
    "9" * 5000 + "+1",
])  # fmt: skip
def test_what_is_no_question_has_neither_skill_nor_work(question: str) -> None:
    assert items.parse(question) is None
    assert items.classify(question) is None
    with pytest.raises(ValueError, match="not an arithmetic question"):
        items.work(question)


@given(near_questions)
def test_no_text_raises(text: str) -> None:
    classified = items.classify(text)
    assert isinstance(items.fingerprint(text), str)
    assert classified is None or items.parse(text) is not None


@pytest.mark.parametrize(("question", "skill"), [
    ("7+5", "add_1"), ("7+15", "add_2"), ("99+99", "add_2"), ("7+100", "add_3"), ("9-0", "sub_1"), ("10-9", "sub_2"),
    ("100-99", "sub_3"), ("9*9", "mul_1"), ("10*9", "mul_2x1"), ("9*10", "mul_2x1"), ("9*100", "mul_3x1"),
    ("1000-1", "sub_4"), ("9999+1", "add_4"),
])  # fmt: skip
def test_a_skill_is_the_operation_and_the_longer_number(question: str, skill: str) -> None:
    classified = items.classify(question)
    assert classified is not None
    assert classified[0] == skill


def test_products_of_two_long_numbers_are_not_covered() -> None:
    assert items.classify("10*10") is None


@given(problems)
def test_the_second_level_is_the_one_where_something_is_carried(problem: items.Problem) -> None:
    classified = items.classify(str(problem))
    assert classified is not None
    _, level, answer = classified
    assert answer == str(problem.answer)
    if problem.operator == "-":
        shown = any(int(re.split("-", step)[0]) > 9 for step in items.steps(problem))
    else:
        shown = any(int(step.partition("=")[2]) > 9 for step in items.steps(problem))
    assert level == (2 if shown else 1)


@pytest.mark.parametrize("skill", SKILLS)
def test_what_is_drawn_for_a_skill_is_of_that_skill(skill: str) -> None:
    levels = set()
    for question in islice(items.draw(skill, random.Random(5)), 500):
        classified = items.classify(question)
        assert classified is not None, question
        assert classified[0] == skill, question
        levels.add(classified[1])
    assert levels == set(range(1, Library().curriculum("arithmetic")[0].skills[skill].levels + 1))


@pytest.mark.parametrize(("skill", "facts"), [("add_1", 100), ("sub_1", 55), ("mul_1", 100)])
def test_a_table_is_drawn_once_and_whole(skill: str, facts: int) -> None:
    drawn = list(items.draw(skill, random.Random(1)))
    assert len(drawn) == len(set(drawn)) == facts
    assert drawn != list(items.draw(skill, random.Random(2)))


@pytest.mark.parametrize("skill", SKILLS)
def test_the_seed_decides_what_is_drawn(skill: str) -> None:
    first, again, other = (list(islice(items.draw(skill, random.Random(seed)), 50)) for seed in (1, 1, 2))
    assert first == again != other


@given(problems)
def test_questions_that_ask_the_same_have_one_fingerprint(problem: items.Problem) -> None:
    mark = items.fingerprint(str(problem))
    assert items.fingerprint(f"{problem.a} {problem.operator} {problem.b}") == mark
    turned = f"{problem.b}{problem.operator}{problem.a}"
    assert (items.fingerprint(turned) == mark) == (problem.operator != "-" or problem.a == problem.b)


@given(problems, problems)
def test_questions_that_ask_something_else_have_another(one: items.Problem, other: items.Problem) -> None:
    same = one.operator == other.operator and (
        {one.a, one.b} == {other.a, other.b} if one.operator != "-" else (one.a, one.b) == (other.a, other.b)
    )
    assert (items.fingerprint(str(one)) == items.fingerprint(str(other))) == same


def test_what_cannot_be_read_is_compared_without_its_blanks() -> None:
    assert items.fingerprint("48 / 2") == items.fingerprint("48/2") != items.fingerprint("2/48")
