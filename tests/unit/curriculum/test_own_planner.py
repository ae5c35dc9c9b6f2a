"""The planner of the docs, as somebody would copy it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tft.config.campaign import TuitionConfig
from tft.config.cards import SkillCard
from tft.curriculum import Standing, ask_planner
from tft.errors import StageError
from tft.records import Mastery, Syllabus, Tuition

DOCS = Path(__file__).parents[3] / "docs" / "plugins.md"
SKILLS = {"first": SkillCard(title="first"), "second": SkillCard(title="second"), "third": SkillCard(title="third")}


@pytest.fixture(scope="module")
def plan() -> Callable[..., Syllabus]:
    section = DOCS.read_text(encoding="utf-8").partition("## A planner")[2]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code[1], str(DOCS), "exec"), names)
    return names["plan"]  # type: ignore[no-any-return]


def test_one_skill_is_taught_after_the_other(plan: Callable[..., Syllabus]) -> None:
    def taught(*held: str) -> list[tuple[str, str]]:
        known = {name: Mastery(name, 100, 100, 1.0, 0.96, 1.0) for name in held}
        return [(it.skill, it.kind) for it in plan(Standing("ada", 1, known), SKILLS, TuitionConfig()).tuition]

    assert taught() == [("first", "demonstration")]
    assert taught("first") == [("second", "demonstration"), ("first", "replay")]
    assert taught("first", "second", "third") == []


@pytest.mark.parametrize(("planned", "said"), [
    (None, "this is no Syllabus"),
    (Syllabus("ada", 1, (Tuition("first", "demonstrations", 9, "why"),), {}, ()), "tuition.0.kind"),  # type: ignore[arg-type]
    (Syllabus("ada", 1, (Tuition("frist", "demonstration", 9, "why"),), {}, ()), "nobody knows: frist"),
])  # fmt: skip
def test_a_plan_that_cannot_be_followed_is_refused(planned: Any, said: str) -> None:
    with pytest.raises(StageError, match=said):
        ask_planner(lambda *_: planned, Standing("ada", 1, {}), SKILLS, TuitionConfig(planner="mine"))


def test_lists_in_a_plan_are_taken_as_they_are_meant() -> None:
    planned = Syllabus("ada", 1, [Tuition("first", "demonstration", 9, "why")], {}, [])  # type: ignore[arg-type]
    taken = ask_planner(lambda *_: planned, Standing("ada", 1, {}), SKILLS, TuitionConfig())
    assert taken.tuition == (Tuition("first", "demonstration", 9, "why"),)
