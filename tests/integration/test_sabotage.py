"""A campaign is sabotaged in its third cycle: the gate catches it, says why, and the student ends better than it began.

The hooks reach behind the doors that are guarded: a rate that no config asks for, wrong work that curation lets pass,
and exam items among the lessons.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.conftest import SMOKE, Run
from tests.making import demonstration
from tft.campaign import Campaign
from tft.errors import UserError
from tft.ledger import Ledger
from tft.progress import make_watch
from tft.pupil import Pupil
from tft.records import Example, Lesson, Message, Syllabus
from tft.running import run_campaign

SETTINGS = (
    "students=[{id: blaise, model: abacus/novice-b, adapter: full}]",
    "skills=[add_1, sub_1, add_2, sub_2, add_3]", "exams={probe: 16, check: 64, final: 64}",
    "tuition={lessons: 200, mastery: 0.99, patience: 9, max_drop: 0.1}", "cluster=inline",
)  # fmt: skip
Spoil = Callable[[Campaign, list[Lesson]], list[Lesson]]


def go(folder: Path, cache: Path, cycles: int) -> Run:
    overrides = (f"cache={cache}", *SETTINGS, f"tuition.cycles={cycles}")
    run_campaign(SMOKE, overrides, folder, make_watch(True, sys.stderr))
    return Run(folder)


def teach_wrong_work(_: Campaign, kept: list[Lesson]) -> list[Lesson]:
    """Turn every answer that is new into one that is off by one."""

    def spoil(answer: str) -> str:
        work, _, result = answer.rpartition("#")
        return f"{work}#{int(result) + 1}"

    def wrong(lesson: Lesson) -> Lesson:
        asked = lesson.examples[0].messages[0]
        example = Example((asked, Message("assistant", spoil(lesson.answer))))
        return replace(lesson, id=f"wrong {lesson.id}", kind="demonstration", examples=(example,),
                       answer=spoil(lesson.answer), attempt=None)  # fmt: skip

    return [it if it.kind == "replay" or "#" not in it.answer else wrong(it) for it in kept]


def teach_the_check(campaign: Campaign, kept: list[Lesson]) -> list[Lesson]:
    """Add right answers to what the check will ask."""
    return kept + [demonstration(it.question) for it in campaign._prepared.splits.items["check"] if it.skill == "add_3"]


def spoil_lessons(monkeypatch: pytest.MonkeyPatch, spoil: Spoil) -> None:
    curate = Campaign._curate

    async def curate_badly(self: Campaign, pupil: Pupil, cycle: int, offered: list[Lesson]) -> list[Lesson]:
        kept = await curate(self, pupil, cycle, offered)
        return spoil(self, kept) if cycle == 3 else kept

    monkeypatch.setattr(Campaign, "_curate", curate_badly)


def raise_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Campaign._plan

    def plan_badly(self: Campaign, pupil: Pupil, cycle: int) -> Syllabus:
        syllabus = plan(self, pupil, cycle)
        return replace(syllabus, learning_rate_scale=syllabus.learning_rate_scale * (100 if cycle == 3 else 1))

    monkeypatch.setattr(Campaign, "_plan", plan_badly)


HOOKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], str]] = {
    "rate": (raise_the_rate, "catastrophic forgetting"),
    "wrong": (lambda patch: spoil_lessons(patch, teach_wrong_work), "wrong lessons"),
    "leak": (lambda patch: spoil_lessons(patch, teach_the_check), "leak"),
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a campaign that went well for two cycles."""
    folder = tmp_path_factory.mktemp("sabotage")
    return go(folder / "run", folder / "cache", 2)


@pytest.mark.parametrize("name", HOOKS)
def test_sabotage_is_caught_named_and_survived(
    begun: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hook, named = HOOKS[name]
    shutil.copytree(begun.folder, tmp_path / "run")
    hook(monkeypatch)
    done = go(tmp_path / "run", begun.folder.parent / "cache", 4 if name == "wrong" else 3)
    student = done.report["students"][0]
    third, *after = student["cycles"][2:]
    assert third["promoted"] is False
    assert third["decision"].startswith("rolled back: ")
    assert any(finding.startswith(named) for finding in third["findings"])
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert re.search(r"What blaise learned in cycles? [^.]*3 was rolled back\.", page)
    assert f"In cycle 3, blaise: {named}" in page
    # Taught in another way, and not from what was wrong.
    assert not any(finding.startswith(named) for cycle in after for finding in cycle["findings"])
    assert student["final_mean"]["after"] > student["final_mean"]["before"] + 0.1


def test_an_adapter_that_does_not_fit_is_found_before_anybody_is_asked(tmp_path: Path) -> None:
    roster = (
        "students=[{id: ada, model: abacus/novice-a}, "
        "{id: blaise, model: abacus/novice-b, adapter: {type: lora, targets: [nothing]}}]"
    )
    with pytest.raises(UserError, match=r"students\.1\.adapter: PEFT refuses this adapter"):
        run_campaign(SMOKE, ("cluster=inline", roster), tmp_path / "run", make_watch(True, sys.stderr))
    ledger = Ledger(tmp_path / "run")
    stages = ("open", "examine", "teach", "train")
    assert [len(list(ledger.steps(stage))) for stage in stages] == [1, 0, 0, 0]
    ledger.close()
