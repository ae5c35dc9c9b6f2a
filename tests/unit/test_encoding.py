"""Conversations as tokens: the model's own template, its switches, and nothing remembered that is not the same."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import pytest

from tft.engines import encoding
from tft.engines.encoding import PromptEncoder, name_template, row_seeds
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
