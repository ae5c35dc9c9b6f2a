"""Grading of material: every answer that is learned passes, and every answer that is called wrong fails.

It is a stage: it runs once, whoever is taught from it later, and its result stands in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders import make_grader
from tft.library import load_items
from tft.records import Item, Lesson, Offered, Rejection, Usage

if TYPE_CHECKING:
    from tft.ports import Grader, ItemSource
    from tft.records import Verdict


@dataclass(frozen=True, slots=True)
class GradeRequest:
    """Material as it was read."""

    name: str
    lessons: tuple[Lesson, ...]
    rejections: tuple[Rejection, ...]
    """Rows that were dropped before, which belong to the same account."""
    items_path: str
    """The curriculum's item source."""
    grader: GraderConfig


def grade_material(request: GradeRequest) -> Offered:
    """Keep the lessons whose answers are what they are said to be; the user answers for what cannot be checked."""
    source, grader = load_items(Path(request.items_path)), make_grader(request.grader)
    checked = [_check(lesson, source, grader) for lesson in request.lessons]
    lessons = tuple(it for it in checked if isinstance(it, Lesson))
    wrong = tuple(it for it in checked if isinstance(it, Rejection))
    return Offered(lessons, (*request.rejections, *wrong), Usage())


def _check(lesson: Lesson, source: ItemSource, grader: Grader) -> Lesson | Rejection:
    item, verdicts = lesson.item, []
    for example in lesson.examples[1:]:
        question, answer = (it.content for it in example.messages[-2:])
        verdict = _grade(question.strip(), answer, source, grader)
        if verdict is not None and not verdict.passed:
            return _reject(lesson, "wrong", f"{question} → {answer}: {verdict.reason}")
        verdicts += [] if verdict is None else [verdict]
    if item.reference is None:
        return replace(lesson, verdicts=tuple(verdicts))
    if lesson.answer:
        verdict = grader.grade(item, lesson.answer)
        if not verdict.passed:
            return _reject(lesson, "wrong", f"{item.question} → {lesson.answer}: {verdict.reason}")
    if lesson.rejected is not None and grader.grade(item, lesson.rejected).passed:
        said = f"{item.question} → {lesson.rejected}: is called worse or wrong, and passes"
        return _reject(lesson, "both_right", said)
    return replace(lesson, verdicts=tuple(verdicts))


def _grade(question: str, answer: str, source: ItemSource, grader: Grader) -> Verdict | None:
    classified = source.classify(question)
    if classified is None:
        return None
    skill, level, reference = classified
    return grader.grade(Item(skill, level, question, reference, source.fingerprint(question), ""), answer)


def _reject(lesson: Lesson, reason: str, said: str) -> Rejection:
    place = f"{lesson.lineage.source}, row {lesson.lineage.row}"
    return Rejection("material", lesson.item.skill, reason, f"{place}: {' '.join(said.split())}"[:400])
