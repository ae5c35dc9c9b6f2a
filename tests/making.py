"""Records made with few words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import items

from tft.graders import CUT_OFF
from tft.records import Answered, Attempt, Example, Item, Lesson, Lineage, Message, Sitting, Verdict, digest


def make_item(question: str, source: str = "curriculum") -> Item:
    """Make the item of an arithmetic question."""
    classified = items.classify(question)
    assert classified is not None
    skill, level, answer = classified
    return Item(skill, level, question, answer, items.fingerprint(question), source)


def demonstration(question: str, work: str | None = None) -> Lesson:
    """Make a lesson: the right work unless another is given."""
    work = items.work(question) if work is None else work
    return Lesson(
        id=digest(["demonstration", question, work]),
        kind="demonstration",
        item=make_item(question, "tutor"),
        examples=(Example((Message("user", question), Message("assistant", work))),),
        answer=work,
        lineage=Lineage("abacus", "weights"),
    )


def sitting(exam: str = "check", **marks: str) -> Sitting:
    """Make a sitting out of marks by skill: ``add="110-"`` is four items, two of them right, and one cut off."""
    answers = []
    for skill, row in marks.items():
        for place, mark in enumerate(row):
            item = Item(skill, 1, f"{skill} {place}", "1", f"{skill} {place}", "curriculum")
            verdict = CUT_OFF if mark == "-" else Verdict(float(mark == "1"), "planted", "test")
            answers.append(Answered(Attempt(item, mark, 2), verdict))
    return Sitting(exam, tuple(answers))


def repeated(marks: str, questions: str) -> Sitting:
    """Make a sitting of sums, of which the same letter is the same question."""
    sat = sitting("sums", sums=marks)
    asked = [replace(it.attempt.item, question=name) for it, name in zip(sat.answers, questions, strict=True)]
    answers = [replace(it, attempt=replace(it.attempt, item=item)) for it, item in zip(sat.answers, asked, strict=True)]
    return replace(sat, answers=tuple(answers))


def setting(campaign: str, **tutor: Any) -> dict[str, Any]:
    """Make what a run writes down of its campaign: one student, one skill, no whole exam."""
    return {
        "campaign": campaign, "seed": 7,
        "tutor": {"id": "abacus", "license": "MIT", "fingerprint": "f", "description": "d", **tutor},
        "curriculum": {"name": "arithmetic", "license": "MIT", "digest": "d", "description": "d"}, "suites": [],
        "skills": [{"name": "add", "title": "adding", "role": "taught"}], "environment": {},
        "config": {"students": [{"id": "ada", "model": "novice", "adapter": {"type": "full"}}]},
    }  # fmt: skip
