"""Parts of somebody else: a package on the path, with entry points, as pip would leave it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from tft import plugins, running
from tft.cli import main
from tft.config.cards import GraderConfig
from tft.errors import PrerequisiteError, StageError, UserError
from tft.graders import grade_attempts
from tft.records import Item
from tft.validation import validate

if TYPE_CHECKING:
    from pathlib import Path

    from tft.errors import Problem

MODULE = """\
from pydantic import BaseModel


def plan(standing, skills, config):
    raise ZeroDivisionError("planted")


class Lax:
    def __init__(self, config):
        pass

    def grade(self, item, text):
        return 1


class Focal:
    class Options(BaseModel, extra="forbid"):
        gamma: float = 2.0

    def units(self, lessons, rng):
        return []

    def steps(self, unit):
        return []


class Halved:
    def units(self, lessons, rng):
        return []
"""
ENTRY_POINTS = """\
[tft.planners]
planted = planted_parts:plan
gone = planted_nowhere:plan

[tft.graders]
lax = planted_parts:Lax

[tft.objectives]
focal = planted_parts:Focal
halved = planted_parts:Halved
nameless = planted_parts:Nameless
"""
FOCAL = "the objective focal of planted 0.1 (planted_parts:Focal)"


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install it, and give its module."""
    place = tmp_path / "site"
    info = place / "planted-0.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    module = place / "planted_parts.py"
    module.write_text(MODULE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return module


def found(tmp_path: Path, grader: Any = "exact", **settings: Any) -> dict[str | None, Problem]:
    """Validate a campaign with a curriculum of its own."""
    place = tmp_path / "curricula" / "mine"
    place.mkdir(parents=True)
    card = {"curriculum": "mine", "description": "d", "items": "items.py", "skills": {"some": {"title": "t"}}}
    (place / "curriculum.yaml").write_text(yaml.safe_dump({**card, "grader": grader}))
    (place / "items.py").write_text(
        "def draw(skill, rng):\n    yield from map(str, range(100000))\n\n\n"
        'def classify(question):\n    return "some", 1, "0"\n\n\n'
        "def fingerprint(question):\n    return question\n"
    )
    campaign = {"campaign": "mine", "tutor": {"use": "abacus", "model": "abacus/novice-a"}, "curriculum": "mine",
                "students": [{"id": "ada", "model": "abacus/novice-b"}], **settings}  # fmt: skip
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(campaign))
    return {problem.key: problem for problem in validate(tmp_path / "mine.yaml").problems}


def answers(objective: Any) -> dict[str, Any]:
    return {"objectives": {"answers": objective}}


def test_what_cannot_be_imported_is_said_to_be_theirs() -> None:
    with pytest.raises(PrerequisiteError, match=r"the planner gone of planted 0\.1 .*No module named"):
        plugins.load("tft.planners", "gone")
    with pytest.raises(UserError, match="did you mean planted"):
        plugins.load("tft.planners", "plantet")


def test_a_plug_in_is_known_by_its_package_and_by_what_its_module_holds(package: Path) -> None:
    assert plugins.origin("tft.objectives", "supervised") is None
    before = plugins.origin("tft.objectives", "focal")
    assert before is not None and before[0] == FOCAL
    package.write_text(MODULE.replace("2.0", "9.0"))
    after = plugins.origin("tft.objectives", "focal")
    assert after is not None and after[0] == FOCAL and after[1] != before[1]


@pytest.mark.parametrize(("settings", "key", "said"), [
    ({"tuition": {"planner": "gone"}}, "tuition.planner", "cannot be imported"),
    ({"training": answers("halved")}, "training.objectives.answers.type", "has no steps"),
    ({"training": answers("nameless")}, "training.objectives.answers.type", "cannot be imported"),
    ({"training": answers("vocal")}, "training.objectives.answers.type", "there is no objective of this name"),
    ({"training": answers({"type": "focal", "options": {"gama": 3}})}, "training.objectives.answers.options.gama",
     "unknown key"),
    ({"grader": "lux"}, "grader", "there is no grader of this name"),
])  # fmt: skip
def test_validate_finds_it_before_anybody_is_paid(
    settings: dict[str, Any], key: str, said: str, tmp_path: Path
) -> None:
    problems = found(tmp_path, **settings)
    assert list(problems) == [key]
    assert said in problems[key].message
    assert problems[key].file


def test_validate_takes_what_fits(tmp_path: Path) -> None:
    options = {"type": "focal", "options": {"gamma": 3}}
    assert found(tmp_path, "lax", tuition={"planner": "planted"}, training=answers(options)) == {}


def test_a_grader_that_gives_no_verdict_is_named() -> None:
    grade = grade_attempts(GraderConfig(type="lax"))
    with pytest.raises(StageError, match=r"the grader lax gave 1, and no verdict, for 'four'"):
        grade(Item("2+2", "some", 1, "4", "2+2", "mine"), "four", True)


def test_an_error_that_came_through_a_plug_in_is_not_called_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plugins.load("tft.planners", "planted")
    monkeypatch.setattr(running, "run_campaign", lambda *_: plan(None, None, None))
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(main, ["run", "smoke", "--set", "cluster=inline"])
    assert ended.exit_code == 1
    assert "It came through planted_parts of planted 0.1, which is not tft's: look there first" in ended.stderr


def test_an_option_beside_the_options_is_answered_with_what_stands_there(tmp_path: Path) -> None:
    problems = found(tmp_path, training=answers({"type": "focal", "gamma": 3}))
    assert problems["training.objectives.answers.gamma"].remedy == "known: epochs, options, rate, type"
