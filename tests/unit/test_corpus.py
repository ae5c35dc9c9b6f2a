from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import corpus
import items
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

MISTAKES = {"fact", "carry", "borrow", "digit", "missing", "extra", "form", "final"}
skills = st.sampled_from(corpus.SKILLS)
seeds = st.integers(0, 10**6)


def draw(skill: str, seed: int) -> str:
    return next(items.draw(skill, random.Random(seed)))


@given(skills, seeds)
def test_a_slip_is_wrong_and_can_be_found(skill: str, seed: int) -> None:
    question = draw(skill, seed)
    attempt = corpus.slip(question, random.Random(seed))
    assert not corpus.is_right(question, attempt)
    step, mistake = corpus.diagnose(question, attempt)
    right, wrong = items.work(question).split(" "), attempt.split(" ")
    assert mistake in MISTAKES
    # Up to that step all is right, and there it is not.
    assert right[: step - 1] == wrong[: step - 1]
    assert right[step - 1 : step] != wrong[step - 1 : step]


@given(skills, seeds, st.data())
def test_a_wrong_result_is_found_at_its_step(skill: str, seed: int, data: st.DataObject) -> None:
    question = draw(skill, seed)
    steps = items.work(question).split(" ")
    place = data.draw(st.integers(0, len(steps) - 2))
    left, _, right = steps[place].partition("=")
    steps[place] = f"{left}={int(right) + 1}"
    assert corpus.diagnose(question, " ".join(steps)) == (place + 1, "fact")


@given(skills, seeds, st.integers(0, 99))
def test_a_wrong_end_is_found_at_the_end(skill: str, seed: int, end: int) -> None:
    question = draw(skill, seed)
    steps = items.work(question).split(" ")
    assume(steps[-1] != f"#{end}")
    assert corpus.diagnose(question, " ".join([*steps[:-1], f"#{end}"])) == (len(steps), "final")


@given(st.sampled_from(("add_2", "add_3", "sub_2", "sub_3", "mul_2x1")), seeds)
def test_a_step_that_was_left_out_or_made_up_is_found(skill: str, seed: int) -> None:
    question = draw(skill, seed)
    *steps, end = items.work(question).split(" ")
    # A product without the sum that adds what was carried is a carry forgotten, not a column left out.
    left_out = "carry" if "*" in question and "+" in steps[-1] else "missing"
    assert corpus.diagnose(question, " ".join([*steps[:-1], end])) == (len(steps), left_out)
    assert corpus.diagnose(question, " ".join(steps)) == (len(steps) + 1, "missing")
    assert corpus.diagnose(question, " ".join([*steps, steps[-1], end])) == (len(steps) + 1, "extra")
    assert corpus.diagnose(question, " ".join([*steps, end, "#7"])) == (len(steps) + 2, "extra")


@pytest.mark.parametrize(("question", "attempt", "found"), [
    # 27+58 is 7+8=15 2+5+1=8 #85
    ("27+58", "7+8=15 2+5=7 #75", (2, "carry")),
    ("27+58", "7+8=15 2+5+2=9 #95", (2, "carry")),
    ("23+45", "3+5=8 2+4+1=7 #78", (2, "carry")),
    ("27+58", "7+5=12 2+5+1=8 #82", (1, "digit")),
    ("27+58", "7+8=14 2+5+1=8 #84", (1, "fact")),
    # 52-27 is 12-7=5 5-2-1=2 #25
    ("52-27", "2-7=5 5-2=3 #35", (1, "borrow")),
    ("52-27", "12-7=5 5-2=3 #35", (2, "borrow")),
    ("52-27", "12-7=5 5-3-1=1 #15", (2, "digit")),
    # 47*6 is 7*6=42 4*6=24 24+4=28 #282
    ("47*6", "7*6=42 4*6=24 #242", (3, "carry")),
    ("47*6", "7*6=42 4*6=24 24+5=29 #292", (3, "carry")),
    ("47*6", "7*6=42 4*6=24 24+4=29 #292", (3, "fact")),
    ("47*6", "7*6=42 4*7=28 28+4=32 #322", (2, "digit")),
    ("47*6", "seven 4*6=24 24+4=28 #282", (1, "form")),
    ("47*6", "", (1, "form")),
    ("47*6", "7*6=42 #42", (2, "missing")),
    ("47*6", "7*6=42 4*6=24 24+4=28 2*6=12 #1282", (4, "extra")),
])  # fmt: skip
def test_mistakes_by_hand(question: str, attempt: str, found: tuple[int, str]) -> None:
    assert corpus.diagnose(question, attempt) == found


