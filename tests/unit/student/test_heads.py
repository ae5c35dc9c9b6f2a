from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import (
    AutoConfig,
    BertConfig,
    DistilBertConfig,
    GPT2Config,
    LlamaConfig,
    ModernBertConfig,
    Qwen3Config,
    RobertaConfig,
)

from tests.encoders import build_encoder
from tests.learning import move
from tests.making import make_item
from tft.config.adapters import ClassifierTask, HeadAdapter, RegressorTask, RewardTask
from tft.engines.transformers import load_encoder
from tft.errors import PrerequisiteError, StageError, UserError
from tft.examination import find_student
from tft.fitting import build_of, read_build, refuse_student
from tft.library import Library, fingerprint_model
from tft.ports import Sampling
from tft.records import Message
from tft.student import StudentRef, write_checkpoint
from tft.student.heads import Head, HeadedModel, pool_states, write_head
from tft.student.models import adapt_head, attempt, draft, open_reader
from tft.student.reading import HeadReader, encode_answered, encode_questions
from tft.student.references import refuse_references
from tft.student.saved import read_reward_model, read_saved

pytestmark = pytest.mark.usefixtures("one_thread")
ITEMS = [make_item(question) for question in ("27+58", "3+4", "81-46", "5*6")]
BODIES: tuple[Any, ...] = ("frozen", "full", {"type": "lora", "r": 4})


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> StudentRef:
    folder = build_encoder(tmp_path_factory.mktemp("bert"))
    return StudentRef("bea", str(folder), fingerprint_model(str(folder)), head("classifier"))


def head(task: Any, body: Any = "frozen", **options: Any) -> HeadAdapter:
    return HeadAdapter.model_validate({"task": task, "body": body, **options})


def saved(student: StudentRef, folder: Path, references: tuple[str, ...] = ("a", "b", "c")) -> StudentRef:
    """Let a student have learned something, and write it down."""
    model, tokenizer = adapt_head(student, 1, references)
    move(model, 0.05)
    digest = write_checkpoint(folder, lambda aside: write_head(model, tokenizer, student.base_path, aside))
    return replace(student, checkpoint_path=str(folder), digest=digest)


def said(model: HeadedModel, tokenizer: Any) -> torch.Tensor:
    return HeadReader(model, tokenizer).read(encode_questions([it.question for it in ITEMS], tokenizer))


@pytest.mark.parametrize("body", BODIES, ids=lambda it: str(it)[:8])
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_what_was_learned_is_found_again(
    kind: str, body: Any, ada: StudentRef, bert: StudentRef, tmp_path: Path
) -> None:
    student = replace(ada if kind == "decoder" else bert, adapter=head("classifier", body))
    model, tokenizer = adapt_head(student, 1, ("b", "a", "b"))
    assert model.labels == ("a", "b")
    assert not said(model, tokenizer).any(), "a head says nothing before it has learned"
    move(model, 0.05)
    expected = said(model, tokenizer)
    digest = write_checkpoint(tmp_path / "c", lambda aside: write_head(model, tokenizer, student.base_path, aside))
    learned = replace(student, checkpoint_path=str(tmp_path / "c"), digest=digest)
    # To answer, to learn on, and by its folder alone.
    assert torch.allclose(open_reader(learned).read(rows_of(tokenizer)), expected, atol=1e-5)
    again, _ = adapt_head(learned, 2, ())
    assert again.labels == ("a", "b")
    assert torch.allclose(said(again, tokenizer), expected, atol=1e-5)
    found = read_saved(tmp_path / "c", "MODEL")
    assert found is not None and found.adapter == student.adapter
    assert [it.text for it in attempt(found, ITEMS, Sampling(8))] == [
        it.text for it in attempt(learned, ITEMS, Sampling(8))
    ]


def rows_of(tokenizer: Any) -> list[list[int]]:
    return encode_questions([it.question for it in ITEMS], tokenizer)


