"""Logs of inspect_ai: what its own command has asked and scored becomes an exam with the same verdicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import items
import pytest
from click.testing import CliRunner

from tft.cli import main
from tft.config.cards import GraderConfig
from tft.config.suites import InspectConfig, RubricConfig, SuiteCard
from tft.errors import UserError
from tft.exams import Suite, open_suite, read_suite
from tft.exams.questions import count
from tft.graders import make_grader
from tft.library import Library

inspect_ai = pytest.importorskip("inspect_ai", reason="inspect_ai is not installed; the extra [inspect] brings it")
pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # Its evaluations, which make the logs, use what others have deprecated.
    pytest.mark.filterwarnings("ignore"),
]


def run(folder: Path, name: str, samples: list[Any], said: list[str], solver: Any, scorer: Any, **options: Any) -> Any:
    """Let inspect_ai run an evaluation with a model that says what it is told to."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    outputs = [ModelOutput.from_content("mockllm/model", it) for it in said]
    for output in outputs:
        output.usage = ModelUsage()
    task = inspect_ai.Task(dataset=samples, solver=solver, scorer=scorer, name=name)
    model = get_model("mockllm/model", custom_outputs=outputs)
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(folder), display="none", max_samples=1, **options)
    assert log.status == "success", log.error
    kind = Path(log.location).suffix
    shutil.copy(log.location, folder / f"{name}{kind}")
    return log


def read(folder: Path, name: str) -> Suite:
    return read_suite(*open_suite(Library(folder), name))


SUMS = {"27+58": "85", "3+4": "7", "8+9": "17"}
SAID = ["The answer is 85.", "It is 7, or 8", "seventeen"]


def scorers() -> dict[str, Any]:
    from inspect_ai.scorer import answer, exact, includes, match, pattern

    return {
        "match": match(),
        "numeric": match(numeric=True),
        "anywhere": match(location="any"),
        "includes": includes(),
        "exact": exact(),
        "line": answer("line"),
        "pattern": pattern(r"is (\d+)"),
    }


@pytest.mark.parametrize("name", ["match", "numeric", "anywhere", "includes", "exact", "line", "pattern"])
def test_an_answer_gets_the_verdict_that_it_got_there(tmp_path: Path, name: str) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.solver import generate

    samples = [Sample(input=question, target=target) for question, target in SUMS.items()]
    log = run(tmp_path, name, samples, SAID, [generate()], scorers()[name])
    suite = read(tmp_path, f"{name}.eval")
    assert [(it.question, it.reference) for it in suite.items] == list(SUMS.items())
    assert isinstance(suite.grader, InspectConfig) and suite.chosen.endswith("of inspect_ai, as the log says")
    grader = make_grader(suite.grader)
    for sample, item in zip(log.samples, suite.items, strict=True):
        (score,) = sample.scores.values()
        verdict = grader.grade(item, sample.output.completion)
        assert verdict.passed == (score.value == "C"), sample.output.completion
        assert verdict.grader == "inspect"


def test_questions_are_asked_in_the_words_in_which_they_were_asked(tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageUser
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate, prompt_template, system_message

    samples = [Sample(input="41 + 27", target="68"), Sample(input=[ChatMessageUser(content="3+4")], target="7")]
    solver = [system_message("Be brief."), prompt_template("Solve {prompt}. End with the number."), generate()]
    run(tmp_path, "asked", samples, ["68", "7", "68", "7"], solver, includes(), epochs=2)
    suite = read_suite(*open_suite(Library(tmp_path), "asked.eval"), items, ["add_2"])
    assert [it.question for it in suite.items] == [
        f"Be brief.\n\nSolve {it}. End with the number." for it in ("41 + 27", "3+4")
    ]
    # Lessons are searched for the question itself.
    assert [it.fingerprint for it in suite.items] == [items.fingerprint("27+41"), items.fingerprint("3+4")]
    assert suite.items[0].groups == ("covered", "covered: add_2")


def test_choices_are_asked_with_their_letters(tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import choice
    from inspect_ai.solver import multiple_choice

    samples = [Sample(input="Which is even?", choices=["one", "two"], target=it) for it in ("B", "A")]
    said = ["ANSWER: B", "ANSWER: B"]
    log = run(tmp_path, "choice", samples, said, [multiple_choice()], choice(), log_format="json")
    suite = read(tmp_path, "inspect:choice.json")
    assert suite.grader == GraderConfig(type="exact", marker="ANSWER:")
    grader = make_grader(suite.grader)
    for sample, item in zip(log.samples, suite.items, strict=True):
        for part in ("Which is even?", "A) one", "B) two", "ANSWER: "):
            assert part in item.question
        assert grader.grade(item, "ANSWER: B").passed == (sample.scores["choice"].value == "C")


def test_what_cannot_be_asked_is_counted(tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageAssistant, ChatMessageUser
    from inspect_ai.scorer import includes
    from inspect_ai.solver import generate

    turns = [ChatMessageUser(content="Hi"), ChatMessageAssistant(content="Hi"), ChatMessageUser(content="3+4")]
    samples = [
        Sample(input="8+9", target=["17", "seventeen"]),
        Sample(input=turns, target="7"),
        Sample(input="1+1", target="2"),
    ]
    run(tmp_path, "mixed", samples, ["17", "7", "2"], [generate()], includes())
    suite = read(tmp_path, "mixed.eval")
    assert [it.question for it in suite.items] == ["1+1"]
    assert count(suite.rejections) == {"several_answers": 1, "roles": 1}


def test_a_scorer_that_asks_a_model_is_refused_unless_a_card_names_a_grader(tmp_path: Path) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import model_graded_qa
    from inspect_ai.solver import generate

    run(tmp_path, "graded", [Sample(input="3+4", target="7")], ["7", "GRADE: C"], [generate()], model_graded_qa())
    with pytest.raises(UserError, match="is scored by model_graded_qa; only match, includes") as raised:
        read(tmp_path, "graded.eval")
    assert "such as a rubric" in str(raised.value)
    card = {"exam": "e", "caption": "c", "inspect": "graded.eval", "grader": {"type": "rubric", "rubric": "It is 7."}}
    suite = read_suite(SuiteCard.model_validate(card), tmp_path)
    assert isinstance(suite.grader, RubricConfig) and suite.chosen == "rubric, as the card says"
    (tmp_path / "broken.eval").write_text("nothing")
    with pytest.raises(UserError, match=r"broken\.eval: is no log of inspect_ai"):
        read(tmp_path, "broken.eval")
    with pytest.raises(UserError, match="there is no such log"):
        read(tmp_path, "nowhere.eval")


def test_a_log_is_sat_without_a_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    samples = [Sample(input=question, target=target) for question, target in {**SUMS, "99-12": "0"}.items()]
    run(tmp_path, "sums", samples, ["no"] * 4, [generate()], match())
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["examine", "abacus/novice-a", "--suite", "sums.eval", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["suites"]["sums.eval"]
    assert (found["score"], found["n"], found["grader"]) == (0.75, 4, "inspect")
    assert "Graded by match() of inspect_ai, as the log says." in found["caption"]
