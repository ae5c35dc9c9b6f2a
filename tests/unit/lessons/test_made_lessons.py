"""What the tutor says badly never becomes a lesson: an engine that says on purpose what a model may say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.making import make_item
from tft.config import TutorCard, read_config
from tft.config.campaign import TransformersEngineConfig
from tft.errors import BudgetError
from tft.lessons import CritiqueRequest, DemonstrationRequest, criticise, demonstrate
from tft.library import read_tutor, shipped
from tft.ports import Generation, Sampling, Scores
from tft.records import Answered, Attempt, Message, Usage, Verdict
from tft.tutor import NO_LIMIT, Allowance, AnswerCache, Tutor, TutorRef
from tft.tutor.forms import read_answer

CARD = shipped() / "tutors" / "abacus" / "tutor.yaml"
REF = TutorRef(str(CARD), "nowhere", "scripted", TransformersEngineConfig(), "nowhere")


class Scripted:
    """An engine that gives the answers it was told to, one call after the other."""

    fingerprint = "scripted"
    context = None

    def __init__(self, *calls: list[str]) -> None:
        self.calls = list(calls)
        self.asked: list[list[str]] = []

    def count(self, prompts: Sequence[Sequence[Message]]) -> list[int]:
        return [sum(len(message.content) for message in messages) for messages in prompts]

    def generate(self, prompts: Sequence[Sequence[Message]], sampling: Sampling) -> list[Generation]:
        self.asked.append([prompt[-1].content for prompt in prompts])
        texts = self.calls.pop(0)
        assert len(texts) == len(prompts)
        return [Generation(text, 9, len(text), len(text) < sampling.max_tokens, -0.1) for text in texts]

    def score(self, prompts: Sequence[Sequence[Message]], completions: Sequence[str]) -> list[Scores]:
        raise AssertionError(f"nobody asked for scores of {completions} after {prompts}")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """Give an engine that stands behind every tutor that is opened."""
    engine = Scripted()
    cache = AnswerCache(tmp_path)
    tutor = Tutor(read_config(TutorCard, CARD), [CARD.parent], engine, cache)
    for module in ("demonstrations", "critiques"):
        monkeypatch.setattr(f"tft.lessons.{module}.open_tutor", lambda _: tutor)
    yield engine
    cache.close()


def request(size: int, *, held_out: tuple[str, ...] = (), allowance: Allowance = NO_LIMIT) -> DemonstrationRequest:
    items_path = str(shipped() / "curricula" / "arithmetic" / "items.py")
    return DemonstrationRequest(REF, items_path, "add_2", "adding", 2, "#", 0, size, ("11+22",), held_out, 7, allowance)


def test_only_new_items_of_the_skill_are_worked(script: Scripted) -> None:
    script.calls = [
        ["27+58", "not an item", "5+6", "52-27", "58+41", "11+22", "27+58", "9" * 50],
        ["7+8=15 2+5+1=8 #85"],
    ]
    offered = demonstrate(request(8, held_out=("58+41",)))
    assert [lesson.item.question for lesson in offered.lessons] == ["27+58"]
    assert script.asked[1] == ["27+58"]
    reasons = Counter(rejection.reason for rejection in offered.rejections)
    assert reasons == {"unreadable": 1, "cut_off": 1, "off_skill": 2, "leak": 1, "duplicate": 2}
    lesson = offered.lessons[0]
    assert lesson.lineage.source == "abacus"
    assert set(lesson.lineage.prompts) == {"author", "demonstrator"}
    assert len(lesson.lineage.calls) == 2


def test_items_that_are_drawn_are_new_and_cost_their_answers_only(script: Scripted) -> None:
    script.calls = [["7+8=15 2+5+1=8 #85"] * 8]
    offered = demonstrate(replace(request(8, held_out=("58+41",)), drawn=True))
    (asked,) = script.asked
    assert len(asked) == 8
    assert "11+22" not in asked
    assert [lesson.item.question for lesson in offered.lessons] == asked
    assert {(it.item.source, it.item.skill, *it.lineage.prompts) for it in offered.lessons} == {
        ("curriculum", "add_2", "demonstrator")
    }
    assert offered.usage.requests == 8


def test_work_that_cannot_be_read_is_refused_with_its_text(script: Scripted) -> None:
    script.calls = [["27+58", "31+40"], ["85, I think", "7" * 200]]
    offered = demonstrate(request(2))
    assert offered.lessons == ()
    assert [(it.kind, it.reason) for it in offered.rejections] == [
        ("demonstration", "unreadable"), ("demonstration", "cut_off"),
    ]  # fmt: skip
    assert "27+58 → 85, I think" in offered.rejections[0].text


def test_a_batch_that_might_cost_too_much_is_not_asked(script: Scripted) -> None:
    with pytest.raises(BudgetError, match="are left"):
        demonstrate(request(4, allowance=Allowance(10)))
    assert script.asked == []


def test_a_batch_is_cut_to_what_can_be_paid_for(script: Scripted) -> None:
    whole = replace(request(32), drawn=True)
    with pytest.raises(BudgetError, match="32 requests are to be made, 15 are left"):
        demonstrate(replace(whole, allowance=Allowance(requests=15)))
    assert script.asked == []
    script.calls = [["7+8=15 2+5+1=8 #85"] * 16, ["7+8=15 2+5+1=8 #85"] * 32]
    cut = demonstrate(replace(whole, allowance=Allowance(requests=16)))
    assert (len(cut.lessons), cut.usage.requests, cut.cut) == (16, 16, True)
    assert not demonstrate(replace(whole, allowance=Allowance(requests=32))).cut
    assert [lesson.item.question for lesson in cut.lessons] == script.asked[0] == script.asked[1][:16]


@pytest.mark.parametrize(("size", "left", "written", "worked"), [(32, 40, 20, 20), (12, 20, 12, 8)])
def test_half_of_what_is_left_is_kept_for_answers(
    size: int, left: int, written: int, worked: int, script: Scripted
) -> None:
    script.calls = [[f"{number}+58" for number in range(20, 20 + written)], ["7+8=15 2+5+1=8 #85"] * worked]
    offered = demonstrate(request(size, allowance=Allowance(requests=left)))
    assert [len(asked) for asked in script.asked] == [written, worked]
    assert (len(offered.lessons), offered.usage.requests, offered.cut) == (worked, written + worked, True)


def wrong(question: str, text: str, *, finished: bool = True) -> Answered:
    return Answered(Attempt(make_item(question), text, len(text), 0.5, finished), Verdict(0.0, "differs", "numeric"))


def test_critiques_go_as_far_as_can_be_paid_for(script: Scripted) -> None:
    answered = tuple(wrong(f"{number}+58", "7+8=15 2+5=7 #75") for number in (25, 26, 27))
    script.calls = [["step 2 carry: 7+8=15 2+5+1=8 #85"] * 2]
    offered = criticise(CritiqueRequest(REF, answered, 60, "#", Allowance(requests=2)))
    assert [it.item.question for it in offered.lessons] == ["25+58", "26+58"]
    with pytest.raises(BudgetError, match="0 are left"):
        criticise(CritiqueRequest(REF, answered, 60, "#", Allowance(requests=0)))


def test_a_critique_teaches_the_better_answer_and_how_to_find_the_mistake(script: Scripted) -> None:
    script.calls = [["step 2 carry: 7+8=15 2+5+1=8 #85"]]
    offered = criticise(CritiqueRequest(REF, (wrong("27+58", "7+8=15 2+5=7 #75"),), 60, "#", NO_LIMIT))
    lesson = offered.lessons[0]
    assert (lesson.attempt, lesson.critique, lesson.answer) == (
        "7+8=15 2+5=7 #75", "step 2 carry", "7+8=15 2+5+1=8 #85",
    )  # fmt: skip
    direct, review = ([message.content for message in example.messages] for example in lesson.examples)
    assert direct == ["27+58", "7+8=15 2+5+1=8 #85"]
    assert review == ["check 27+58: 7+8=15 2+5=7 #75", "step 2 carry: 7+8=15 2+5+1=8 #85"]


def test_attempts_nobody_can_read_and_critiques_without_form_are_refused(script: Scripted) -> None:
    script.calls = [["you forgot the carry"]]
    attempts = (
        wrong("27+58", "7+8=15 #75"),
        wrong("27+58", ""),
        wrong("27+58", "7+" * 40),
        wrong("27+58", "7+8=15", finished=False),
    )
    offered = criticise(CritiqueRequest(REF, attempts, 60, "#", NO_LIMIT))
    assert offered.lessons == ()
    assert Counter(it.reason for it in offered.rejections) == {"attempt_unreadable": 3, "unreadable": 1}
    assert script.asked == [["check 27+58: 7+8=15 #75"]]


def test_a_right_attempt_is_confirmed_and_no_tutor_is_asked(script: Scripted) -> None:
    script.calls = [[]]
    right = Answered(wrong("27+58", "7+8=15 2+5+1=8 #85").attempt, Verdict(1.0, "equals the reference", "numeric"))
    offered = criticise(CritiqueRequest(REF, (right,), 60, "#", NO_LIMIT))
    (lesson,) = offered.lessons
    assert (lesson.kind, lesson.answer, lesson.lineage.source) == ("confirmation", "7+8=15 2+5+1=8 #85", "student")
    (example,) = lesson.examples
    assert [it.content for it in example.messages] == ["check 27+58: 7+8=15 2+5+1=8 #85", "right"]
    assert offered.usage == Usage()
    # It has not the form of a critique, so the first answer stands.
    critic = read_tutor(Path(REF.card_path))[0].roles["critic"]
    assert read_answer(critic, Generation("right", 1, 6, True, None)).fields is None
