"""What a student sits when its campaign is over."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.making import demonstration
from tft.records import Lineage, Sitting
from tft.sittings import Sittings

ROLES = {"critic": object()}


@pytest.mark.parametrize(("by", "roles", "sat"), [
    ("abacus", ROLES, ["sit", "correct"]),
    ("another", ROLES, ["sit"]),
    ("abacus", {}, ["sit"]),
])  # fmt: skip
def test_a_student_corrects_itself_only_in_the_words_of_the_critic_that_taught_it(
    by: str, roles: dict[str, Any], sat: list[str]
) -> None:
    async def run(_kind: object, _place: str, stage: Any, _request: Any, **_: object) -> Sitting:
        stages.append(stage.__name__)
        return Sitting("final", ())

    stages: list[str] = []
    prepared: Any = SimpleNamespace(
        config=SimpleNamespace(exams=SimpleNamespace(max_tokens=8)), skills={}, suites=(), contents={"tutor.use": "v"},
        splits=SimpleNamespace(items={"final": ()}), curriculum=SimpleNamespace(grader=None),
        inherited=SimpleNamespace(graders=dict), tutor=SimpleNamespace(card_path=""),
        tutor_card=SimpleNamespace(tutor="abacus", roles=roles, longest_attempt=9),
    )  # fmt: skip
    critique = replace(demonstration("1+1"), kind="critique", lineage=Lineage(by, "weights"))
    pupil: Any = SimpleNamespace(
        notebook={"add_1": [critique]}, ref=None, place="student/ada", config=SimpleNamespace(id="ada")
    )
    sittings = Sittings(prepared, SimpleNamespace(run=run))  # type: ignore[arg-type]
    asyncio.run(sittings.sit_finals(pupil, 1))
    assert stages == sat