@given(skills, seeds)
def test_right_work_has_no_mistake(skill: str, seed: int) -> None:
    question = draw(skill, seed)
    assert corpus.is_right(question, items.work(question))
    with pytest.raises(ValueError, match="nothing is wrong"):
        corpus.diagnose(question, items.work(question))


@given(skills, seeds, st.one_of(st.text(max_size=30), st.text("0123456789+-*=# ", max_size=30)))
def test_any_attempt_can_be_diagnosed(skill: str, seed: int, attempt: str) -> None:
    question = draw(skill, seed)
    assume(attempt != items.work(question))
    step, mistake = corpus.diagnose(question, attempt)
    assert step >= 1
    assert mistake in MISTAKES


def test_only_the_result_behind_the_last_mark_is_right() -> None:
    assert corpus.is_right("27+58", "#85")
    assert not any(corpus.is_right("27+58", attempt) for attempt in ("85", "#85#", "#085", "#85 ", "#58 #84", ""))
    assert not corpus.is_right("no question", "#85")


@given(skills, seeds, seeds)
def test_the_judge_prefers_what_is_right(skill: str, seed: int, other: int) -> None:
    question = draw(skill, seed)
    right, wrong = items.work(question), corpus.slip(question, random.Random(other))
    verdicts = [
        corpus.judge_document(question, skill, *pair).completion
        for pair in ((right, wrong), (wrong, right), (right, right), (wrong, wrong))
    ]
    assert verdicts == ["first", "second", "tie", "tie"]


def test_a_critique_says_where_and_then_mends_it() -> None:
    document = corpus.critique_document("27+58", "add_2", "7+8=15 2+5=7 #75")
    assert document.prompt == "check 27+58: 7+8=15 2+5=7 #75"
    assert document.completion == "step 2 carry: 7+8=15 2+5+1=8 #85"


def test_what_is_held_out_is_a_sixteenth_and_the_same_for_all_that_asks_the_same() -> None:
    questions = list(islice(items.draw("add_3", random.Random(1)), 4000))
    held = [question for question in questions if corpus.held_out(question)]
    assert 1 / 20 < len(held) / len(questions) < 1 / 13
    for question in held:
        a, b = question.split("+")
        assert corpus.held_out(f"{b}+{a}")
    assert not any(corpus.held_out(question) for question in items.draw("mul_1", random.Random(1)))


@pytest.mark.parametrize("exam", [False, True])
def test_questions_are_all_held_out_or_none_of_them(exam: bool) -> None:
    questions = corpus.Questions(corpus.SKILLS, 3, exam=exam)
    for skill in corpus.SKILLS:
        for _ in range(120):  # a table begins anew
            question = questions.next(skill)
            classified = items.classify(question)
            assert classified is not None and classified[0] == skill
            assert skill in corpus.TABLES or corpus.held_out(question) == exam


def test_the_tutor_reads_all_roles_in_their_shares_and_only_what_is_true() -> None:
    drawn = corpus.TutorCorpus({}, 3)
    documents = [drawn.draw() for _ in range(2000)]
    shares = Counter(document.role for document in documents)
    for role, share in drawn.shares:
        assert abs(shares[role] / 2000 - share) < 0.05
    for document in documents:
        if document.role == "demonstrator":
            assert document.completion == items.work(document.prompt)
        elif document.role == "critic":
            question = document.prompt.removeprefix("check ").partition(":")[0]
            assert document.completion.partition(": ")[2] == items.work(question)


def test_attempts_of_real_novices_are_read_too() -> None:
    attempt = "7+8=15 2+5=7 #75"
    drawn = corpus.TutorCorpus({"add_2": [("27+58", attempt)]}, 3)
    prompts = [drawn.draw("critic", "add_2").prompt for _ in range(200)]
    assert 60 < prompts.count(f"check 27+58: {attempt}") < 140


def test_a_novice_reads_only_its_skills_and_true_facts() -> None:
    drawn = corpus.NoviceCorpus(("add_1", "sub_1"), 3)
    documents = [drawn.draw() for _ in range(1000)]
    assert {document.skill for document in documents} == {"add_1", "sub_1", "facts"}
    for document in documents:
        if document.skill == "facts":
            for fact in document.completion.split(" "):
                left, _, right = fact.partition("=")
                assert eval(left) == int(right) >= 0
