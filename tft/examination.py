"""An exam without a campaign: a model answers held-out items of a curriculum, and whole exams if asked to.

Nothing is taught and nothing is kept. Left out on purpose: comparing two models, which is for their reports.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.config.adapters import FullAdapter
from tft.config.campaign import ExamsConfig
from tft.errors import Problem, UserError
from tft.exams import make_splits, read_suite
from tft.exams.examiner import SitRequest, sit
from tft.fitting import read_build
from tft.library import fetch_weights, load_items
from tft.statistics import wilson_interval
from tft.student import StudentRef
from tft.student.saved import read_saved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.config.cards import GraderConfig
    from tft.library import Library
    from tft.records import Answered, Item

_MAX_TOKENS = 64


def examine(library: Library, model: str, curriculum: str, suites: Sequence[str], items: int) -> dict[str, Any]:
    """Let a model sit an exam.

    Args:
        library: where names are looked up.
        model: a model, or the folder of a student that a campaign has taught.
        curriculum: whose skills are examined.
        suites: whole exams to sit as well.
        items: items a skill and a suite, at most.

    Returns:
        Scores with 95 % Wilson intervals, by skill and by suite.

    Raises:
        UserError: if a name leads nowhere.
    """
    student = find_student(library, model)
    card, folder = library.curriculum(curriculum)
    source = load_items((folder / card.items).resolve())
    # The two other splits are not sat here; they only have to be drawn.
    splits = make_splits(card.skills, source, ExamsConfig(probe=8, check=8, final=max(8, items)), seed=0)
    by_skill: dict[str, list[Item]] = {}
    for item in splits.items["final"]:
        by_skill.setdefault(item.skill, []).append(item)
    chosen = [item for found in by_skill.values() for item in found[:items]]
    answers = _sit(student, "final", chosen, card.grader)
    skills = {name: [it for it in answers if it.attempt.item.skill == name] for name in card.skills}
    whole: dict[str, Any] = {}
    expected = [name for name, skill in card.skills.items() if skill.role != "stretch"]
    for name in suites:
        suite_card, place = library.suite(name)
        suite = read_suite(suite_card, place, source, expected)
        sat = _sit(student, name, suite.items[:items], suite_card.grader)
        groups = sorted({group for it in sat for group in it.attempt.item.groups})
        whole[name] = {
            "sat": suite.missing is None,
            "reason": suite.missing,
            **_measure(sat),
            "groups": {group: _measure([it for it in sat if group in it.attempt.item.groups]) for group in groups},
        }
    return {
        "model": model,
        "address": student.checkpoint_path or student.base_path,
        "curriculum": card.curriculum,
        "skills": {name: _measure(found) for name, found in skills.items()},
        "suites": whole,
    }


def _sit(student: StudentRef, exam: str, items: Sequence[Item], grader: GraderConfig) -> tuple[Answered, ...]:
    return sit(SitRequest(student, exam, tuple(items), grader, _MAX_TOKENS)).answers if items else ()


def _measure(answers: Sequence[Answered]) -> dict[str, Any]:
    """Score answers; null where there are none."""
    if not answers:
        return {"score": None, "low": None, "high": None, "n": 0}
    right = sum(answered.verdict.passed for answered in answers)
    low, high = wilson_interval(right, len(answers))
    return {"score": right / len(answers), "low": low, "high": high, "n": len(answers)}


def find_student(library: Library, name: str) -> StudentRef:
    """Resolve a model, or the folder of a student that a campaign has taught.

    Raises:
        UserError: if it leads nowhere.
    """
    saved = read_saved(Path(name.removeprefix("path:")), "MODEL")
    if saved is not None:
        return saved
    address, fingerprint = fetch_weights(library.model(name, key="MODEL"), "MODEL")
    if read_build(address) == "encoder":
        remedy = "name students/<id>/final of a student that has a head on it"
        raise UserError(Problem("reads both ways and cannot answer", key="MODEL", value=name, remedy=remedy))
    return StudentRef("examined", address, fingerprint, FullAdapter())