def test_a_frozen_body_is_not_written(ada: StudentRef, tmp_path: Path) -> None:
    saved(replace(ada, adapter=head("classifier")), tmp_path / "c")
    assert sorted(it.name for it in (tmp_path / "c").iterdir()) == [
        "chat_template.jinja", "head.json", "head.safetensors", "manifest.json"
    ]  # fmt: skip


def test_a_damaged_head_is_refused(ada: StudentRef, tmp_path: Path) -> None:
    learned = saved(replace(ada, adapter=head("classifier")), tmp_path / "c")
    (tmp_path / "c" / "head.json").write_text("{}")
    with pytest.raises(StageError, match=r"head\.json differs"):
        attempt(learned, ITEMS, Sampling(8))


@given(st.integers(1, 5), st.integers(0, 999))
def test_new_labels_change_no_answer(size: int, seed: int) -> None:
    torch.manual_seed(seed)
    known = [f"k{place}" for place in range(size)]
    labels = sorted([*known, "a", "z"])
    made = Head(3, 0, 3, size)
    made.out.weight.data.copy_(torch.randn(size, 3))
    states = torch.randn(4, 3)
    before = made(states)
    made.rename(known, labels)
    after = made(states)
    places = [labels.index(label) for label in known]
    assert torch.allclose(after[:, places], before, atol=1e-5)
    # What is new is never more certain than the best of what is known.
    assert (after.max(1).values <= before.max(1).values + 1e-5).all()


def test_labels_grow_from_cycle_to_cycle(bert: StudentRef, tmp_path: Path) -> None:
    learned = saved(bert, tmp_path / "c", ("m", "q"))
    before = [it.text for it in attempt(learned, ITEMS, Sampling(8))]
    model, tokenizer = adapt_head(learned, 2, ("a", "q", "z"))
    assert model.labels == ("a", "m", "q", "z")
    grown = HeadReader(model, tokenizer).answer(ITEMS, None)
    assert [it.text for it in grown] == before


def test_labels_that_are_given_are_all_there_are(bert: StudentRef) -> None:
    student = replace(bert, adapter=head({"type": "classifier", "labels": ["yes", "no"]}))
    assert adapt_head(student, 1, ("maybe",))[0].labels == ("no", "yes")


def test_answers_carry_the_marker_and_their_probability(bert: StudentRef, tmp_path: Path) -> None:
    learned = saved(bert, tmp_path / "c")
    answers = attempt(learned, ITEMS, Sampling(8), "#")
    assert {it.text for it in answers} <= {"#a", "#b", "#c"}
    assert all(it.confidence is not None and 1 / 3 <= it.confidence <= 1 for it in answers)
    assert all(it.finished and it.tokens == 0 for it in answers)
    assert attempt(learned, (), Sampling(8)) == ()


@pytest.mark.parametrize("task", ["classifier", "regressor"])
def test_a_head_that_has_learned_nothing_answers_nothing(task: str, bert: StudentRef) -> None:
    answers = attempt(replace(bert, adapter=head(task)), ITEMS, Sampling(8))
    assert [it.text for it in answers] == [""] * len(ITEMS)


def test_numbers_are_told_in_their_own_units(bert: StudentRef, tmp_path: Path) -> None:
    for decimals, pattern in ((0, r"#-?\d+"), (2, r"#-?\d+\.\d\d")):
        student = replace(bert, adapter=head({"type": "regressor", "decimals": decimals}))
        learned = saved(student, tmp_path / str(decimals), ("100", "1,300"))
        reader = open_reader(learned)
        assert reader.model.head.centre.item() == 700
        texts = [it.text for it in attempt(learned, ITEMS, Sampling(8), "#")]
        values = 700 + 600 * reader.read(rows_of(reader.tokenizer))[:, 0]
        assert [float(text[1:]) for text in texts] == pytest.approx(values.tolist(), abs=0.5 / 10**decimals + 1e-3)
        assert all(re.fullmatch(pattern, text) for text in texts)


