"""A student reads the lessons of files when it is taught their skill, so many a cycle, and each once."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tests.making import demonstration
from tft.config.campaign import StudentConfig, TuitionConfig
from tft.config.cards import GraderConfig, SkillCard
from tft.config.data import MaterialConfig
from tft.curriculum import Standing, plan
from tft.errors import UserError
from tft.material import Material
from tft.pupil import Pupil
from tft.records import Item, Lesson, Mastery, Offered, Syllabus, Tuition, Usage
from tft.stock import Stock

SKILLS = {"add_2": SkillCard(title="adding"), "sub_2": SkillCard(title="subtracting", needs=("add_2",))}


def lessons(skill: str, count: int) -> tuple[Lesson, ...]:
    made = demonstration("27+58")
    item = Item(skill, 1, "?", "85", "f", "mine.jsonl")
    return tuple(
        Lesson(f"{skill} {place}", made.kind, item, made.examples, made.answer, made.lineage) for place in range(count)
    )


class Steps:
    """Grades nothing: what it is given passes, or all of it fails."""

    def __init__(self, *, passes: bool = True) -> None:
        self._passes = passes

    async def run(self, _kind: Any, _place: str, _stage: Any, request: Any, *, name: str) -> Offered:
        assert name == "material"
        return Offered(request.lessons if self._passes else (), request.rejections, Usage())


def stock(*material: Material, cycles: tuple[int, ...] | None = None, most: int = 100, passes: bool = True) -> Stock:
    config = SimpleNamespace(
        material=[MaterialConfig(path=it.name, cycles=cycles) for it in material], tuition=TuitionConfig(lessons=most)
    )
    prepared: Any = SimpleNamespace(
        config=config, material=material, items_path="", skills=SKILLS,
        curriculum=SimpleNamespace(grader=GraderConfig(type="numeric")),
    )  # fmt: skip
    made = Stock(prepared, Steps(passes=passes))  # type: ignore[arg-type]
    asyncio.run(made.open())
    return made


@pytest.fixture
def pupil() -> Pupil:
    return Pupil(StudentConfig(id="ada", model="m"), SimpleNamespace())  # type: ignore[arg-type]


def material(name: str, **counts: int) -> Material:
    return Material(name, "d", tuple(it for skill, count in counts.items() for it in lessons(skill, count)), ())


def read(found: Stock, pupil: Pupil, cycle: int) -> Counter[str]:
    """Let a student read everything it may."""
    syllabus = Syllabus("ada", cycle, tuple(found.lines(pupil, cycle)), {}, ())
    return Counter(lesson.item.skill for lesson in found.read(pupil, syllabus))


def test_all_is_read_at_once_and_only_once(pupil: Pupil) -> None:
    found = stock(material("mine.jsonl", add_2=5, manners=3))
    assert [(it.skill, it.lessons, it.source) for it in found.lines(pupil, 1)] == [
        ("add_2", 5, "mine.jsonl"),
        ("manners", 3, "mine.jsonl"),
    ]
    assert found.lines(pupil, 1)[0].reason == "material: 5 of 5 lessons in mine.jsonl"
    assert found.lines(pupil, 1)[1].reason.endswith("the curriculum has no such skill, so it is not examined")
    assert read(found, pupil, 1) == {"add_2": 5, "manners": 3}
    assert found.lines(pupil, 2) == []


def test_no_more_of_a_skill_is_read_than_a_cycle_has_lessons(pupil: Pupil) -> None:
    found = stock(material("a.jsonl", add_2=5, sub_2=2), material("b.jsonl", add_2=5), most=7)
    assert [read(found, pupil, cycle)["add_2"] for cycle in (1, 2, 3)] == [7, 3, 0]


def test_cycles_share_what_is_left(pupil: Pupil) -> None:
    found = stock(material("a.jsonl", add_2=7), cycles=(2, 3, 5))
    assert [read(found, pupil, cycle)["add_2"] for cycle in (1, 2, 3, 4, 5)] == [0, 3, 2, 0, 2]


def test_what_a_cycle_could_not_read_is_left_for_the_next(pupil: Pupil) -> None:
    found = stock(material("a.jsonl", sub_2=6), cycles=(1, 2))
    # The skill waited in the first cycle.
    assert read(found, pupil, 2) == {"sub_2": 6}


def test_students_read_at_their_own_pace(pupil: Pupil) -> None:
    found = stock(material("a.jsonl", add_2=4))
    read(found, pupil, 1)
    other = Pupil(StudentConfig(id="bea", model="m"), SimpleNamespace())  # type: ignore[arg-type]
    assert read(found, other, 2) == {"add_2": 4}


def test_material_of_which_nothing_passes_ends_the_campaign() -> None:
    with pytest.raises(UserError) as caught:
        stock(material("a.jsonl"), passes=False)
    assert caught.value.problems[0].key == "material.0.path"


LINES = [Tuition(skill, "demonstration", 9, "material", "mine.jsonl") for skill in ("add_2", "sub_2", "manners")]


@pytest.mark.parametrize(
    ("right", "taught"), [(0, ["add_2", "manners"]), (8, ["sub_2", "manners"])], ids=["a beginner", "a master"]
)
def test_a_syllabus_takes_the_lines_of_what_is_taught(right: int, taught: list[str]) -> None:
    known = {"add_2": Mastery("add_2", right, 8, right / 8, 0, 1), "sub_2": Mastery("sub_2", 0, 8, 0, 0, 1)}
    syllabus = plan(Standing("ada", 1, known, material=LINES), SKILLS, TuitionConfig())
    assert [it.skill for it in syllabus.tuition if it.source] == taught


def test_replay_is_planned_beside_material_alone() -> None:
    known = {name: Mastery(name, 8, 8, 1, 0.9, 1) for name in SKILLS}
    syllabus = plan(Standing("ada", 1, known, material=LINES), SKILLS, TuitionConfig())
    assert [(it.skill, it.kind) for it in syllabus.tuition] == [
        ("manners", "demonstration"), ("add_2", "replay"), ("sub_2", "replay"),
    ]  # fmt: skip


PAIR = replace(lessons("add_2", 1)[0], id="pair", kind="preference", rejected="#0")
NAMELESS = replace(lessons("manners", 1)[0], item=Item("manners", 0, "?", None, "f", "mine.jsonl"))


@pytest.mark.parametrize(("task", "kinds"), [
    ("reward", ["preference"]), ("regressor", ["demonstration"] * 2), ("classifier", ["demonstration"] * 2),
    ({"type": "classifier", "labels": ["sum"]}, []), (None, ["demonstration"] * 3 + ["preference"]),
])  # fmt: skip
def test_a_head_reads_what_it_can_learn_from(task: Any, kinds: list[str]) -> None:
    found = stock(Material("mine.jsonl", "d", (*lessons("add_2", 2), NAMELESS, PAIR), ()))
    adapter: Any = {"type": "head", "task": task} if task else "full"
    pupil = Pupil(StudentConfig(id="ada", model="m", adapter=adapter), SimpleNamespace())  # type: ignore[arg-type]
    offered = found.lines(pupil, 1)
    syllabus = Syllabus("ada", 1, tuple(offered), {}, ())
    assert sorted(it.kind for it in found.read(pupil, syllabus)) == kinds
    assert found.lines(pupil, 2) == []


def test_what_a_head_cannot_learn_from_is_counted(pupil: Pupil) -> None:
    mixed = (*lessons("add_2", 2), replace(lessons("add_2", 1)[0], item=NAMELESS.item))
    found = stock(
        Material("mine.jsonl", "d", tuple(replace(it, item=replace(it.item, skill="add_2")) for it in mixed), ())
    )
    reader = Pupil(StudentConfig(id="ada", model="m", adapter={"type": "head", "task": "classifier"}),
                   SimpleNamespace())  # type: ignore[arg-type]  # fmt: skip
    assert found.lines(reader, 1)[0].reason == (
        "material: 2 of 2 lessons in mine.jsonl; its head cannot learn from 1 others"
    )
    assert found.lines(pupil, 1)[0].reason == "material: 3 of 3 lessons in mine.jsonl"
