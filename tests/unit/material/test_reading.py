"""From rows to lessons: what the curriculum knows is graded, what it does not know needs a word, and exams stay out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import items
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.making import make_item
from tft.config.cards import GraderConfig, SkillCard
from tft.config.data import MaterialConfig
from tft.errors import PrerequisiteError, UserError
from tft.lessons import CurateRequest, curate
from tft.library import shipped
from tft.material import GradeRequest, HeldOut, Material, Setting, grade_material, read_material
from tft.records import Item, Lesson, Message, Offered

GRADER = GraderConfig(type="numeric", marker="#")
ITEMS = str(shipped() / "curricula" / "arithmetic" / "items.py")
SKILLS = {
    "add_1": SkillCard(title="single digits", role="retention"),
    "add_2": SkillCard(title="two digits"),
    "sub_2": SkillCard(title="two digits"),
}
EXAM = "How would you explain to a small child why the sky is blue?"
HELD = HeldOut(
    [make_item("31+14"), Item("chat", 0, EXAM, None, "chat exam", "suite"), make_item("2+2")],
    {items.fingerprint("31+14"), "chat exam"},
)
SETTING = Setting(items, SKILLS, HELD)


def chat(*turns: str) -> dict[str, Any]:
    return {"messages": [{"role": ("user", "assistant")[place % 2], "content": it} for place, it in enumerate(turns)]}


def work(question: str) -> dict[str, Any]:
    return chat(question, items.work(question))


def read(folder: Path, *rows: Any, **options: Any) -> Material:
    """Read rows, written as JSON lines; text is written as it is."""
    lines = (it if isinstance(it, str) else json.dumps(it) for it in rows)
    (folder / "mine.jsonl").write_text("\n".join(lines))
    found = read_material(MaterialConfig(path="mine.jsonl", **options), "material.0", folder, SETTING)
    assert found is not None
    return found


def grade(found: Material) -> Offered:
    return grade_material(GradeRequest(found.name, found.lessons, found.rejections, ITEMS, GRADER))


def reasons(found: Material | Offered) -> list[str]:
    return [it.reason for it in found.rejections]


def test_a_row_becomes_a_lesson_that_can_be_traced(tmp_path: Path) -> None:
    (lesson,) = grade(read(tmp_path, "", work("27+58"), license="CC0-1.0")).lessons
    assert lesson.kind == "demonstration"
    assert (lesson.item.skill, lesson.item.level, lesson.item.reference) == ("add_2", 2, "85")
    assert (lesson.lineage.source, lesson.lineage.row, lesson.lineage.license) == ("mine.jsonl", 2, "CC0-1.0")
    assert not lesson.lineage.trusted
    (kept,) = curate(CurateRequest((lesson,), GRADER, ())).kept
    assert kept.lineage.filters == ("grader", "decontamination", "duplicates")
    assert [it.passed for it in kept.verdicts] == [True]


def test_every_answer_of_a_conversation_is_learned_and_graded(tmp_path: Path) -> None:
    turns = ("27+58", items.work("27+58"), "52-27", items.work("52-27"))
    (lesson,) = grade(read(tmp_path, chat(*turns))).lessons
    assert lesson.item.skill == "sub_2"
    assert [[it.content for it in example.messages] for example in lesson.examples] == [list(turns), list(turns[:2])]
    assert [it.content for it in lesson.asked] == list(turns[:3])
    assert [it.passed for it in lesson.verdicts] == [True]
    spoiled = grade(read(tmp_path, chat("27+58", "#1", *turns[2:])))
    assert (spoiled.lessons, reasons(spoiled)) == ((), ["wrong"])
    assert spoiled.rejections[0].text.startswith("mine.jsonl, row 1: 27+58 → #1")


def test_pairs_and_verdicts_are_held_against_the_grader(tmp_path: Path) -> None:
    right, wrong = items.work("27+58"), "#84"
    rows = [
        {"prompt": "27+58", "chosen": right, "rejected": wrong},
        {"prompt": "27+59", "chosen": wrong, "rejected": items.work("27+59")},
        {"prompt": "27+57", "chosen": items.work("27+57"), "rejected": "#84"},
        {"prompt": "27+58", "completion": right, "label": True},
        {"prompt": "27+58", "completion": wrong, "label": False},
        {"prompt": "27+58", "completion": wrong, "label": True},
        {"prompt": "27+58", "completion": "#85", "label": False},
    ]
    offered = grade(read(tmp_path, *rows))
    assert [it.kind for it in offered.lessons] == ["preference", "verdict", "verdict"]
    assert reasons(offered) == ["wrong", "both_right", "wrong", "both_right"]
    pair, good, bad = offered.lessons
    assert (pair.answer, pair.rejected) == (right, wrong)
    assert (good.answer, good.rejected) == (right, None)
    assert (bad.answer, bad.rejected, bad.examples) == ("", wrong, ())
    curated = curate(CurateRequest(offered.lessons, GRADER, ()))
    assert len(curated.kept) == 3
    spoiled = (replace(good, answer=wrong), replace(bad, rejected=right))
    assert [it.reason for it in curate(CurateRequest(spoiled, GRADER, ())).rejections] == ["wrong", "both_right"]


def test_what_the_curriculum_does_not_know_needs_a_word(tmp_path: Path) -> None:
    rows = [work("27+58"), chat("Who are you?", "Ada.")]
    assert reasons(read(tmp_path, *rows)) == ["unverified"]
    found = grade(read(tmp_path, *rows, verify="trust", license="MIT"))
    known, trusted = found.lessons
    assert (known.lineage.trusted, known.item.skill) == (False, "add_2")
    assert (trusted.lineage.trusted, trusted.item.skill, trusted.item.reference) == (True, "mine", None)
    kept = curate(CurateRequest(found.lessons, GRADER, ())).kept
    assert [it.lineage.filters[0] for it in kept] == ["grader", "trust"]
    (named,) = read(tmp_path, rows[1], verify="trust", skill="manners").lessons
    assert named.item.skill == "manners"


def test_trust_covers_only_what_nobody_can_check(tmp_path: Path) -> None:
    rows = [
        chat("27+58", "#1"),
        chat("Hi", "Ho", "27+58", "#1"),
        chat("27+58", "#1", "Thanks", "Any time"),
        chat("Hi", "Ho"),
    ]
    found = grade(read(tmp_path, *rows, verify="trust"))
    assert reasons(found) == ["wrong"] * 3
    mixed = read(tmp_path, chat("Hi", "Ho", "27+58", items.work("27+58")), verify="trust")
    (lesson,) = grade(mixed).lessons
    assert (lesson.lineage.trusted, lesson.item.skill) == (True, "add_2")
    # Its last answer can be checked, so it is.
    (kept,) = curate(CurateRequest((lesson,), GRADER, ())).kept
    assert kept.lineage.filters[0] == "grader"


@pytest.mark.parametrize(
    "row",
    [
        work("31+14"),
        work("14 + 31"),
        chat("27+58", items.work("27+58"), "31+14", items.work("31+14")),
        chat(EXAM, "Because it scatters."),
        chat(f"  {EXAM.upper()} ", "Because it scatters."),
        chat(f"Here is what I want to know. {EXAM} Thank you!", "Because it scatters."),
        chat("What may be asked?", f"This, for example: {EXAM}"),
        {"prompt": "Pick one", "chosen": "No.", "rejected": EXAM},
    ],
    ids=[
        "word for word",
        "reworded",
        "in a conversation",
        "text",
        "in capitals",
        "within",
        "in an answer",
        "in a pair",
    ],
)
def test_exam_items_are_not_taught_on_anybodys_word(tmp_path: Path, row: dict[str, Any]) -> None:
    found = read(tmp_path, row, chat("Hi", "Ho"), verify="trust")
    assert reasons(found) == ["leak"]


def test_an_item_that_may_be_taught_is_no_leak() -> None:
    # The facts of a table that is examined whole are held out of nothing.
    assert not HELD.holds("2+2")
    assert HELD.holds("31+14") and not HELD.holds("131+14")


def test_other_skills_long_rows_and_repetitions_are_dropped(tmp_path: Path) -> None:
    rows = [work("27+58"), work("3+4"), work("47*6"), work("52-27"), work("27+58"), chat("27+58", " " * 99 + "#85")]
    found = read(tmp_path, *rows, skill="add_2", longest=60)
    assert len(found.lessons) == 1
    assert reasons(found) == ["off_skill", "off_skill", "off_skill", "duplicate", "too_long"]
    assert found.rejections[0].text == "mine.jsonl, row 2: '3+4' is of add_1, not taught here"


def test_rows_that_cannot_be_read_are_counted_with_their_place(tmp_path: Path) -> None:
    found = read(tmp_path, work("27+58"), "{", "3", {"text": "x"}, chat("27+58"), chat("27+58", ""), {})
    assert reasons(found) == ["not_json", "not_a_row", "no_format", "roles", "empty", "no_format"]
    assert found.rows == 7
    assert found.rejections[0].text.startswith("mine.jsonl, row 2: is not JSON")


def refused(folder: Path, *rows: Any, **options: Any) -> Any:
    with pytest.raises(UserError) as caught:
        read(folder, *rows, **options)
    (problem,) = caught.value.problems
    assert problem.remedy
    return problem


def test_a_file_without_a_good_row_is_refused_with_the_first(tmp_path: Path) -> None:
    problem = refused(tmp_path, "{", {"text": "x"}, {"text": "y"})
    assert (problem.key, problem.value) == ("material.0.path", "mine.jsonl")
    assert "2 no_format, 1 not_json" in problem.message
    assert "mine.jsonl, row 1: is not JSON" in problem.message
    assert refused(tmp_path).message == "holds no rows"
    assert "verify: trust" in refused(tmp_path, chat("Who are you?", "Ada.")).remedy


def test_skills_that_nobody_is_taught_are_refused(tmp_path: Path) -> None:
    typo = refused(tmp_path, work("27+58"), skill="ad_2")
    assert (typo.key, typo.value) == ("material.0.skill", "ad_2")
    assert "did you mean add_2?" in typo.remedy
    assert "role retention" in refused(tmp_path, work("3+4"), skill="add_1", verify="trust").message


def test_material_that_is_nowhere_or_of_no_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TFT_DATA", raising=False)

    def problem(path: str) -> Any:
        with pytest.raises(UserError) as caught:
            read_material(MaterialConfig(path=path), "material.0", tmp_path, SETTING)
        return caught.value.problems[0]

    assert problem("nowhere.jsonl").message == "there is no such file or folder"
    (tmp_path / "empty").mkdir()
    assert problem("empty").message == "the folder holds no file that can be read"
    (tmp_path / "a.txt").write_text("Hi")
    assert problem("a.txt").message == "the file is of no kind that can be read"
    assert problem("\0").message == "there is no such file or folder"


def test_a_folder_is_read_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "b.jsonl").write_text(json.dumps(work("27+58")))
    (tmp_path / "all" / "a.csv").write_text(f"prompt,completion\n52-27,{items.work('52-27')}\n")
    found = read_material(MaterialConfig(path="all"), "material.0", tmp_path, SETTING)
    assert found is not None
    assert [it.lineage.source for it in found.lessons] == ["all/a.csv", "all/b.jsonl"]


def test_the_hub_is_asked_where_no_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked: list[Any] = []

    def load_dataset(*arguments: Any, **options: Any) -> list[dict[str, Any]]:
        asked.append((arguments, options))
        if arguments[0] == "some/silence":
            raise ConnectionError
        return [work("27+58")]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    config = MaterialConfig(path="nowhere.jsonl", hub="some/sums@v1", config="main", split="train[:10]")
    found = read_material(config, "material.0", tmp_path, SETTING)
    assert asked == [(("some/sums", "main"), {"split": "train[:10]", "revision": "v1"})]
    assert found is not None and found.digest
    assert found.lessons[0].lineage.source == "hub:some/sums@v1"
    assert read_material(config, "material.0", tmp_path, SETTING, 500) is None
    with pytest.raises(PrerequisiteError, match=r"material\.0: some/silence could not be read"):
        read_material(MaterialConfig(hub="some/silence"), "material.0", tmp_path, SETTING)


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    first = read(tmp_path, work("27+58")).digest
    assert read(tmp_path, work("27+58")).digest == first
    assert read(tmp_path, work("27+59")).digest != first


def test_columns_may_be_called_otherwise(tmp_path: Path) -> None:
    rows = [{"question": "27+58", "answer": items.work("27+58"), "prompt": 3}, {"answer": "#1"}]
    found = read(tmp_path, *rows, columns={"prompt": "question", "completion": "answer"})
    assert found.lessons[0].answer == items.work("27+58")
    assert reasons(found) == ["no_format"]


def test_names_of_columns_that_no_ledger_can_keep(tmp_path: Path) -> None:
    found = read(tmp_path, work("27+58"), '{"\\ud800": 1}')
    found.rejections[0].text.encode()
    assert reasons(found) == ["no_format"]


TURN = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text(max_size=8) | st.just("27+58")}
)


@given(st.lists(st.lists(TURN, max_size=4) | st.text(max_size=9), max_size=5), st.sampled_from(["grader", "trust"]))
def test_no_rows_raise_but_what_a_user_is_told(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any], verify: str
) -> None:
    try:
        found = grade(read(tmp_path_factory.getbasetemp(), *({"messages": it} for it in rows), verify=verify))
    except UserError as error:
        assert error.problems[0].key == "material.0.path"
    else:
        assert len(found.lessons) + len(found.rejections) == len(rows)
        assert all(isinstance(it, Lesson) and isinstance(it.examples[0].messages[0], Message) for it in found.lessons)
