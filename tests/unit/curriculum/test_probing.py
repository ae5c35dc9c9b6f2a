from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import sitting
from tft.config.campaign import CampaignConfig
from tft.curriculum import Decisions, Traces, hear, next_items, undecided
from tft.curriculum.evidence import Trace
from tft.records import Item

DECISIONS = Decisions(mastery=0.9, thresholds=(0.9, 0.6), zone=0.1, batch=4)
ITEMS = [Item(skill, 1, f"{skill} {place}", "1", f"{skill} {place}", "curriculum")
         for skill in ("add", "sub") for place in range(10)]  # fmt: skip


def heard(**marks: str) -> Traces:
    """Give answers to other items than the probe's."""
    return {
        skill: {str(place): Trace(mark == "1", 0) for place, mark in enumerate(row)} for skill, row in marks.items()
    }


def asked(traces: Traces, decisions: Decisions = DECISIONS) -> list[str]:
    return [item.question for item in next_items(ITEMS, traces, decisions)]


def test_of_nothing_nothing_is_known() -> None:
    assert undecided(0, 0, DECISIONS) == (0.9, 0.6)


def test_a_decision_is_known_when_one_edge_is_nineteen_times_as_likely() -> None:
    # Of 0.95 and 0.85, all right: (0.95/0.85)ⁿ reaches 19 with the 27th answer. Of 0.7 and 0.5: with the 9th.
    assert undecided(8, 0, DECISIONS) == (0.9, 0.6)
    assert undecided(9, 0, DECISIONS) == (0.9,)
    assert undecided(26, 0, DECISIONS) == (0.9,)
    assert undecided(27, 0, DECISIONS) == ()
    # Wrong answers weigh more where most are right: three against a single threshold of mastery.
    mastery = Decisions(0.9, (0.9,), 0.1)
    assert undecided(0, 2, mastery) == (0.9,)
    assert undecided(0, 3, mastery) == ()


def test_in_the_middle_of_a_zone_many_answers_are_needed() -> None:
    assert undecided(90, 10, DECISIONS) == (0.9,)
    assert undecided(60, 40, DECISIONS) == (0.6,)
    assert undecided(75, 25, DECISIONS) == ()


def test_a_zone_ends_half_way_to_the_ends() -> None:
    wide = Decisions(0.98, (0.98, 0.02), zone=0.5)
    assert undecided(500, 0, wide) == ()
    assert undecided(0, 500, wide) == ()
    ratio = math.log(0.99 / 0.97)
    assert undecided(math.floor(math.log(19) / ratio), 0, Decisions(0.98, (0.98,), 0.5)) == (0.98,)
    assert undecided(math.ceil(math.log(19) / ratio), 0, Decisions(0.98, (0.98,), 0.5)) == ()


def test_a_smaller_zone_wants_more() -> None:
    assert undecided(39, 21, Decisions(0.9, (0.6,), 0.1)) == (0.6,)
    assert undecided(45, 15, Decisions(0.9, (0.6,), 0.1)) == ()
    assert undecided(45, 15, Decisions(0.9, (0.6,), 0.02)) == (0.6,)


def test_only_what_is_open_is_asked_a_batch_at_a_time() -> None:
    assert asked(heard(add="1" * 30, sub="10")) == ["sub 0", "sub 1", "sub 2", "sub 3"]
    assert asked(heard(add="1" * 30, sub="0" * 30)) == []
    assert len(asked({})) == 2 * DECISIONS.batch


def test_what_this_student_answered_is_not_asked_again() -> None:
    traces = hear(heard(add="1" * 30), sitting(sub="101"), 1)
    assert asked(traces) == ["sub 3", "sub 4", "sub 5", "sub 6"]
    done = hear(heard(add="1" * 30), sitting(sub="1010101010"), 1)
    assert asked(done) == []


def test_what_was_never_asked_comes_first_then_what_has_aged_most() -> None:
    ages = {f"sub {place}": Trace(place % 2 == 0, 1, weight) for place, weight in enumerate([0.5, 0.2, 1.0, 0.9])}
    traces = {**heard(add="1" * 30), "sub": ages}
    assert asked(traces) == ["sub 4", "sub 5", "sub 6", "sub 7"]
    ages |= {f"sub {place}": Trace(place % 2 == 0, 2) for place in range(4, 9)}
    assert asked(traces) == ["sub 9", "sub 1", "sub 0", "sub 3"]


@given(st.dictionaries(st.sampled_from(["add", "sub"]), st.text("01", max_size=40)), st.integers(0, 2**20))
def test_asking_comes_to_an_end_and_nothing_is_asked_twice(before: dict[str, str], answers: int) -> None:
    traces, seen = heard(**before), []
    while batch := next_items(ITEMS, traces, DECISIONS):
        for item in batch:
            right = bool(answers >> ITEMS.index(item) & 1)
            traces.setdefault(item.skill, {})[item.question] = Trace(right, 1)
        seen += [item.question for item in batch]
    assert len(seen) == len(set(seen))
    for skill in ("add", "sub"):
        page = traces.get(skill, {}).values()
        right = sum(trace.right for trace in page)
        all_asked = sum(question.startswith(skill) for question in seen) == 10
        assert all_asked or not undecided(right, len(page) - right, DECISIONS)


@pytest.mark.parametrize(("tuition", "exams", "thresholds", "batch"), [
    ({}, {}, (0.9, 0.75, 0.25, 0.6), 32),
    ({"mastery": 0.8, "ready": 0.7}, {"probe": 8}, (0.8, 0.7, 0.25, 0.6), 8),
    ({"methods": "practice"}, {"probe": 33}, (0.9, 0.75), 17),
])  # fmt: skip
def test_decisions_are_those_of_the_config(
    tuition: dict[str, object], exams: dict[str, object], thresholds: tuple[float, ...], batch: int
) -> None:
    config = CampaignConfig.model_validate({
        "campaign": "one", "tutor": "abacus", "students": [{"id": "ada", "model": "abacus/novice-a"}],
        "curriculum": "arithmetic", "tuition": tuition, "exams": {**exams, "zone": 0.05},
    })  # fmt: skip
    found = Decisions.of(config)
    assert (found.thresholds, found.zone, found.batch) == (thresholds, 0.05, batch)
    assert found.mastery == thresholds[0]
