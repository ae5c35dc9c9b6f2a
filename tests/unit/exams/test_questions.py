from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import items
import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError

from tests.making import demonstration, make_item
from tft.config import CampaignConfig
from tft.config.cards import GraderConfig
from tft.config.suites import SuiteCard
from tft.errors import UserError
from tft.exams import Suite, find_suite, measure_consistency, open_suite, read_suite
from tft.exams.questions import count
from tft.graders import make_grader
from tft.lessons import CurateRequest, curate
from tft.library import Library
from tft.preparation import prepare
from tft.records import Answered, Attempt, Sitting, Verdict

ROWS = [{"question": "Capital of France?", "answer": "Paris"}, {"question": "How many legs has a fly?", "answer": 6}]


def write(folder: Path, rows: list[Any], name: str = "mine.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{it if isinstance(it, str) else json.dumps(it)}\n" for it in rows), encoding="utf-8")
    return path


def read(folder: Path, rows: list[Any], **values: Any) -> Suite:
    write(folder, rows)
    card = {"exam": "mine", "caption": "c", "data": {"path": "mine.jsonl"}, **values}
    return read_suite(SuiteCard.model_validate(card), folder)


def asked(suite: Suite) -> list[tuple[str, str | None]]:
    return [(it.question, it.reference) for it in suite.items]


@pytest.mark.parametrize("name", ["mine.csv", "mine.jsonl", "mine.json", "mine.parquet"])
def test_a_file_is_a_whole_exam_with_nothing_else_to_write(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".csv"):
        path.write_text('Question,ANSWER,note\nCapital of France?,Paris,x\n"How many legs has a fly?",6,\n')
    elif name.endswith(".parquet"):
        parquet.write_table(pa.Table.from_pylist([{**row, "answer": str(row["answer"])} for row in ROWS]), path)
    else:
        path.write_text(json.dumps(ROWS) if name == "mine.json" else "\n".join(map(json.dumps, ROWS)))
    suite = read_suite(*open_suite(Library(tmp_path), name))
    assert asked(suite) == [("Capital of France?", "Paris"), ("How many legs has a fly?", "6")]
    assert suite.name == suite.origin == name and suite.digest and not suite.rejections
    assert {(it.skill, it.groups) for it in suite.items} == {(name, ())}
    assert suite.told("C.") == "C. Graded by exact, because 1 of 2 references are no numbers, the first 'Paris'."


def test_questions_that_ask_the_same_are_known_by_their_column(tmp_path: Path) -> None:
    sums = [{"question": it, "answer": 4, "Same_As": "four"} for it in ("2+2", "2 and 2?")]
    rows = [*sums, {"question": "1+1", "answer": 2}]
    assert [it.same for it in read(tmp_path, rows).items] == ["four", "four", ""]
    named = [{"question": "2+2", "answer": 4, "cluster": 7}]
    assert [it.same for it in read(tmp_path, named, columns={"same": "cluster"}).items] == ["7"]


def answered(same: str, text: str, grader: GraderConfig) -> Answered:
    """Answer one wording of a question whose right answer is 4."""
    item = replace(make_item("2+2"), same=same)
    return Answered(Attempt(item, text, 1), make_grader(grader).grade(item, text))


def test_consistency_is_the_share_that_is_answered_alike_in_all_wordings() -> None:
    grader = GraderConfig(type="numeric", marker="#")
    sat = Sitting("mine", tuple(answered(*it, grader) for it in [
        ("right", "#4"), ("right", "2+2=4 #4.0"),                            # alike, in other words
        ("wrong", "#5"), ("wrong", "so #5"), ("wrong", "1+4 #5.0"),          # wrong in one way
        ("guessed", "#5"), ("guessed", "#6"), ("guessed", "#7"),             # wrong in three
        ("unsure", "#4"), ("unsure", "#5"),
        ("silent", "four"), ("silent", "FOUR "),                             # nothing was graded: all of it counts
        ("alone", "#4"), ("", "#5"),
    ]))  # fmt: skip
    found = measure_consistency(sat)
    assert (found["score"], found["n"], found["right_in_all"]) == (3 / 5, 5, 1 / 5)
    assert found["low"] < found["score"] < found["high"]
    assert measure_consistency(None) == measure_consistency(Sitting("mine", (answered("alone", "#4", grader),))) == {}


