"""An exam without a campaign: a model answers items of a curriculum, or whole exams, or both.

Nothing is taught and nothing is kept. A student of a run is not asked for what that run has taught, and neither it nor
its tutor grades; of any other model it is not known what it was taught, and the mark sheet says so. Left out on
purpose: comparing two models, which is for their reports.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.config.adapters import FullAdapter
from tft.config.campaign import ExamsConfig
from tft.earlier import find_upbringing
from tft.errors import Problem, UserError
from tft.exams import Splits, make_splits, measure_consistency, measure_score, open_suite, read_suite
from tft.exams.examiner import SitRequest, sit
from tft.exams.judges import appoint, refuse_judges
from tft.exams.questions import count
from tft.exams.whole import stage_of
from tft.fitting import read_build
from tft.library import fetch_weights, load_items
from tft.records import Sitting
from tft.statistics import measure_calibration
from tft.student import StudentRef
from tft.student.saved import read_saved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.config.cards import CurriculumCard
    from tft.library import Library
    from tft.ports import ItemSource
    from tft.records import Answered, Item

_ITEMS = 256
"""Items a skill, unless told otherwise."""


def examine(
    library: Library, model: str, curriculum: str | None, suites: Sequence[str], items: int | None, max_tokens: int
) -> dict[str, Any]:
    """Let a model sit an exam.

    Args:
        library: where names are looked up.
        model: a model, or the folder of a student that a campaign has taught.
        curriculum: whose skills are examined; None means that only suites are sat.
        suites: whole exams to sit.
        items: items a skill and a suite, at most; None means 256 a skill, and all of a suite.
        max_tokens: longest answer, in tokens.

    Returns:
        Scores with 95 % Wilson intervals, by skill and by suite, and how sure the model was. ``taught`` says what is
        known of what the model was taught, and ``examined_whole`` which skills are asked for all the same.

    Raises:
        UserError: if a name leads nowhere, a judge is the model or has taught it, or a skill has too few items.
    """
    student = find_student(library, model)
    raised = find_upbringing(Path(model.removeprefix("path:")))
    found: dict[str, Any] = {
        "model": model,
        "address": student.checkpoint_path or student.base_path,
        "taught": {"known": raised is not None, "run": raised.campaign if raised else None},
        "curriculum": None,
        "skills": {},
        "examined_whole": [],
        "suites": {},
    }
    taught = raised.taught if raised else frozenset[str]()
    source: ItemSource | None = None
    card: CurriculumCard | None = None
    expected: tuple[str, ...] = ()
    if curriculum is not None:
        card, folder = library.curriculum(curriculum)
        source = load_items((folder / card.items).resolve())
        expected = tuple(name for name, skill in card.skills.items() if skill.role != "stretch")
    opened = [open_suite(library, name) for name in suites]
    read = [appoint(read_suite(it, place, source, expected, items), library, None) for it, place in opened]
    refuse_judges(read, {model: student.base, **(raised.kin if raised else {})})
    table: set[str] = set()
    if card is not None and source is not None:
        found["curriculum"] = card.curriculum
        splits = _draw_items(card, source, items or _ITEMS, taught)
        found["skills"] = _sit_skills(student, card, splits.items["final"], items or _ITEMS, max_tokens)
        found["examined_whole"], table = list(splits.examined_whole), splits.table()
    for name, (suite_card, _), whole in zip(suites, opened, read, strict=True):
        # Only a curriculum says when two questions are the same.
        suite = whole if source is None else whole.without(taught - table)
        stage, asked = stage_of(suite, student, max_tokens)
        sat = stage(asked) if suite.missing is None else Sitting(name, (), sat=False, reason=suite.missing)
        groups = sorted({group for it in sat.answers for group in it.attempt.item.groups})
        found["suites"][name] = {
            "sat": sat.sat,
            "reason": sat.reason,
            "caption": suite.told(suite_card.caption),
            "grader": suite.grader.type,
            "rejected": count(suite.rejections),
            "left_out": suite.left_out if source is not None and raised else None,
            **_measure(sat.answers),
            "consistency": measure_consistency(sat),
            "groups": {it: _measure([sat for sat in sat.answers if it in sat.attempt.item.groups]) for it in groups},
        }
    return found


def _draw_items(card: CurriculumCard, source: ItemSource, most: int, taught: frozenset[str]) -> Splits:
    # The two other splits are not sat here; they only have to be drawn.
    try:
        return make_splits(card.skills, source, ExamsConfig(probe=8, check=8, final=max(8, most)), 0, taught)
    except UserError as error:
        remedy = "lower --items, or make it a retention skill in the card, which is examined whole"
        raise UserError(*(replace(it, key="--items", remedy=remedy) for it in error.problems)) from error


def _sit_skills(
    student: StudentRef, card: CurriculumCard, items: Sequence[Item], most: int, max_tokens: int
) -> dict[str, Any]:
    by_skill: dict[str, list[Item]] = {}
    for item in items:
        by_skill.setdefault(item.skill, []).append(item)
    chosen = [item for items in by_skill.values() for item in items[:most]]
    answers = sit(SitRequest(student, "final", tuple(chosen), card.grader, max_tokens)).answers
    return {name: _measure([it for it in answers if it.attempt.item.skill == name]) for name in card.skills}


def _measure(answers: Sequence[Answered]) -> dict[str, Any]:
    """Score answers; null where there are none, or nobody said how sure the model was."""
    if not answers:
        return {"score": None, "low": None, "high": None, "n": 0, "calibration": None}
    return {**measure_score(answers), "calibration": _calibrate(answers)}


def _calibrate(answers: Sequence[Answered]) -> dict[str, Any] | None:
    """Compare how sure a model was with how often it was right: by bins, and on the whole."""
    stated = [(it.attempt.confidence, it.verdict.passed) for it in answers if it.attempt.confidence is not None]
    return measure_calibration(stated) if stated else None


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
