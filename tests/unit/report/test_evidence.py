"""What a report says of sittings that were planted in a ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.making import repeated, sitting
from tft.ledger import Ledger, Step
from tft.records import Sitting, dump
from tft.report import build_report, render_html
from tft.statistics import paired_difference, wilson_interval

if TYPE_CHECKING:
    from pathlib import Path

SUITE = {"name": "sums", "caption": "Sums.", "missing": None, "license": None, "digest": None, "reference": None}
FAILED = Sitting("sums", (), sat=False, reason="of 4 answers: the judge gave no verdict")


def report(folder: Path, *sittings: tuple[Sitting, Sitting], **roles: str) -> dict[str, Any]:
    """Build the report of ada, who sat these exams before tuition and after it."""
    ledger = Ledger(folder)
    skills = [{"name": name, "title": "", "role": role, "needs": [], "examined_whole": False}
              for name, role in (roles or {"add": "taught"}).items()]  # fmt: skip
    ledger.set_fact("setting", {
        "campaign": "planted", "seed": 7, "suites": [SUITE], "environment": {}, "skills": skills,
        "config": {"students": [{"id": "ada", "model": "m", "adapter": {"type": "full"}}]},
        "tutor": {"id": "abacus", "license": None, "fingerprint": "f", "description": "d"},
        "curriculum": {"name": "c", "license": None, "digest": "d", "description": "d"},
    })  # fmt: skip
    ledger.set_fact("outcome/ada", {"stopped_because": "cycles", "promoted_digest": "d", "checkpoint": None})
    for place, pair in enumerate(sittings):
        for cycle, sat in enumerate(pair):
            ledger.put(Step(f"{place} {cycle}", "examine", "ada", cycle, 1.0, dump(sat)))
    found = build_report(ledger)
    ledger.close()
    return found


def test_a_whole_exam_that_was_sat_only_once_has_no_change(tmp_path: Path) -> None:
    found = report(tmp_path / "after", (sitting("sums", sums="1100"), FAILED))
    whole = found["students"][0]["whole"]["sums"]
    assert (whole["sat"], whole["reason"]) == (False, "after tuition: of 4 answers: the judge gave no verdict")
    assert (whole["before"]["score"], whole["after"], whole["change"]) == (0.5, {}, None)
    page = render_html(found)
    assert "not sat.</strong> after tuition: of 4 answers: the judge gave no verdict" in page
    assert "before 50.0" in page and "after not measured" in page

    whole = report(tmp_path / "before", (FAILED, sitting("sums", sums="1100")))["students"][0]["whole"]["sums"]
    assert (whole["sat"], whole["reason"]) == (False, "before tuition: of 4 answers: the judge gave no verdict")
    assert (whole["before"], whole["after"]["score"], whole["change"]) == ({}, 0.5, None)


def test_what_was_cut_off_is_counted(tmp_path: Path) -> None:
    found = report(tmp_path, (sitting("final", add="1---"), sitting("final", add="110-")))
    assert found["students"][0]["cut_off"] == {"before": 0.75, "after": 0.25}
    assert found["next"][0].startswith("Most answers of ada")
    # Suites alone say nothing of the final exam.
    sat = (sitting("sums", sums="1---"),) * 2
    assert report(tmp_path / "sums", sat)["students"][0]["cut_off"] == {"before": None, "after": None}


def test_a_whole_exam_that_was_never_sat_gives_its_reason_once(tmp_path: Path) -> None:
    found = report(tmp_path, (FAILED, FAILED))
    whole = found["students"][0]["whole"]["sums"]
    assert (whole["sat"], whole["reason"]) == (False, "of 4 answers: the judge gave no verdict")
    assert 'aria-label="sums"' not in render_html(found)


def test_a_whole_exam_that_was_sat_twice_gives_no_reason(tmp_path: Path) -> None:
    found = report(tmp_path, (sitting("sums", sums="1100"), sitting("sums", sums="1110")))
    whole = found["students"][0]["whole"]["sums"]
    assert (whole["sat"], whole["reason"], whole["change"]["value"]) == (True, None, pytest.approx(0.25))


def test_changes_are_tested_and_corrected_for_all_skills_of_a_student(tmp_path: Path) -> None:
    before = sitting("final", add="0" * 8, sub="0" * 6 + "1", mul="11")
    after = sitting("final", add="1" * 8, sub="1" * 6 + "1", mul="11")
    skills = report(tmp_path, (before, after), add="taught", sub="taught", mul="retention")["students"][0]["skills"]
    # McNemar: 2 / 2⁸, 2 / 2⁶, and 1 where nothing changed. Holm: times 3, times 2, times 1.
    assert {name: it["change"]["p"] for name, it in skills.items()} == {"add": 2 / 256, "sub": 2 / 64, "mul": 1.0}
    assert {name: it["change"]["p_holm"] for name, it in skills.items()} == {"add": 6 / 256, "sub": 4 / 64, "mul": 1.0}


def test_the_page_follows_the_corrected_test_and_not_the_interval(tmp_path: Path) -> None:
    before, after = (sitting("final", add=mark * 6, sub="1", mul="1") for mark in "01")
    found = report(tmp_path, (before, after), add="taught", sub="taught", mul="retention")
    change = found["students"][0]["skills"]["add"]["change"]
    assert change["low"] > 0 and change["p"] < 0.05 < change["p_holm"]
    assert "0 of 2 taught skills rose" in render_html(found)


def test_the_worst_of_several_drops_has_a_wider_interval(tmp_path: Path) -> None:
    before = sitting("final", add="1" * 64, sub="1" * 64)
    after = sitting("final", add="0" * 8 + "1" * 56, sub="0" * 2 + "1" * 62)
    student = report(tmp_path / "two", (before, after), add="retention", sub="retention")["students"][0]
    worst, change = student["retention"]["worst_drop"], student["skills"]["add"]["change"]
    assert (worst["skill"], worst["value"], worst["of"]) == ("add", 8 / 64, 2)
    _, low, high = paired_difference([True] * 64, [False] * 8 + [True] * 56, 1 - 0.05 / 2)
    assert (worst["low"], worst["high"]) == (-high, -low)
    assert worst["low"] < -change["high"] and -change["low"] < worst["high"]

    alone = report(tmp_path / "one", (before, after), add="retention")["students"][0]
    change = alone["skills"]["add"]["change"]
    assert alone["retention"]["worst_drop"] == {"skill": "add", "value": 8 / 64, "of": 1,
                                                "low": -change["high"], "high": -change["low"]}  # fmt: skip


def test_repeated_questions_count_in_the_score_and_not_as_evidence(tmp_path: Path) -> None:
    before, after = repeated("000000", "aaabbc"), repeated("111110", "aaabbc")
    whole = report(tmp_path, (before, after))["students"][0]["whole"]["sums"]
    assert (whole["after"]["score"], whole["after"]["n"], whole["after"]["questions"]) == (5 / 6, 6, 3)
    # n² / Σ n_q² = 36 / (9 + 4 + 1); of the right answers 6 · 5/6 / ((½)² + (⅓)² + (⅚)²) = 4.7 would be more.
    bounds = wilson_interval(36 / 14 * 5 / 6, 36 / 14)
    assert (whole["after"]["low"], whole["after"]["high"]) == pytest.approx(bounds)
    # ±3 ±2: two of four ways lie as far as 5.
    assert (whole["change"]["value"], whole["change"]["p"]) == (5 / 6, 0.5)
    different = report(tmp_path / "different", (sitting("sums", sums="000000"), sitting("sums", sums="111110")))
    plain = different["students"][0]["whole"]["sums"]
    assert "questions" not in plain["after"] and plain["change"]["p"] == 2 / 32
    assert whole["change"]["low"] < plain["change"]["low"]


def test_wordings_of_one_question_are_one(tmp_path: Path) -> None:
    before, after = repeated("0011", "abcd"), repeated("1111", "abcd")
    asked = [replace(it.attempt.item, same=same) for it, same in zip(before.answers, ("x", "x", "", ""), strict=True)]
    pair = [
        replace(sat, answers=tuple(replace(it, attempt=replace(it.attempt, item=item))
                                   for it, item in zip(sat.answers, asked, strict=True)))
        for sat in (before, after)
    ]  # fmt: skip
    whole = report(tmp_path, (pair[0], pair[1]))["students"][0]["whole"]["sums"]
    assert (whole["before"]["questions"], whole["change"]["p"]) == (3, 1.0)
