from __future__ import annotations

from collections import defaultdict
from itertools import islice
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.making import make_item
from tft.config.adapters import FullAdapter
from tft.config.cards import GraderConfig
from tft.engines.transformers import TransformersEngine
from tft.exams.self_correction import CorrectRequest, correct
from tft.library import shipped
from tft.records import Answered, Attempt, Verdict
from tft.student import StudentRef, models
from tft.student.shortage import AtOnce

pytestmark = pytest.mark.usefixtures("one_thread")
ABACUS = shipped() / "tutors" / "abacus"
GRADER = GraderConfig(type="numeric", marker="#")


def wrong(question: str) -> Answered:
    """Give the right steps with a result that is one too many."""
    steps, _, result = items.work(question).rpartition("#")
    return Answered(Attempt(make_item(question), f"{steps}#{int(result) + 1}", 9), Verdict(0.0, "planted", "test"))


def request(student: StudentRef, answered: tuple[Answered, ...]) -> CorrectRequest:
    return CorrectRequest(student, answered, str(ABACUS / "tutor.yaml"), "version", 60, GRADER)


QUESTIONS = tuple(dict.fromkeys(islice(items.draw("add_2", Random(1)), 40)))


def test_who_can_criticise_mends_its_own_answers() -> None:
    # The tutor's own weights as a student: it has learned to read attempts.
    student = StudentRef("able", str(ABACUS / "weights"), "abacus", FullAdapter())
    found = correct(request(student, tuple(map(wrong, QUESTIONS))))
    assert [it.attempt.item.question for it in found.answers] == list(QUESTIONS)
    assert sum(it.verdict.passed for it in found.answers) > 0.8 * len(QUESTIONS)


def test_answers_stay_where_fewer_are_read_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_at_once", defaultdict(AtOnce))
    student = StudentRef("able", str(ABACUS / "weights"), "abacus", FullAdapter())
    asked = request(student, tuple(map(wrong, QUESTIONS[:8])))
    whole = correct(asked)
    decode = TransformersEngine._decode

    def short(engine: TransformersEngine, rows: Any, *beside: Any) -> Any:
        if len(rows) > 3:
            raise torch.OutOfMemoryError("none left")
        return decode(engine, rows, *beside)

    monkeypatch.setattr(TransformersEngine, "_decode", short)
    assert correct(asked) == whole


def test_the_first_answer_stands_where_nothing_better_comes(ada: StudentRef) -> None:
    # A novice was never taught what a critique is; and what is cut off, empty or too long is not read again.
    answered = (
        *map(wrong, QUESTIONS[:4]),
        Answered(Attempt(make_item("27+58"), "", 1), Verdict(0.0, "empty", "test")),
        Answered(Attempt(make_item("27+58"), "7+8" * 40, 99), Verdict(0.0, "long", "test")),
        Answered(Attempt(make_item("27+58"), "7+8=15 #85", 9, finished=False), Verdict(0.0, "cut off", "length")),
    )
    found = correct(request(ada, answered))
    assert [it.attempt for it in found.answers][4:] == [it.attempt for it in answered][4:]
    assert not any(it.verdict.passed for it in found.answers[4:])
    assert found.exam == "self-correction"