def test_what_is_graded_by_its_text_is_compared_by_its_text() -> None:
    exact = GraderConfig(type="exact", marker="#")
    sat = [answered(*it, exact) for it in (("a", "x # two"), ("a", "y # Two "), ("b", "# two"), ("b", "# too"))]
    assert measure_consistency(Sitting("mine", tuple(sat)))["score"] == 1 / 2


def test_right_answers_of_many_words_are_alike() -> None:
    item = replace(make_item("2+2"), same="a")
    polite = [
        Answered(Attempt(item, text, 1), Verdict(1.0, "is polite", "rubric")) for text in ("Four, sir.", "It is 4.")
    ]
    rude = [replace(it, verdict=Verdict(0.0, "is rude", "rubric")) for it in polite]
    found = measure_consistency(Sitting("mine", tuple(polite)))
    assert (found["score"], found["right_in_all"]) == (1.0, 1.0)
    assert measure_consistency(Sitting("mine", tuple(rude)))["score"] == 0.0


def test_numbers_alone_are_graded_as_numbers_unless_a_card_says_otherwise(tmp_path: Path) -> None:
    rows = [{"prompt": "2+2", "target": 4}, {"prompt": "1/2", "target": 0.5}, {"prompt": "1-1", "target": 0}]
    suite = read(tmp_path, rows)
    assert [it.reference for it in suite.items] == ["4", "0.5", "0"]
    assert suite.grader == GraderConfig(type="numeric")
    assert suite.chosen == "numeric, because all 3 references are numbers"
    named = read(tmp_path, rows, grader="exact")
    assert (named.grader, named.chosen) == (GraderConfig(type="exact"), "")


def test_a_card_names_columns_that_are_called_otherwise(tmp_path: Path) -> None:
    rows = [{"frage": "a?", "antwort": "b", "art": "kurz"}, {"frage": "c?", "antwort": "d", "art": None}]
    suite = read(tmp_path, rows, columns={"question": "frage", "reference": "antwort", "group": "art"})
    assert asked(suite) == [("a?", "b"), ("c?", "d")]
    assert [it.groups for it in suite.items] == [("kurz",), ()]


def test_columns_nobody_knows_are_told_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        read(tmp_path, [{"frage": "a?", "antwort": "b"}], columns={"group": "sort"})
    problems = {it.key: it for it in raised.value.problems}
    assert set(problems) == {"columns.question", "columns.reference", "columns.group"}
    said = problems["columns.question"]
    assert said.file == "mine.jsonl" and "has the columns frage, antwort" in said.message
    assert said.remedy is not None and "columns: {question: …}" in said.remedy
    assert problems["columns.group"].value == "sort"


def test_the_input_of_an_instruction_belongs_to_the_question(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Add.", "input": "2 and 3", "output": "5"},
        {"instruction": "Hi", "input": "", "output": "1"},
    ]
    assert [it.question for it in read(tmp_path, rows).items] == ["Add.\n\n2 and 3", "Hi"]


def test_rows_that_cannot_be_asked_are_counted_and_the_first_is_shown(tmp_path: Path) -> None:
    bad = [
        {"question": " ", "answer": "b"},
        "{broken",
        {"question": "c?", "answer": None},
        {"question": ["d?"], "answer": "b"},
        {"question": "e?", "answer": {"text": "b"}},
        {"question": "f?", "answer": math.nan},
        '{"question": "\\ud800", "answer": "b"}',
        ROWS[0],
    ]
    suite = read(tmp_path, [*ROWS, *bad])
    assert len(suite.items) == 2
    assert count(suite.rejections) == {"wrong_type": 3, "empty": 2, "not_json": 1, "not_text": 1, "duplicate": 1}
    told = "8 rows were left out (3 wrong_type, 2 empty, 1 not_json, 1 not_text, 1 duplicate)"
    assert f"{told}; the first: mine.jsonl, row 3: question is empty." in suite.told("c")


@pytest.mark.parametrize(("rows", "message"), [
    ([], "holds no rows"),
    (["{", "[1]"], r"no row that can be asked \(1 not_json, 1 not_a_row\); the first: mine.jsonl, row 1: is not JSON"),
    ([{"question": "", "answer": ""}], r"\(1 empty\); the first: mine.jsonl, row 1: question is empty"),
])  # fmt: skip
def test_a_file_without_a_good_row_is_an_error(tmp_path: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path, rows)


