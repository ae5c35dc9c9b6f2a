from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.making import demonstration
from tft.ledger import Ledger, Step
from tft.lessons.judgements import JUDGE
from tft.records import Curated, Lesson, Message, Offered, Rejection, Usage, Verdict, dump
from tft.report.audit import audit_lessons
from tft.report.taught import read_taught

PRIVATE = {
    "e-mail address": "write to ada.lovelace+x@mail.example.org, please",
    "telephone number": "call +44 20 7946 0958 today",
    "payment card": "pay with 4111 1111 1111 1111",
    "bank account": "send it to DE89 3704 0044 0532 0130 00",
    "network address": "log in at 192.168.0.17 first",
    "key or token": "use ghp_" + 36 * "a",
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def teach(ledger: Ledger, *lessons: Lesson, student: str = "ada") -> None:
    ledger.put(Step(student, "curate", student, 1, 0.0, dump(Curated(lessons, ()))))


def audit(ledger: Ledger, *students: dict[str, Any]) -> dict[str, Any]:
    return audit_lessons(ledger, read_taught(ledger), students)


def private(ledger: Ledger) -> list[tuple[str, int]]:
    return [(it["kind"], it["lessons"]) for it in audit(ledger)["privacy"]["found"]]


@pytest.mark.parametrize("kind", PRIVATE)
@pytest.mark.parametrize("part", ["answer", "critique", "attempt", "rejected", "asked"])
def test_what_looks_private_is_found_wherever_it_stands(ledger: Ledger, kind: str, part: str) -> None:
    clean, lesson = demonstration("11+25"), demonstration("13+25")
    text = PRIVATE[kind]
    lesson = replace(lesson, **{part: (Message("user", text),) if part == "asked" else text})
    teach(ledger, clean, lesson)
    teach(ledger, lesson, student="blaise")
    assert private(ledger) == [(kind, 1)]
    (found,) = audit(ledger)["privacy"]["found"]
    assert (found["skill"], found["example"]) == ("add_2", lesson.id)
    assert audit(ledger)["privacy"]["lessons"] == 2


@pytest.mark.parametrize("text", [
    "1234567+7654321", "12 + 345678901", "4111 1111 1111 1112", "1111111111111111", "7*6=42 4*6=24 24+4=28 #282",
    "DE89 3704 0044 0532 0130 01", "version 1.2.3.4.5", "256.1.1.1", "@ada", "sk-short", "5 +1",
])  # fmt: skip
def test_what_only_looks_a_little_like_it_is_not(ledger: Ledger, text: str) -> None:
    teach(ledger, replace(demonstration("11+25"), answer=text))
    assert private(ledger) == []


def pair(place: int, better: str, worse: str, **more: Any) -> Lesson:
    return replace(demonstration(f"{place}+25"), kind="preference", answer=better, rejected=worse, **more)


def test_pairs_of_which_the_longer_is_better_lean(ledger: Ledger) -> None:
    teach(ledger, *(pair(place, "long enough", "short") for place in range(10, 30)), pair(30, "same", "size"))
    (found,) = audit(ledger)["bias"]
    assert (found["value"], found["n"], found["leans"]) == (1.0, 20, True)
    assert found["what"].startswith("of the preferences")


def test_as_many_either_way_do_not(ledger: Ledger) -> None:
    teach(ledger, *(pair(it, *(("long one", "short") if it % 2 else ("short", "long one"))) for it in range(10, 30)))
    (found,) = audit(ledger)["bias"]
    assert (found["value"], found["leans"]) == (0.5, False)


def test_a_judge_that_turns_with_the_order_is_told_of(ledger: Ledger) -> None:
    verdict = (Verdict(1.0, "preferred in both orders", JUDGE),)
    teach(ledger, *(pair(it, "same", "size", verdicts=verdict) for it in range(10, 16)))
    turned = tuple(
        Rejection("preference", "add_2", reason, "") for reason in ("orders_disagree", "orders_disagree", "tie")
    )
    ledger.put(Step("judged", "judge", "ada", 1, 0.0, dump(Offered((), turned, Usage()))))
    (found,) = audit(ledger)["bias"]
    assert (found["value"], found["n"], found["leans"]) == (0.25, 8, True)


def test_the_widest_gap_between_groups_of_an_exam(ledger: Ledger) -> None:
    def measured(right: int) -> dict[str, Any]:
        return {"after": {"score": right / 100, "low": right / 100 - 0.1, "high": right / 100 + 0.1, "n": 100}}

    groups = {"north": measured(80), "south": measured(50), "east": measured(75), "nobody": {"after": {}},
              "covered": measured(99), "uncovered: division": measured(0)}  # fmt: skip
    (found,) = audit(ledger, {"id": "ada", "whole": {"bank": {"groups": groups}, "plain": {}}})["bias"]
    assert found["what"] == "ada in bank, the widest gap between groups: north above south"
    assert (found["value"], found["n"], found["leans"]) == (pytest.approx(0.3), 200, True)


def test_where_nothing_was_taught_nothing_is_found(ledger: Ledger) -> None:
    found = audit(ledger)
    assert (found["privacy"]["lessons"], found["privacy"]["found"], found["bias"]) == (0, [], [])
