from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.making import demonstration
from tft.config.cards import GraderConfig
from tft.ledger import Ledger, Step
from tft.lessons import CurateRequest, curate
from tft.origins import Origins
from tft.records import Curated, Lesson, Lineage, Verdict, dump
from tft.report.lineage import describe_lessons
from tft.report.taught import read_taught

SETTING: dict[str, Any] = {
    "campaign": "second", "tutor": {"id": "abacus", "license": "MIT"},
    "curriculum": {"name": "arithmetic", "license": "Apache-2.0"},
    "skills": [{"name": "add_2", "curriculum": "arithmetic"}, {"name": "sub_2", "curriculum": "old-sums"}],
    "before": [{"campaign": "first", "tutor": {"id": "tally", "license": "BSD"}, "material": [],
                "curriculum": {"name": "old-sums", "license": "CC-BY-4.0"}}],
}  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path)
    yield ledger
    ledger.close()


def passed(lesson: Lesson, *graders: str, **lineage: Any) -> Lesson:
    verdicts = tuple(Verdict(1.0, "equals the reference", name) for name in graders)
    return replace(lesson, verdicts=verdicts, lineage=replace(lesson.lineage, **lineage))


def teach(ledger: Ledger, student: str, cycle: int, *lessons: Lesson) -> None:
    ledger.put(Step(f"{student} {cycle}", "curate", student, cycle, 0.0, dump(Curated(lessons, ()))))


def test_an_auditor_reads_who_taught_what_and_under_which_licence(ledger: Ledger) -> None:
    shown = [passed(demonstration(f"1{place}+25"), "numeric") for place in range(3)]
    own = replace(passed(shown[0], "numeric", source="student"), kind="self_training")
    drawn = replace(own, item=replace(own.item, source="curriculum"))
    teach(ledger, "ada", 1, *shown)
    teach(ledger, "blaise", 1, shown[0], drawn)
    teach(ledger, "ada", 2, drawn)
    rows = describe_lessons(read_taught(ledger), SETTING)
    assert [(it["kind"], it["asked_by"], it["answered_by"], it["judged_by"], it["license"]) for it in rows] == [
        ("demonstration", "abacus", "abacus", "numeric", "MIT"),
        ("self_training", "curriculum", "student", "numeric", "Apache-2.0"),
    ]
    assert [(it["lessons"], it["students"]) for it in rows] == [
        (4, {"ada": 3, "blaise": 1}), (2, {"blaise": 1, "ada": 1}),
    ]  # fmt: skip
    assert rows[0]["example"] == shown[0].id


def test_what_stands_on_a_users_word_says_so_with_the_licence_of_its_file(ledger: Ledger) -> None:
    filed = Lineage("sums.jsonl", "", row=3, license="CC-BY-4.0", trusted=True)
    teach(ledger, "ada", 1, replace(demonstration("11+22"), lineage=filed))
    (row,) = describe_lessons(read_taught(ledger), SETTING)
    assert (row["answered_by"], row["license"]) == ("sums.jsonl", "CC-BY-4.0")
    assert row["judged_by"].startswith("nobody")


def test_what_is_answered_in_training_is_judged_there(ledger: Ledger) -> None:
    lesson = demonstration("11+22")
    practised = replace(lesson, kind="practice", item=replace(lesson.item, source="curriculum"))
    scored = replace(passed(lesson, "numeric"), kind="feedback")
    teach(ledger, "ada", 1, practised, scored)
    feedback, practice = describe_lessons(read_taught(ledger), SETTING)
    assert (practice["answered_by"], practice["judged_by"]) == ("student", "the grader, while it was trained")
    assert (feedback["answered_by"], feedback["judged_by"]) == ("student, scored by abacus", "numeric")


def test_a_judged_pair_names_both_who_judged_it(ledger: Ledger) -> None:
    pair = replace(passed(demonstration("11+22"), "judge", "numeric"), kind="preference", rejected="#5")
    teach(ledger, "ada", 1, pair)
    assert describe_lessons(read_taught(ledger), SETTING)[0]["judged_by"] == "judge, numeric"


def test_what_is_read_again_keeps_the_tutor_and_the_licences_of_its_own_campaign(ledger: Ledger) -> None:
    first = {**SETTING, **SETTING["before"][0], "before": [], "skills": [{"name": "add_2", "curriculum": "old-sums"}]}
    old = passed(demonstration("11+22"), "numeric", source="tally")
    again = replace(Origins.of(first).attribute(old), kind="replay")
    fresh = passed(demonstration("12+23"), "numeric")
    teach(ledger, "ada", 1, again, fresh)
    rows = describe_lessons(read_taught(ledger), SETTING)
    assert [(it["campaign"], it["asked_by"], it["answered_by"], it["license"]) for it in rows] == [
        ("second", "abacus", "abacus", "MIT"), ("first", "tally", "tally", "BSD"),
    ]  # fmt: skip


def test_a_skill_of_an_earlier_curriculum_has_the_licence_of_that_one(ledger: Ledger) -> None:
    lesson = replace(passed(demonstration("52-27"), "numeric", source="student"), kind="replay")
    teach(ledger, "ada", 1, replace(lesson, item=replace(lesson.item, source="curriculum")))
    assert describe_lessons(read_taught(ledger), SETTING)[0]["license"] == "CC-BY-4.0"


def test_what_is_said_to_be_wrong_names_the_grader_that_failed_it(ledger: Ledger) -> None:
    said = replace(demonstration("11+22", ""), kind="verdict", examples=(), rejected="#34")
    filed = replace(said, lineage=Lineage("sums.jsonl", "", row=3, license="CC-BY-4.0"))
    (kept,) = curate(CurateRequest((filed,), GraderConfig(type="numeric", marker="#"), ())).kept
    teach(ledger, "ada", 1, kept)
    assert describe_lessons(read_taught(ledger), SETTING)[0]["judged_by"] == "numeric"


def test_what_is_trusted_in_part_says_so(ledger: Ledger) -> None:
    teach(ledger, "ada", 1, passed(demonstration("11+22"), "numeric", trusted=True))
    (row,) = describe_lessons(read_taught(ledger), SETTING)
    assert row["judged_by"] == "numeric; in part nobody: the word of whoever ran this"