def test_own_questions_stand_as_they_are_and_say_what_is_covered(tmp_path: Path) -> None:
    rows = [{"question": "27 + 58", "answer": 85}, {"question": "What is 2 and 2?", "answer": 4, "category": "words"}]
    card, folder = open_suite(Library(tmp_path), str(write(tmp_path, rows)))
    first, second = read_suite(card, folder, items, ["add_2"]).items
    assert (first.question, first.groups) == ("27 + 58", ("covered", "covered: add_2"))
    assert first.fingerprint == items.fingerprint("58+27")
    assert second.groups == ("uncovered", "words")
    # Where nothing is covered there is nothing to tell apart.
    assert {it.groups for it in read_suite(card, folder, items, ["sub_2"]).items} == {(), ("words",)}


def test_a_file_that_is_nowhere_says_where_it_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError) as raised:
        find_suite(Library(tmp_path), "nowhere.csv", key="exams.whole.0")
    (problem,) = raised.value.problems
    assert (problem.key, problem.value) == ("exams.whole.0", "nowhere.csv")
    assert problem.remedy is not None and "$TFT_DATA" in problem.remedy


def test_a_card_takes_items_from_one_place() -> None:
    card = {"exam": "e", "caption": "c", "data": {"path": "p"}, "columns": {}}
    extract = {"field": "f", "pattern": "(?P<question>.)(?P<reference>.)"}
    with pytest.raises(ValidationError, match="stands beside extract"):
        SuiteCard.model_validate({**card, "extract": extract})
    with pytest.raises(ValidationError, match="says nowhere to read from"):
        SuiteCard.model_validate({**card, "data": {}})


@pytest.mark.parametrize(("names", "message"), [
    (["final"], r"exams\.whole\.0: is called final, as is a sitting of every campaign"),
    (["add_1"], r"exams\.whole\.0: is called add_1, as is a skill of this campaign"),
    (["mine", "mine"], r"exams\.whole\.1: is called mine, as is the whole exam card-0"),
])  # fmt: skip
def test_a_campaign_refuses_an_exam_that_is_called_like_something_else(
    tmp_path: Path, names: list[str], message: str
) -> None:
    write(tmp_path, ROWS)
    (tmp_path / "evals").mkdir()
    for place, name in enumerate(names):
        card = {"exam": name, "caption": "c", "data": {"path": str(tmp_path / "mine.jsonl")}}
        (tmp_path / "evals" / f"card-{place}.yaml").write_text(json.dumps(card))
    config = CampaignConfig.model_validate({
        "campaign": "mine", "tutor": "abacus", "students": [{"id": "ada", "model": "abacus/novice-a"}],
        "curriculum": "arithmetic", "skills": ["add_1", "add_2"],
        "exams": {"whole": [f"card-{place}" for place in range(len(names))], "probe": 8, "check": 8, "final": 8},
    })  # fmt: skip
    with pytest.raises(UserError, match=message):
        prepare(config, Library(tmp_path), tmp_path / "run")


def test_a_lesson_out_of_the_exam_is_a_leak(tmp_path: Path) -> None:
    word = "How many apples are there in a box of three rows of four?"
    write(tmp_path, [{"question": "41 + 27", "answer": 68}, {"question": word, "answer": 12}])
    rows = [{"prompt": it, "completion": "#12"} for it in (f"{word} ", "Tell me about apples.")]
    write(tmp_path, rows, "lessons.jsonl")
    config = CampaignConfig.model_validate({
        "campaign": "mine", "tutor": "abacus", "students": [{"id": "ada", "model": "abacus/novice-a"}],
        "curriculum": "arithmetic", "skills": ["add_1", "add_2"],
        "exams": {"whole": ["mine.jsonl"], "probe": 8, "check": 8, "final": 8},
        "material": [{"path": "lessons.jsonl", "verify": "trust"}],
    })  # fmt: skip
    prepared = prepare(config, Library(tmp_path), tmp_path / "run")
    held_out = prepared.held_out()
    assert items.fingerprint("27+41") in held_out
    found = curate(CurateRequest((demonstration("27+41"),), GraderConfig(type="numeric", marker="#"), held_out))
    assert [it.reason for it in found.rejections] == ["leak"]
    (material,) = prepared.material
    assert [it.reason for it in material.rejections] == ["leak"] and len(material.lessons) == 1
    assert prepared.contents["exams.whole.mine.jsonl"] == prepared.suites[0][1].digest
