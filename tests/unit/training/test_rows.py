from __future__ import annotations

import random
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.learning import preferences
from tests.making import demonstration
from tft.engines.encoding import PromptEncoder
from tft.errors import StageError
from tft.records import Example, Message
from tft.training.rows import (
    IGNORED,
    Row,
    batches,
    batches_of,
    collate,
    count_learned,
    encode,
    encode_answers,
    encode_pair,
    encode_verdicts,
    refuse_template,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CPU = torch.device("cpu")


def test_the_question_is_read_and_the_answer_is_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    (row,) = encode([demonstration("7+5")], tokenizer)
    assert tokenizer.decode(row.tokens[: row.start]) == "Q7+5\nA"
    assert tokenizer.decode(row.tokens[row.start :]) == "7+5=12 #12</s>"
    assert row.skill == "add_1"


def test_every_example_of_a_lesson_is_a_row(tokenizer: PreTrainedTokenizerBase) -> None:
    lesson = demonstration("7+5")
    turns = (Message("user", "7+5"), Message("assistant", "#11"), Message("user", "again"), Message("assistant", "#12"))
    rows = encode([replace(lesson, examples=(*lesson.examples, Example(turns))), lesson], tokenizer)
    assert len(rows) == 3
    # Of a longer conversation only the last answer is learned.
    assert tokenizer.decode(rows[1].tokens[rows[1].start :]) == "#12</s>"


def test_of_an_answer_nothing_else_is_learned(tokenizer: PreTrainedTokenizerBase) -> None:
    lesson = demonstration("7+5")
    turns = (Message("user", "7+5"), Message("assistant", "#11"), Message("user", "again"), Message("assistant", "#12"))
    (row,) = encode_answers([replace(lesson, examples=(Example(turns),))], tokenizer)
    assert [row] == encode([lesson], tokenizer)
    assert count_learned([row, row]) == 2 * row.learned == 2 * len("7+5=12 #12") + 2


def test_of_a_pair_the_better_answer_comes_first(tokenizer: PreTrainedTokenizerBase) -> None:
    (lesson,) = preferences(1)
    chosen, rejected = encode_pair(lesson, tokenizer)
    assert tokenizer.decode(chosen.tokens[chosen.start :]) == f"{lesson.answer}</s>"
    assert tokenizer.decode(rejected.tokens[rejected.start :]) == f"{lesson.rejected}</s>"
    assert chosen.tokens[: chosen.start] == rejected.tokens[: rejected.start]
    (prompt,) = PromptEncoder(tokenizer, {})([(Message("user", lesson.item.question),)])
    assert chosen.tokens[: chosen.start] == tuple(prompt)


def test_a_verdict_has_one_answer_and_says_whether_it_is_right(tokenizer: PreTrainedTokenizerBase) -> None:
    (pair,) = preferences(1)
    right = replace(pair, kind="verdict", rejected=None)
    wrong = replace(pair, kind="verdict", answer="")
    (chosen, rejected), empty = encode_pair(pair, tokenizer), replace(pair, rejected="")
    assert encode_verdicts(right, tokenizer) == [(chosen, True)]
    assert encode_verdicts(wrong, tokenizer) == [(rejected, False)]
    # A student may have written nothing.
    assert [good for _, good in encode_verdicts(empty, tokenizer)] == [True, False]


def test_a_pair_is_asked_with_the_whole_conversation(tokenizer: PreTrainedTokenizerBase) -> None:
    (lesson,) = preferences(1)
    asked = (Message("user", "7+5"), Message("assistant", "#12"), Message("user", lesson.item.question))
    chosen, rejected = encode_pair(replace(lesson, asked=asked), tokenizer)
    turns = [{"role": it.role, "content": it.content} for it in asked]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    for row, answer in ((chosen, lesson.answer), (rejected, lesson.rejected)):
        assert tokenizer.decode(row.tokens[: row.start]) == prompt
        assert tokenizer.decode(row.tokens[row.start :]) == f"{answer}</s>"


def test_tokens_are_those_that_the_engine_asks_with(tokenizer: PreTrainedTokenizerBase) -> None:
    (row,) = encode([demonstration("27+58")], tokenizer)
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "27+58"}], add_generation_prompt=True,
                                          tokenize=False)  # fmt: skip
    assert list(row.tokens[: row.start]) == tokenizer(asked, add_special_tokens=False)["input_ids"]


def test_a_template_that_refuses_a_turn_says_what_to_do(tokenizer: PreTrainedTokenizerBase) -> None:
    refusing = deepcopy(tokenizer)
    refusing.chat_template = "{{ raise_exception('no system here') if messages[0]['role'] == 'system' }}"
    turns = (Message("system", "Be brief."), Message("user", "7+5"), Message("assistant", "#12"))
    with pytest.raises(StageError, match="cannot write system → user → assistant: no system here"):
        encode([replace(demonstration("7+5"), examples=(Example(turns),))], refusing)


