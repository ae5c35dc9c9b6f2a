from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tft.config.adapters import FullAdapter
from tft.config.cards import GraderConfig
from tft.config.suites import InspectConfig, LmEvalCard, RubricConfig
from tft.exams import Suite, set_apart
from tft.exams.tasks import TaskRef
from tft.exams.whole import watch
from tft.records import Item
from tft.student import StudentRef

NUMERIC = GraderConfig(type="numeric")


def item(number: int, wording: str = "", same: str = "") -> Item:
    return Item("trivia", 0, f"{number}{wording}", "1", str(number), "file", same=same)


def suite(*items: Item, **more: Any) -> Suite:
    return Suite("trivia", items, None, "file", NUMERIC, **more)


HUNDRED = suite(*map(item, range(100)))


def test_a_sample_is_set_apart_in_the_order_of_the_exam() -> None:
    found = set_apart(HUNDRED, 10, 7)
    assert len(found.watched) == 10 and len(found.items) == 90
    assert sorted((*found.watched, *found.items), key=lambda it: int(it.question)) == list(HUNDRED.items)
    assert list(found.watched) == sorted(found.watched, key=lambda it: int(it.question))
    assert found.unwatched == ""
    assert "10 of its questions were set apart for the gate." in found.told("Trivia.")


def test_the_seed_draws_it() -> None:
    assert set_apart(HUNDRED, 10, 7) == set_apart(HUNDRED, 10, 7)
    assert set_apart(HUNDRED, 10, 7).watched != set_apart(HUNDRED, 10, 8).watched


def test_what_asks_the_same_as_what_is_watched_is_asked_nowhere_else() -> None:
    numbers = range(20)
    twice = suite(*map(item, numbers), *(item(it, " again") for it in numbers))
    found = set_apart(twice, 2, 7)
    assert len(found.watched) == 2 and len(found.items) == 36
    assert not {it.fingerprint for it in found.watched} & {it.fingerprint for it in found.items}
    alike = suite(*(item(it, same=f"page {it % 20}") for it in range(40)), item(1, " without a page"))
    found = set_apart(alike, 2, 7)
    assert len({it.same for it in found.watched}) == 2
    assert not {it.same for it in found.watched} & {it.same for it in found.items}


@pytest.mark.parametrize(("changes", "reason"), [
    ({"items": HUNDRED.items[:99]},
     "it has 99 different questions, and 10 are set apart only where there are 100 or more"),
    ({"grader": RubricConfig(rubric="It is kind.")}, "a judge grades it"),
    ({"grader": InspectConfig(scorer="match")}, "a scorer of inspect_ai grades it"),
    ({"task": TaskRef("sums", "digest", LmEvalCard(task="sums"), None)}, "lm-eval asks and grades it"),
])  # fmt: skip
def test_why_nothing_is_watched_is_said(changes: dict[str, Any], reason: str) -> None:
    given = replace(HUNDRED, **changes)
    assert set_apart(given, 10, 7) == replace(given, unwatched=reason)


def test_nothing_is_said_where_nobody_asked() -> None:
    missing = suite(missing="the file is not there")
    assert set_apart(HUNDRED, 0, 7) is HUNDRED
    assert set_apart(missing, 10, 7) is missing


def test_each_exam_is_graded_by_its_own_rule_in_one_sitting() -> None:
    other = replace(HUNDRED, name="other", grader=GraderConfig(type="exact"))
    apart = [set_apart(it, 2, 7) for it in (HUNDRED, other)]
    asked = watch(apart, StudentRef("ada", "model", "weights", FullAdapter()), 64)
    assert asked.items == (*apart[0].watched, *apart[1].watched)
    assert asked.graders == {"trivia": NUMERIC, "other": GraderConfig(type="exact")}
