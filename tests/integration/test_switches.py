"""A campaign whose students could think aloud, and are told not to: they are asked alike from beginning to end."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.integration.conftest import Run, command, run
from tests.making import make_item
from tests.thinking import NOTHING, QUIET, TEMPLATE, build_thinker
from tft.examination import find_student
from tft.library import Library
from tft.ports import Sampling
from tft.student.models import ask, attempt, open_student

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = (
    "cluster=inline", "threads.tutor=1", "training.epochs=2", "skills=[add_2]",
    "exams={probe: 8, check: 8, final: 32}", "tuition={cycles: 1, lessons: 120, max_drop: 0.9}",
)  # fmt: skip


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, novice: Path) -> Run:
    folder = tmp_path_factory.mktemp("switches")
    model = build_thinker(folder / "thinker", novice)
    them = ", ".join(
        f"{{id: {name}, model: 'path:{model}', adapter: {adapter}, template: {{enable_thinking: false}}}}"
        for name, adapter in (("ada", "{type: lora, r: 8}"), ("blaise", "full"))
    )
    return run(folder / "first", folder / "cache", *TINY, f"students=[{them}]", "campaign=first")


@pytest.mark.parametrize("name", ["ada", "blaise"])
def test_a_final_checkpoint_answers_as_it_was_examined(name: str, quiet: Run) -> None:
    final = find_student(Library(), str(quiet.folder / "students" / name / "final"))
    sat = [json.loads(line) for line in (quiet.folder / "exams" / f"{name}-final-1.jsonl").read_text().splitlines()]
    attempts = [it["attempt"] for it in sat]
    answers = attempt(final, [make_item(it["item"]["question"]) for it in attempts], Sampling(64))
    assert [it.text for it in answers] == [it["text"] for it in attempts]
    engine = open_student(final)
    assert engine.tokenizer.decode(engine.encode([ask("7+5")])[0]) == f"Q7+5\nA{NOTHING}"
    assert engine.tokenizer.chat_template == f"{{% set enable_thinking = False %}}\n{TEMPLATE}"


def test_they_learn_and_the_report_says_how_they_were_asked(quiet: Run) -> None:
    cycles = [it["cycles"][0] for it in quiet.report["students"]]
    assert all(it["promoted"] and it["loss_last"] < it["loss_first"] for it in cycles)
    assert [it["template"] for it in quiet.report["config"]["students"]] == [QUIET, QUIET]


def test_they_go_on_with_their_switches_and_with_no_others(quiet: Run, tmp_path: Path) -> None:
    again = ("campaign=second", "skills=[sub_2]", f"continue_from={quiet.folder}")
    went_on = run(tmp_path / "second", tmp_path / "cache", *TINY, *again, "students=[{id: blaise}]")
    assert [it["template"] for it in went_on.report["config"]["students"]] == [QUIET]
    place = went_on.folder / "students" / "blaise" / "final" / "chat_template.jinja"
    assert place.read_text() == f"{{% set enable_thinking = False %}}\n{TEMPLATE}"
    loud = "students=[{id: blaise, template: {enable_thinking: true}}]"
    done = subprocess.run(command(tmp_path / "third", tmp_path / "cache", *TINY, *again, loud), capture_output=True,
                          text=True, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 2 and "students.0.template: is not what blaise has in first" in done.stderr
