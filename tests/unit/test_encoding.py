"""Conversations as tokens: the model's own template, its switches, and nothing remembered that is not the same."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
from transformers import T5Tokenizer

from tests.learning import spell_bytes
from tft.engines import encoding
from tft.engines.encoding import PLAIN, PromptEncoder, name_template, row_seeds, template_around
from tft.ports import Sampling
from tft.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ASKED = (Message("user", "3+4"),)


def test_conversations_are_written_with_the_template_whether_new_or_known(tokenizer: PreTrainedTokenizerBase) -> None:
    encode = PromptEncoder(tokenizer, {})
    expected = tokenizer("Q3+4\nA", add_special_tokens=False)["input_ids"]
    longer = (*ASKED, Message("assistant", "7"), Message("user", "again"))
    assert encode([ASKED]) == [expected]
    first, second, third = encode([list(ASKED), longer, ASKED])
    assert first == third == expected
    assert tokenizer.decode(second) == "Q3+4\nA7</s>Qagain\nA"
    # What is given away is nobody else's.
    first.clear()
    assert encode([ASKED]) == [expected]
    assert encode([]) == []


def test_no_more_than_a_few_thousand_are_remembered(
    tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_REMEMBERED", 8)
    encode = PromptEncoder(tokenizer, {})
    for number in range(40):
        (found,) = encode([(Message("user", str(number)),)])
        assert tokenizer.decode(found) == f"Q{number}\nA"
        assert len(encode._known) <= 9


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (
            "{% for it in messages %}<turn>{{ it.role }}\n{{ it.content }}<end_of_turn>\n{% endfor %}<turn>",
            "<end_of_turn>",
        ),
        ("{% for it in messages %}<turn>{{ it.content }}{{ eos_token }}{% endfor %}", "</s>"),
        (PLAIN, "</s>"),
        # What is written after the last answer is another token than between turns.
        (
            "{% for it in messages %}<turn>{{ it.content }}"
            "{% if loop.last and not add_generation_prompt %}<last>{% else %}<end_of_turn>{% endif %}{% endfor %}"
            "{% if add_generation_prompt %}<turn>{% endif %}",
            "<last>",
        ),
        # Nothing special ends a turn, though something special begins the next.
        (
            "{% for it in messages %}<turn>{{ it.content }}{% endfor %}{% if add_generation_prompt %}<turn>{% endif %}",
            "</s>",
        ),
        # Nothing special ends a turn.
        ("{% for it in messages %}{{ it.content }}\n{% endfor %}", "</s>"),
        # It is never told what was answered.
        ("{% for it in messages if it.role == 'user' %}<turn>{{ it.content }}<end_of_turn>{% endfor %}", "</s>"),
    ],
    ids=["a token of the template", "eos", "plain", "the last turn", "beginnings", "none", "no answers"],
)
def test_an_answer_ends_with_what_the_template_writes_after_it(template: str, end: str) -> None:
    tokenizer = spell_bytes()
    tokenizer.add_tokens(["<turn>", "<end_of_turn>", "<last>"], special_tokens=True)
    tokenizer.chat_template = template
    assert tokenizer.convert_ids_to_tokens(PromptEncoder(tokenizer, {}).end_of_answer) == end


def spoken(tokenizer: PreTrainedTokenizerBase, *turns: str) -> list[str]:
    """Write turns, the student's and the other's by turns, up to where an answer begins."""
    messages = [{"role": ("user", "assistant")[place % 2], "content": turn} for place, turn in enumerate(turns)]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=len(turns) % 2 == 1, tokenize=False)
    return list(tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"]))


def test_what_an_encoder_reads_is_what_the_tokenizer_makes_of_a_text() -> None:
    pieces = ["<pad>", "</s>", "<unk>", "\u2581", "1", "2", "\u25811", "+"]
    made = T5Tokenizer(vocab=[(piece, -float(place)) for place, piece in enumerate(pieces)], extra_ids=0)
    made.chat_template = template_around(made)
    assert spoken(made, "1+2") == ["\u25811", "+", "2", "</s>"]
    assert made(["1+2"])["input_ids"] == [made.convert_tokens_to_ids(spoken(made, "1+2"))]
    # The answer is what the decoder writes: it begins a text of its own.
    asked, told = (made.apply_chat_template(
        [{"role": "user", "content": "1+2"}, {"role": "assistant", "content": "12"}][:turns],
        add_generation_prompt=turns == 1, tokenize=False,
    ) for turns in (1, 2))  # fmt: skip
    assert told.removeprefix(asked) == "12</s>"
    assert spoken(made, "1", "2", "1") == ["\u25811", "\u2581", "2", "\u25811", "</s>"]


def test_a_tokenizer_that_puts_nothing_around_a_text_adds_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    other = deepcopy(tokenizer)
    other.chat_template = template_around(other)
    assert "".join(spoken(other, "3+4")) == "3+4"
    assert "".join(spoken(other, "3+4", "8", "why?", "3+4=7 #7")) == "3+4\n8\nwhy?3+4=7 #7</s>"


def test_switches_reach_the_template_and_the_fingerprint(tokenizer: PreTrainedTokenizerBase) -> None:
    other = deepcopy(tokenizer)
    other.chat_template = "{% if loud %}!{% endif %}Q{{ messages[0].content }}"
    assert other.decode(PromptEncoder(other, {"loud": True})([ASKED])[0]).endswith("Q3+4")
    assert len(PromptEncoder(other, {"loud": True})([ASKED])[0]) == 1 + len(PromptEncoder(other, {})([ASKED])[0])
    assert name_template({}) == ""
    assert name_template({"b": 1, "a": False}) == '/{"a": false, "b": 1}'


def test_every_row_has_a_seed_of_its_own() -> None:
    seeds = [seed for batch in range(20) for seed in row_seeds(Sampling(1, seed=batch), None, 512)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert row_seeds(Sampling(1, seed=9), [5, 5], 2) == [5, 5]
