"""What a report says of sittings that were planted in a ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.making import sitting
from tft.ledger import Ledger, Step
from tft.records import Sitting, dump
from tft.report import build_report, render_html

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


def test_a_whole_exam_that_was_never_sat_gives_its_reason_once(tmp_path: Path) -> None:
    found = report(tmp_path, (FAILED, FAILED))
    whole = found["students"][0]["whole"]["sums"]
    assert (whole["sat"], whole["reason"]) == (False, "of 4 answers: the judge gave no verdict")
    assert 'aria-label="sums"' not in render_html(found)


def test_a_whole_exam_that_was_sat_twice_gives_no_reason(tmp_path: Path) -> None:
    found = report(tmp_path, (sitting("sums", sums="1100"), sitting("sums", sums="1110")))
    whole = found["students"][0]["whole"]["sums"]
    assert (whole["sat"], whole["reason"], whole["change"]["value"]) == (True, None, pytest.approx(0.25))
