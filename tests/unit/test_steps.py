from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.making import demonstration, sitting
from tft.config.cards import GraderConfig
from tft.errors import StageError
from tft.ledger import Ledger
from tft.lessons import CurateRequest, curate
from tft.records import Checkpoint, Curated, Decision, Mastery, Offered, Syllabus, Tuition, Usage
from tft.steps import Steps, describe


@dataclass(frozen=True)
class Place:
    """A request inside a request."""

    model_path: str
    fingerprint: str


@dataclass(frozen=True)
class Order:
    """A request with something of everything."""

    what: str = "a"
    place: Place = Place("/here", "weights")
    items_path: str = "/items.py"
    allowance: int | None = 100
    rows: dict[str, int] = field(default_factory=lambda: {"add": 1})
    skills: tuple[str, ...] = ("add", "sub")
    grader: GraderConfig = GraderConfig(type="numeric")
    seed: int = 7


class Here:
    """An executor that counts."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, Any]] = []
        self.workers = 0

    async def run(self, place: str, stage: Callable[[Any], Any], request: Any, workers: int = 1) -> tuple[Any, float]:
        self.ran.append((place, request))
        self.workers = workers
        return stage(request), 0.25

    async def close(self) -> None: ...


class Recorder:
    """A watch that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    def began(self, *event: Any) -> None:
        self.seen.append(("began", *event))

    def ended(self, *event: Any) -> None:
        self.seen.append(("ended", *event))


@dataclass
class Setting:
    steps: Steps
    executor: Here
    watch: Recorder

    def run(self, request: Any = Order(), stage: Callable[[Any], Any] | None = None, **where: Any) -> Any:
        made = self.steps.run(Mastery, "student/ada", stage or know, request, name=where.pop("name", "probe"), **where)
        return asyncio.run(made)

    @property
    def times(self) -> int:
        return len(self.executor.ran)


def know(request: Order) -> Mastery:
    return Mastery(request.what, 1, 3, 1 / 3, 0.0, 1.0)


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    ledger, executor, watch = Ledger(tmp_path), Here(), Recorder()
    yield Setting(Steps(ledger, executor, watch), executor, watch)
    ledger.close()


def test_a_stage_runs_once(setting: Setting) -> None:
    first, second = setting.run(), setting.run()
    assert first == second == know(Order())
    assert setting.times == 1
    assert setting.executor.ran[0] == ("student/ada", Order())
    assert setting.executor.workers == 1


def test_several_workers_are_asked_for_where_they_are_wanted(setting: Setting) -> None:
    setting.run(workers=3)
    assert setting.executor.workers == 3


def test_another_session_does_not_run_it_again(setting: Setting, tmp_path: Path) -> None:
    result = setting.run()
    ledger, executor = Ledger(tmp_path), Here()
    again = Setting(Steps(ledger, executor, Recorder()), executor, Recorder())
    assert again.run() == result
    assert again.times == 0
    ledger.close()


@pytest.mark.parametrize("changed", [
    {"place": Place("/elsewhere", "weights")},
    {"items_path": "/elsewhere.py"},
    {"allowance": 5},
    {"allowance": None},
])  # fmt: skip
def test_where_things_lie_and_what_may_be_spent_is_no_part_of_the_key(
    setting: Setting, changed: dict[str, Any]
) -> None:
    setting.run()
    setting.run(replace(Order(), **changed))
    assert setting.times == 1


@pytest.mark.parametrize("changed", [
    {"what": "b"},
    {"place": Place("/here", "other weights")},
    {"rows": {"add": 2}},
    {"rows": {"add": 1, "shortest_path": 5}},
    {"rows": {"add": 1, "allowance": 5}},
    {"skills": ("sub", "add")},
    {"grader": GraderConfig(type="numeric", marker="#")},
    {"seed": 8},
])  # fmt: skip
def test_everything_else_is(setting: Setting, changed: dict[str, Any]) -> None:
    setting.run()
    setting.run(replace(Order(), **changed))
    assert setting.times == 2


def test_names_that_a_user_chose_are_never_taken_for_fields(setting: Setting) -> None:
    # A skill may well be called shortest_path.
    for rows in ({"shortest_path": 1}, {"shortest_path": 2}, {"allowance": 2}):
        setting.run(replace(Order(), rows=rows))
    assert setting.times == 3