def test_large_numbers_keep_their_last_digits(bert: StudentRef) -> None:
    student = replace(bert, adapter=head("regressor"))
    model, tokenizer = adapt_head(student, 1, ("1234567890123",))
    assert [it.text for it in HeadReader(model, tokenizer).answer(ITEMS[:1], None)] == ["1234567890123"]


def test_an_encoder_alone_cannot_be_examined(bert: StudentRef, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot answer"):
        find_student(Library(), bert.base_path)
    saved(bert, tmp_path / "c")
    assert find_student(Library(), str(tmp_path / "c")).adapter == bert.adapter


def test_the_best_of_its_drafts_is_what_the_head_likes_best(ada: StudentRef, tmp_path: Path) -> None:
    student = replace(ada, adapter=head({"type": "reward", "best_of": 5, "temperature": 3.0}))
    learned = saved(student, tmp_path / "c", ())
    before, after = (attempt(it, ITEMS, Sampling(12)) for it in (student, learned))
    assert [it.text for it in before] != [it.text for it in after]
    reader = open_reader(learned)
    for item, answer, first in zip(ITEMS, after, before, strict=True):
        rewards = reader.rewards([item.question] * 2, [answer.text, first.text], [answer.finished, first.finished])
        assert (answer.finished, rewards[0]) >= (first.finished, rewards[1])
    # An answer does not depend on what else is asked.
    assert [it.text for it in attempt(learned, ITEMS[1:], Sampling(12))] == [it.text for it in after[1:]]


@pytest.mark.parametrize("body", BODIES[1:], ids=lambda it: str(it)[:8])
def test_its_base_writes_whatever_the_body_has_learned(body: Any, ada: StudentRef, tmp_path: Path) -> None:
    learned = saved(replace(ada, adapter=head("reward", body)), tmp_path / "c", ())
    assert draft(learned, ITEMS, Sampling(12)) == draft(ada, ITEMS, Sampling(12))


def test_an_answer_that_was_cut_off_has_no_end(tokenizer: Any) -> None:
    whole, cut = encode_answered([(Message("user", "3+4"),)] * 2, ["#7"] * 2, [True, False], tokenizer)
    assert whole == [*cut, tokenizer.eos_token_id]


def test_what_a_template_writes_after_the_end_of_an_answer_is_not_read(tokenizer: Any) -> None:
    chatty = deepcopy(tokenizer)
    chatty.chat_template = "{% for it in messages %}{{ it['content'] }}{{ eos_token }}\n{% endfor %}"
    asked = [(Message("user", "3+4"), Message("assistant", "#8"), Message("user", "3+4"))] * 2
    whole, cut = encode_answered(asked, ["#7"] * 2, [True, False], chatty)
    assert whole == [*cut, chatty.eos_token_id]
    assert chatty.decode(whole) == "3+4</s>\n#8</s>\n3+4</s>\n#7</s>"
    # A template that ends questions alone.
    chatty.chat_template = (
        "{% for it in messages %}{{ it['content'] }}{{ '' if loop.index0 % 2 else eos_token }}{% endfor %}"
    )
    (endless,) = encode_answered([(Message("user", "3+4"),)], ["#7"], [True], chatty)
    assert chatty.decode(endless) == "3+4</s>#7"


def test_padding_counts_for_nothing() -> None:
    hidden = torch.randn(2, 4, 3)
    mask = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 1]])
    other = hidden.clone()
    other[0, 2:] = 9.0
    for pool in ("first", "last", "mean"):
        assert torch.equal(pool_states(hidden, mask, pool), pool_states(other, mask, pool))


