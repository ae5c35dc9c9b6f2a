"""A student with switches of its chat template is written the same way wherever it is written."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.learning import preferences
from tests.making import demonstration
from tests.thinking import NOTHING, QUIET, TEMPLATE, build_thinker
from tft.config.adapters import LoraAdapter
from tft.config.training import TrainingConfig
from tft.engines.encoding import PLAIN
from tft.library import fingerprint_model
from tft.records import Example, Message
from tft.student import StudentRef
from tft.student.adapting import write_down
from tft.student.models import adapt, ask, load_base, open_student
from tft.student.reading import encode_answered, encode_questions
from tft.student.template import set_switches, with_switches
from tft.training import TrainRequest
from tft.training.classroom import may_sit_together
from tft.training.learner import Learner
from tft.training.rows import Row, encode, encode_answers, encode_verdicts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tft.config.adapters import AnyAdapter

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = f"Q7+5\nA{NOTHING}"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory, ada: StudentRef, novice: Path) -> StudentRef:
    folder = build_thinker(tmp_path_factory.mktemp("thinker") / "model", novice)
    return replace(ada, base_path=str(folder), base=fingerprint_model(str(folder)))


@pytest.fixture(scope="module")
def quiet(thinker: StudentRef) -> StudentRef:
    return with_switches(thinker, QUIET)


@pytest.fixture(scope="module")
def written(quiet: StudentRef) -> PreTrainedTokenizerBase:
    return load_base(quiet)[1]


def asked(row: Row, tokenizer: PreTrainedTokenizerBase) -> str:
    return str(tokenizer.decode(row.tokens[: row.start]))


@given(values, values)
def test_switches_reach_the_template_as_they_are(tokenizer: PreTrainedTokenizerBase, one: Any, other: Any) -> None:
    template = set_switches("\n{{ [one, other] | tojson }}", {"one": one, "other": other})
    said = tokenizer.apply_chat_template([{"role": "user", "content": "1"}], chat_template=template, tokenize=False)
    # A line break of the template's own stays.
    assert said.startswith("\n")
    assert json.loads(said) == [one, other]


def test_who_has_no_switches_stays_as_it_is(thinker: StudentRef) -> None:
    assert with_switches(thinker, {}) is thinker
    assert with_switches(replace(thinker, chat_template="plain"), {}).chat_template == "plain"


def test_another_template_has_switches_too(thinker: StudentRef) -> None:
    named = with_switches(replace(thinker, chat_template="{{ 'aloud' if loud }}"), {"loud": True})
    assert named.chat_template == "{% set loud = True %}\n{{ 'aloud' if loud }}"
    assert (with_switches(replace(thinker, chat_template="plain"), {"loud": True}).chat_template or "").endswith(PLAIN)


def test_what_is_learned_follows_what_is_asked_token_by_token(
    quiet: StudentRef, written: PreTrainedTokenizerBase
) -> None:
    lesson, (pair,) = demonstration("7+5"), preferences(1)
    (prompt,) = open_student(quiet).encode([ask("7+5")])
    assert written.decode(prompt) == ASKED
    (row,), (alone,) = encode([lesson], written), encode_answers([lesson], written)
    assert row == alone
    assert list(row.tokens[: row.start]) == prompt == encode_questions(["7+5"], written)[0]
    assert written.decode(row.tokens[row.start :]) == "7+5=12 #12</s>"
    (prompt,) = open_student(quiet).encode([ask(pair.item.question)])
    for answer, _ in encode_verdicts(pair, written):
        assert list(answer.tokens[: answer.start]) == prompt
    whole, cut = encode_answered([ask("7+5")] * 2, ["#12"] * 2, [True, False], written)
    assert written.decode(whole) == f"{ASKED}#12</s>" and written.decode(cut) == f"{ASKED}#12"


def test_of_a_longer_conversation_the_last_answer_follows_no_thoughts(written: PreTrainedTokenizerBase) -> None:
    turns = (Message("user", "7+5"), Message("assistant", "#11"), Message("user", "again"), Message("assistant", "#12"))
    (row,) = encode([replace(demonstration("7+5"), examples=(Example(turns),))], written)
    assert asked(row, written) == f"Q7+5\nA#11</s>Qagain\nA{NOTHING}"
    assert written.decode(row.tokens[row.start :]) == "#12</s>"


def test_a_student_that_learns_is_asked_as_one_that_answers(quiet: StudentRef, thinker: StudentRef) -> None:
    learner = Learner(*adapt(quiet, 1))
    assert learner.write_questions(["7+5"]) == open_student(quiet).encode([ask("7+5")])
    aloud = Learner(*adapt(thinker, 1))
    assert aloud.tokenizer.decode(aloud.write_questions(["7+5"])[0]) == "Q7+5\nA"


@pytest.mark.parametrize("adapter", [None, LoraAdapter(r=4)], ids=["full", "lora"])
def test_a_checkpoint_holds_its_switches_once(adapter: AnyAdapter | None, quiet: StudentRef, tmp_path: Path) -> None:
    student = replace(quiet, adapter=adapter or quiet.adapter)
    write_down(*adapt(student, 1), student.adapter, tmp_path)
    text = (tmp_path / "chat_template.jinja").read_text(encoding="utf-8")
    assert text == quiet.chat_template == "{% set enable_thinking = False %}\n" + TEMPLATE


def test_who_asks_otherwise_asks_the_same(written: PreTrainedTokenizerBase) -> None:
    turns = [{"role": "user", "content": "7+5"}]
    for switches in ({}, {"enable_thinking": True}, QUIET):
        assert written.apply_chat_template(turns, add_generation_prompt=True, tokenize=False, **switches) == ASKED


def test_who_is_asked_otherwise_is_trained_alone(quiet: StudentRef, thinker: StudentRef) -> None:
    one, other, third = (
        TrainRequest(replace(it, adapter=LoraAdapter(r=4)), (), TrainingConfig(), None, 1.0, 0, "")
        for it in (quiet, thinker, replace(quiet, id="blaise"))
    )
    assert may_sit_together(one, third) and not may_sit_together(one, other)