def test_a_template_that_ends_questions_in_another_way_is_refused(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "{% for it in messages %}{{ it['content'] }}{% endfor %}{% if add_generation_prompt %}?{% endif %}"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    with pytest.raises(StageError, match=r"students\.chat_template"):
        encode([demonstration("7+5")], tokenizer)


@pytest.fixture
def chatty(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """Give a tokenizer whose template writes a new line after the end of a turn, as ChatML does."""
    other = deepcopy(tokenizer)
    other.chat_template = (
        "{% for it in messages %}{{ 'QA'[loop.index0 % 2] }}{{ it['content'] }}{{ eos_token }}\n{% endfor %}"
        "{% if add_generation_prompt %}A{% endif %}"
    )
    return other


def test_a_row_ends_with_the_token_that_ends_the_answer(chatty: PreTrainedTokenizerBase) -> None:
    lesson, (pair,) = demonstration("7+5"), preferences(1)
    turns = (Message("user", "7+5"), Message("assistant", "#11"), Message("user", "7+5"), Message("assistant", "#12"))
    learned = [
        *encode([lesson], chatty), *encode_answers([lesson], chatty), *encode_pair(pair, chatty),
        *encode([replace(lesson, examples=(Example(turns),))], chatty),
    ]  # fmt: skip
    assert [chatty.decode(row.tokens[row.start :]) for row in learned] == [
        "7+5=12 #12</s>", "7+5=12 #12</s>", f"{pair.answer}</s>", f"{pair.rejected}</s>", "#12</s>",
    ]  # fmt: skip
    # What stands before the answer is whole.
    assert chatty.decode(learned[-1].tokens[: learned[-1].start]) == "Q7+5</s>\nA#11</s>\nQ7+5</s>\nA"
    (cut, _), _ = encode_verdicts(replace(pair, cut_off=(pair.answer,)), chatty)
    assert chatty.decode(cut.tokens[cut.start :]) == pair.answer
    shown = (Example.of(pair.item.question, pair.answer),)
    (again,) = encode([replace(pair, kind="replay", examples=shown, cut_off=(pair.answer,))], chatty)
    assert again.tokens == cut.tokens


def test_a_template_that_ends_no_answer_is_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    endless = deepcopy(tokenizer)
    endless.chat_template = "{% for it in messages %}{{ it['content'] }}\n{% endfor %}"
    with pytest.raises(StageError, match=r"never learn to stop.*students\.chat_template"):
        refuse_template(endless)
    # A token that only looks like one.
    endless.chat_template = "{% for it in messages %}{{ it['content'] }}#e#\n{% endfor %}"
    with pytest.raises(StageError, match="never learn to stop"):
        encode([demonstration("7+5")], endless)


rows = st.lists(st.builds(lambda length: Row(tuple(range(length)), 1, "s"), st.integers(2, 40)), max_size=60)


@given(rows, st.integers(1, 9), st.integers())
def test_every_row_is_in_one_batch(made: list[Row], size: int, seed: int) -> None:
    cut = batches(made, size, random.Random(seed))
    assert sorted(len(row.tokens) for batch in cut for row in batch) == sorted(len(row.tokens) for row in made)
    assert all(0 < len(batch) <= size for batch in cut)
    assert len(cut) == -(-len(made) // size)


def test_batches_are_of_like_length_and_no_two_epochs_alike() -> None:
    made = [Row(tuple(range(2 + number % 32)), 1, str(number)) for number in range(256)]
    rng = random.Random(1)
    first, second = batches(made, 8, rng), batches(made, 8, rng)
    assert first != second
    assert first == batches(made, 8, random.Random(1))
    padding = sum(max(len(row.tokens) for row in batch) * 8 - sum(len(row.tokens) for row in batch) for batch in first)
    assert padding < 0.2 * sum(len(row.tokens) for row in made)


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 9), st.integers())
def test_pairs_are_cut_like_rows(lengths: list[int], size: int, seed: int) -> None:
    pairs = [(number, length) for number, length in enumerate(lengths)]
    cut = batches_of(pairs, size, random.Random(seed), lambda it: it[1])
    assert sorted(member for batch in cut for member in batch) == pairs
    assert all(0 < len(batch) <= size for batch in cut)


def test_a_batch_is_padded_on_the_right_and_padding_carries_no_loss() -> None:
    batch = collate([Row((5, 6, 7), 1, "s"), Row((8, 9), 1, "s")], 0, CPU)
    assert batch["input_ids"].tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7], [IGNORED, 9, IGNORED]]


@given(rows.filter(bool))
def test_labels_are_the_tokens_that_are_learned(made: list[Row]) -> None:
    batch = collate(made, 0, CPU)
    learned = batch["labels"] != IGNORED
    assert learned.sum() == sum(len(row.tokens) - row.start for row in made)
    assert (batch["labels"][learned] == batch["input_ids"][learned]).all()
    assert (batch["attention_mask"].sum(1) == torch.tensor([len(row.tokens) for row in made])).all()
