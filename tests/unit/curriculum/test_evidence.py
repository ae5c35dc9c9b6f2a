from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import sitting
from tft.curriculum import Trace, Traces, hear, renew
from tft.curriculum.evidence import weigh
from tft.records import Sitting

HALF, WORSE = "1100" * 8, "1000" * 8


def probe(**marks: str) -> Sitting:
    """Make a sitting of other items than those of a check."""
    answers = []
    for it in sitting("probe", **marks).answers:
        item = replace(it.attempt.item, question=f"probe {it.attempt.item.question}")
        answers.append(replace(it, attempt=replace(it.attempt, item=item)))
    return Sitting("probe", tuple(answers))


def heard(check: str = HALF, asked: str = "1100") -> Traces:
    return hear(hear({}, sitting(add=check), 0), probe(add=asked), 1)


def old(traces: Traces) -> list[Trace]:
    return [trace for trace in traces["add"].values() if trace.weight < 1]


def test_an_item_speaks_once_by_its_last_answer() -> None:
    traces = hear(hear({}, sitting(add="110"), 0), sitting(add="01"), 2)
    assert [(it.right, it.cycle, it.weight) for it in traces["add"].values()] == [
        (False, 2, 1.0), (True, 2, 1.0), (False, 0, 1.0),
    ]  # fmt: skip
    assert weigh(traces["add"].values()) == (1, 2)


def test_hearing_changes_nothing_that_was_heard_before() -> None:
    first = hear({}, sitting(add="11"), 0)
    hear(first, sitting(add="00", sub="1"), 1)
    assert first == hear({}, sitting(add="11"), 0)


def test_a_promoted_checkpoint_answers_its_check_anew_and_the_rest_ages() -> None:
    traces = renew(heard(), sitting(add=HALF), sitting(add=WORSE), 1)
    page = traces["add"].values()
    assert sum(it.weight == 1 for it in page) == 32
    assert sum(it.right for it in page if it.weight == 1) == 8
    assert len(old(traces)) == 4
    assert all(0 < it.weight < 1 for it in old(traces))
    assert all(it.cycle == 1 for it in page)


def test_the_farther_it_moved_the_less_old_answers_say() -> None:
    checks = [HALF, "1101" + HALF[4:], "1111" * 2 + HALF[8:], "1111" * 8]
    weights = [old(renew(heard(), sitting(add=HALF), sitting(add=check), 1))[0].weight for check in checks]
    assert weights == sorted(weights, reverse=True)
    assert weights[0] > 0.95
    # Four answers have a variance of 0.0625; a change of a half leaves a fifth of them, and its own variance less.
    assert weights[-1] == pytest.approx(0.0625 / (0.0625 + 0.25 + (17 / 32 - 0.25) / 32))


def test_few_items_that_stayed_are_no_proof_of_rest() -> None:
    few = hear(hear({}, sitting(add="11"), 0), probe(add="1100"), 1)
    many = heard()
    assert old(renew(few, sitting(add="11"), sitting(add="11"), 1))[0].weight < 0.5
    assert old(renew(many, sitting(add=HALF), sitting(add=HALF), 1))[0].weight > 0.95


def test_many_old_answers_are_worth_no_more_than_the_change_allows() -> None:
    # n·v / (v + change²) with v = p(1 − p)/n stays below p(1 − p)/change².
    for count in (8, 64, 512):
        traces = renew(heard(asked="10" * (count // 2)), sitting(add=HALF), sitting(add="1111" * 8), 1)
        assert sum(weigh(old(traces))) < 0.25 / 0.25


def test_two_changes_age_like_one_of_both_lengths() -> None:
    once = renew(heard(), sitting(add=HALF), sitting(add=WORSE), 1)
    twice = renew(once, sitting(add=WORSE), sitting(add=HALF), 2)
    first, second = (sum(weigh(old(it))) for it in (once, twice))
    moved = [4 * 0.25 / worth / 4 - 0.25 / 4 for worth in (first, second)]
    # Up to the one answer more of each that steadies the share.
    assert moved[1] == pytest.approx(2 * moved[0], rel=0.05)


def test_a_skill_that_the_check_left_out_keeps_next_to_nothing() -> None:
    traces = renew(hear(heard(), probe(sub="1111"), 1), sitting(add=HALF), sitting(add=HALF), 1)
    assert sum(weigh(traces["sub"].values())) < 0.2


@given(st.text("01", min_size=1, max_size=40), st.text("01", min_size=1, max_size=40), st.data())
def test_whatever_happens_weights_are_shares(first: str, asked: str, data: st.DataObject) -> None:
    second = data.draw(st.text("01", min_size=len(first), max_size=len(first)))
    traces = heard(first, asked)
    for cycle in range(1, 4):
        traces = renew(traces, sitting(add=first), sitting(add=second), cycle)
        assert all(0 < it.weight <= 1 for it in traces["add"].values())
        assert len(traces["add"]) == len(first) + len(asked)
        assert sum(it.weight == 1 for it in traces["add"].values()) == len(first)