def test_one_that_reads_to_the_right_takes_the_last_state_and_one_that_reads_both_ways_the_mean(
    ada: StudentRef, bert: StudentRef
) -> None:
    assert adapt_head(replace(ada, adapter=head("classifier")), 1, ("a",))[0].pool == "last"
    assert adapt_head(bert, 1, ("a",))[0].pool == "mean"
    assert adapt_head(replace(bert, adapter=head("classifier", pool="first")), 1, ("a",))[0].pool == "first"


def test_a_row_that_is_too_long_is_said(bert: StudentRef) -> None:
    model, _ = adapt_head(bert, 1, ("a",))
    with pytest.raises(StageError, match="40 tokens is longer than the 32"):
        model.states(torch.ones(1, 40, dtype=torch.long), torch.ones(1, 40, dtype=torch.long))


def test_a_pooler_that_chance_would_fill_in_is_left_away(bert: StudentRef) -> None:
    one, other = (dict(load_encoder(bert.base_path)[0].named_parameters()) for _ in range(2))
    assert not any("pooler" in name for name in one)
    assert all(torch.equal(weight, other[name]) for name, weight in one.items())


def test_an_encoder_that_lacks_weights_is_refused(bert: StudentRef, tmp_path: Path) -> None:
    model, tokenizer = load_encoder(bert.base_path)
    model.encoder.layer = model.encoder.layer[:1]
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    config.num_hidden_layers = 2
    config.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(PrerequisiteError, match="lacks weights"):
        load_encoder(tmp_path)


@pytest.mark.parametrize("config", [BertConfig(), RobertaConfig(), DistilBertConfig(), ModernBertConfig()])
def test_encoders_read_both_ways(config: Any) -> None:
    assert build_of(config.to_dict()) == "encoder"


@pytest.mark.parametrize("config", [LlamaConfig(), GPT2Config(), Qwen3Config(), BertConfig(is_decoder=True)])
def test_decoders_do_not(config: Any) -> None:
    assert build_of(config.to_dict()) == "decoder"


def test_what_a_body_cannot_do_is_said_with_what_it_can(ada: StudentRef, bert: StudentRef) -> None:
    encoder, decoder = read_build(bert.base_path), read_build(ada.base_path)
    assert (encoder, decoder) == ("encoder", "decoder")
    (plain,) = refuse_student(encoder, ada.adapter, "students.0", "bert")
    assert plain.key == "students.0.model" and "cannot write" in plain.message and "classifier" in str(plain.remedy)
    (reward,) = refuse_student(encoder, head("reward"), "students.0", "bert")
    assert reward.key == "students.0.adapter.task" and "no answers to choose from" in reward.message
    assert not refuse_student(encoder, head("regressor"), "students.0", "bert")
    assert not refuse_student(decoder, head("reward"), "students.0", "novice")


def test_references_that_do_not_fit_are_said() -> None:
    for task, references, told in (
        (ClassifierTask(), ["a", None], "no reference"),
        (ClassifierTask(labels=("a",)), ["a", "b"], "no labels: b"),
        (RegressorTask(), ["1", "many"], "no numbers: many"),
    ):
        (problem,) = refuse_references(references, task, "k")
        assert told in problem.message and problem.key == "k" and problem.remedy
    assert not refuse_references(["1,000", "-2.5"], RegressorTask(), "k")
    assert not refuse_references([None], RewardTask(), "k")


def test_only_a_reward_head_is_a_reward_model(ada: StudentRef, bert: StudentRef, tmp_path: Path) -> None:
    saved(replace(ada, adapter=head("reward")), tmp_path / "rm", ())
    assert read_reward_model(tmp_path / "rm", "k").base == ada.base
    saved(bert, tmp_path / "c")
    for name, told in (("c", "no student with a reward head"), ("nowhere", "no such folder")):
        with pytest.raises(UserError, match=told):
            read_reward_model(tmp_path / name, "k")
    (tmp_path / "rm" / "manifest.json").unlink()
    with pytest.raises(UserError, match="without a manifest"):
        read_reward_model(tmp_path / "rm", "k")
