"""Why a student stops whom nothing was planned for, or for whom nothing is left."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.conftest import SMOKE, Run
from tft.campaign import Campaign
from tft.progress import make_watch
from tft.pupil import Pupil
from tft.records import Syllabus
from tft.running import run_campaign

SETTINGS = (
    "students=[{id: blaise, model: abacus/novice-b, adapter: full}]", "skills=[add_1, add_2, sub_2]",
    "exams={probe: 8, check: 8, final: 8}", "tuition.max_drop=0.9", "cluster=inline",
)  # fmt: skip


@pytest.mark.parametrize(("mastered", "limit", "reason"), [
    (("add_2", "sub_2"), "", "mastery"),
    (("add_2", "sub_2"), "budget.tutor_tokens: all are spent", "mastery"),
    (("add_2",), "", "no_lessons"),
    (("add_2",), "budget.tutor_tokens: all are spent", "budget"),
])  # fmt: skip
def test_an_empty_plan_is_mastery_only_where_all_is_mastered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mastered: tuple[str, ...], limit: str, reason: str
) -> None:
    plan = Campaign._plan

    def plan_nothing(self: Campaign, pupil: Pupil, cycle: int) -> Syllabus:
        self._shelf.limit = limit
        return replace(plan(self, pupil, cycle), tuition=(), waiting={}, mastered=mastered)

    monkeypatch.setattr(Campaign, "_plan", plan_nothing)
    run_campaign(SMOKE, (f"cache={tmp_path}", *SETTINGS), tmp_path / "run", make_watch(True, sys.stderr))
    assert Run(tmp_path / "run").report["students"][0]["stopped_because"] == reason


def test_what_is_longer_than_a_student_may_answer_is_not_taught(tmp_path: Path) -> None:
    settings = (*SETTINGS, "skills=[add_2]", "exams={probe: 8, check: 8, final: 8, max_tokens: 12}",
                "tuition={cycles: 1, lessons: 64, methods: demonstration}", f"cache={tmp_path}")  # fmt: skip
    run_campaign(SMOKE, settings, tmp_path / "run", make_watch(True, sys.stderr))
    report = Run(tmp_path / "run").report
    assert report["students"][0]["stopped_because"] == "no_lessons"
    assert report["curation"]["rejected"]["too_long"] == 64
    assert any("64 lessons had an answer longer" in it for it in report["next"])