@pytest.mark.parametrize("where", [{"name": "check"}, {"student": "blaise"}, {"cycle": 2}])
def test_stage_student_and_cycle_are_part_of_the_key(setting: Setting, where: dict[str, Any]) -> None:
    setting.run()
    setting.run(**where)
    assert setting.times == 2


def test_a_stage_that_failed_has_not_happened(setting: Setting) -> None:
    def fail(_: Any) -> Mastery:
        raise StageError("no")

    with pytest.raises(StageError, match="no"):
        setting.run(stage=fail)
    assert list(setting.steps.ledger.steps("probe")) == []
    assert setting.run() == know(Order())


def test_the_ledger_knows_what_and_how_long(setting: Setting) -> None:
    setting.run(name="train", student="ada", cycle=3)
    (step,) = setting.steps.ledger.steps("train", "ada", 3)
    assert step.seconds == 0.25
    assert step.result["skill"] == "a"
    assert setting.steps.ledger.busy_seconds() == {"train": 0.25}


def test_who_watches_is_told_both_times(setting: Setting) -> None:
    setting.run(student="ada", cycle=1)
    setting.run(student="ada", cycle=1)
    assert setting.watch.seen == [
        ("began", "probe", "ada", 1),
        ("ended", "probe", "ada", 1, 0.25, ""),
        ("ended", "probe", "ada", 1, 0.0, ""),
    ]


def test_what_the_driver_decided_is_written_once(setting: Setting) -> None:
    decision = Decision("ada", 1, True, "it rose", None)
    for _ in range(2):
        setting.steps.note(decision, name="reflect", student="ada", cycle=1)
    (step,) = setting.steps.ledger.steps("reflect", "ada")
    assert step.result["reason"] == "it rose"
    setting.steps.note(replace(decision, promoted=False), name="reflect", student="ada", cycle=1)
    assert len(list(setting.steps.ledger.steps("reflect"))) == 2


def test_what_was_decided_on_a_basis_stands(setting: Setting) -> None:
    def decide(basis: Order, plan: str) -> str:
        decided = Decision("ada", 1, True, plan, None)
        return setting.steps.decide(Decision, basis, lambda: decided, name="plan", student="ada", cycle=1).reason

    assert decide(Order(allowance=10), "poor") == "poor"
    # What may still be spent is no part of it.
    assert decide(Order(allowance=99), "rich") == "poor"
    assert decide(Order(what="b"), "other") == "other"
    assert [step.result["reason"] for step in setting.steps.ledger.steps("plan", "ada", 1)] == ["poor", "other"]
    assert setting.watch.seen[-1] == ("ended", "plan", "ada", 1, 0.0, "other")


def test_a_real_stage_comes_back_from_the_ledger_as_it_was(setting: Setting) -> None:
    lessons = (demonstration("7+5"), demonstration("7+5", "#13"))
    request = CurateRequest(lessons, GraderConfig(type="numeric", marker="#"), ("9*9",))
    first, second = (
        asyncio.run(setting.steps.run(Curated, "grading", curate, request, name="curate")) for _ in range(2)
    )
    assert first == second == curate(request)
    assert setting.times == 1


@pytest.mark.parametrize(("result", "words"), [
    (sitting("final", add="110"), "2 of 3 right on final"),
    (sitting("final", add="10--"), "1 of 4 right on final"),
    (sitting("final", add="1---"), "1 of 4 right on final, 75 % cut off before their end"),
    (sitting("final"), "0 of 0 right on final"),
    (Syllabus("ada", 1, (Tuition("add", "demonstration", 9, "r"), Tuition("sub", "replay", 3, "r")), {"mul": "w"}, ()),
     "teaches add; 1 wait"),
    (Syllabus("ada", 1, (), {}, ("add",)), "teaches nothing; 0 wait"),
    (Offered((demonstration("7+5"),), (), Usage(3, 4)), "1 lessons, 0 refused, 7 tokens"),
    (Curated((), ()), "0 lessons kept, 0 refused"),
    (Checkpoint("p", "d", trained_tokens=9, measures={"reward": (0.1, 0.5)}), "9 tokens, reward 0.100 → 0.500"),
    (Decision("ada", 1, True, "it rose", None), "it rose"),
])  # fmt: skip
def test_what_came_out_is_said_in_a_few_words(result: object, words: str) -> None:
    assert describe(result) == words
