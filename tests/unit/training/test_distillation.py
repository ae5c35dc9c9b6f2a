from __future__ import annotations

from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from transformers import LlamaConfig, LlamaForCausalLM

from tests.learning import practices, setting, spell_bytes, tutor_of
from tft.config.training import DistillationConfig
from tft.engines.transformers import TransformersEngine, load_model
from tft.errors import StageError, UserError
from tft.ports import TopLogprobs
from tft.records import Usage
from tft.training.distillation import Distillation, lead_by_stretch, where_tokens_end
from tft.training.learner import Learner
from tft.training.rollouts import write
from tft.tutor import Scorer
from tft.tutor.scoring import Spelled

pytestmark = pytest.mark.usefixtures("one_thread")


def test_stretches_by_hand() -> None:
    # The student ends tokens at 2, 3, 5 and 6, the tutor at 1, 3, 4 and 6: they meet at 3 and at 6.
    # Up to 3 the tutor says −1 − 2 = −3 and the student −1 − 1 = −2: −1 over two tokens. Then −0.5 − 0.5 = −1
    # against −3 − 2 = −5: 4 over two tokens.
    own = np.array([-1.0, -1.0, -3.0, -2.0])
    lead = lead_by_stretch([2, 3, 5, 6], own, Spelled((1, 3, 4, 6), (-1.0, -2.0, -0.5, -0.5)))
    assert lead.tolist() == [-0.5, -0.5, 2.0, 2.0]


def test_what_is_never_shared_has_no_lead() -> None:
    # After 2 the tutor goes on and the student does not.
    own = np.array([-1.0, -4.0])
    assert lead_by_stretch([2, 3], own, Spelled((2, 5), (-0.5, -0.5))).tolist() == [0.5, 0.0]
    assert lead_by_stretch([2, 3], own, Spelled((), ())).tolist() == [0.0, 0.0]


sizes = st.lists(st.integers(1, 4), min_size=1, max_size=12)


def ends(lengths: list[int]) -> list[int]:
    return list(accumulate(lengths))


@given(sizes, st.randoms())
def test_with_equal_tokens_it_is_the_difference_of_each(lengths: list[int], random: Any) -> None:
    own, theirs = ([-random.random() for _ in lengths] for _ in range(2))
    lead = lead_by_stretch(ends(lengths), np.array(own), Spelled(tuple(ends(lengths)), tuple(theirs)))
    assert lead.tolist() == pytest.approx([it - mine for it, mine in zip(theirs, own, strict=True)], abs=1e-5)


@given(sizes, sizes, st.randoms())
def test_leads_add_up_to_that_of_the_answer(mine: list[int], yours: list[int], random: Any) -> None:
    # Both end where the answer does.
    length = max(sum(mine), sum(yours))
    mine, yours = ([*it, length + 1 - sum(it)] for it in (mine, yours))
    own, theirs = ([-random.random() for _ in it] for it in (mine, yours))
    lead = lead_by_stretch(ends(mine), np.array(own), Spelled(tuple(ends(yours)), tuple(theirs)))
    assert len(lead) == len(own)
    assert lead.sum() == pytest.approx(sum(theirs) - sum(own), abs=1e-4)


BYTES = spell_bytes()
PAIRS = spell_bytes(("1", "2"), ("=", "1"), ("c", "d"))
texts = st.text(st.sampled_from("ab1= é€😀\n"), max_size=12)


def spelled_out(tokenizer: Any, text: str, *, whole: bool) -> list[int]:
    return [*tokenizer(text, add_special_tokens=False)["input_ids"], *([tokenizer.eos_token_id] if whole else [])]


def test_tokens_end_where_their_characters_do() -> None:
    # é has two bytes, € three: what ends inside of them ends with them.
    tokens = spelled_out(BYTES, "aé€b", whole=True)
    assert len(tokens) == 1 + 2 + 3 + 1 + 1
    assert where_tokens_end(BYTES, tokens, "aé€b", True) == [1, 2, 2, 3, 3, 3, 4, 5]


def test_an_answer_that_was_cut_off_ends_with_its_text() -> None:
    tokens = spelled_out(BYTES, "aé€", whole=False)
    assert where_tokens_end(BYTES, tokens[:3], "aé", False) == [1, 2, 2]
    # Inside of a character: its text ends with a sign for what is not whole.
    text = BYTES.decode(tokens[:4])
    assert text == "aé\ufffd"
    assert where_tokens_end(BYTES, tokens[:4], text, False) == [1, 2, 2, 3]


def test_tokens_that_are_not_shown_end_where_they_stand() -> None:
    tokens = spelled_out(BYTES, "ab", whole=True)
    tokens.insert(1, BYTES.eos_token_id)
    assert where_tokens_end(BYTES, tokens, "ab", True) == [1, 1, 2, 3]


@pytest.mark.parametrize("tokenizer", [BYTES, PAIRS])
@given(texts, st.booleans())
def test_ends_never_go_back_and_the_last_is_that_of_the_answer(tokenizer: Any, text: str, whole: bool) -> None:
    tokens = spelled_out(tokenizer, text, whole=whole)
    found = where_tokens_end(tokenizer, tokens, text, whole)
    assert len(found) == len(tokens)
    assert found == sorted(found)
    if tokens:
        assert found[-1] == len(text) + whole


def test_a_character_of_several_tokens_is_one_stretch() -> None:
    # The same tokens on both sides; the tutor's places are those that its tokenizer gives.
    text = "aéb"
    tokens = spelled_out(BYTES, text, whole=True)
    offsets = BYTES(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    theirs = Spelled((*(end for _, end in offsets), len(text) + 1), (-1.5, -2.5, -3.5, -4.5, -5.5))
    own = np.array([-1.0, -2.0, -3.0, -4.0, -5.0])
    assert lead_by_stretch(where_tokens_end(BYTES, tokens, text, True), own, theirs).tolist() == [-0.5] * 5


class Oracle:
    """A scorer that is asked in the student's tokens, and says of each what it is told to."""

    def __init__(self, ids: list[list[list[int]]] | None = None) -> None:
        self.ids = ids
        self.heard: list[int | None] = []

    def shares_tokens(self, _: Any) -> bool:
        return True

    def top(self, questions: list[str], answers: list[tuple[int, ...]], k: int | None) -> Any:
        self.heard.append(k)
        tops = []
        for place, answer in enumerate(answers):
            ids = np.array(self.ids[place] if self.ids else [[token, 4] for token in answer], np.int32)
            tops.append(
                TopLogprobs(ids, np.log(np.full(ids.shape, 0.4, np.float32)), np.zeros(len(answer), np.float32))
            )
        return tops, Usage(prompt=len(questions), scored=sum(map(len, answers)), requests=len(questions))


def test_what_the_tutor_expected_goes_with_each_answer(unsure: Learner) -> None:
    oracle = Oracle()
    told = setting(unsure, scorer=oracle, batch_size=3)
    objective = Distillation(DistillationConfig(top_k=2, steps_a_roll_out=2), told)
    (unit, rest) = objective.units(practices(8), Random(1))
    assert (len(unit), len(rest)) == (6, 2)
    steps = list(objective.steps(unit))
    assert [len(step.rows) for step in steps] == [3, 3]
    assert oracle.heard == [2]
    for step in steps:
        assert step.weight == sum(row.learned for row in step.rows)
        for row in step.rows:
            assert row.ids[:, 0].tolist() == list(row.tokens[row.start :])
            assert row.expected.shape == (row.learned, 2)
    assert told.measures["staleness"] == [0, 1]
    assert sum(told.used, Usage()).requests == 6


def test_each_answer_is_compared_with_what_was_said_of_it(unsure: Learner) -> None:
    # Parts of a step do not know of each other, so neither may the whole.
    objective = Distillation(DistillationConfig(top_k=2), setting(unsure, scorer=Oracle()))
    (step,) = objective.steps(practices(5))
    whole = step.loss(unsure.predict(step.rows)).item()
    assert whole == pytest.approx(sum(step.loss(unsure.predict([row])).item() for row in step.rows), rel=1e-5)


def test_tokens_that_happen_to_be_the_first_ones_are_not_all_there_are(unsure: Learner) -> None:
    lessons = practices(2)
    told = setting(unsure, scorer=Oracle())
    lengths = [it.row.learned for it in write(lessons, setting(unsure), 1.0)]
    told = replace(told, scorer=Oracle([[[0]] * lengths[0], [[5]] * lengths[1]]))  # type: ignore[arg-type]
    (step,) = Distillation(DistillationConfig(top_k=1), told).steps(lessons)
    whole = step.loss(unsure.predict(step.rows)).item()
    assert whole == pytest.approx(sum(step.loss(unsure.predict([row])).item() for row in step.rows), rel=1e-5)


def test_all_tokens_may_come_in_any_order(unsure: Learner) -> None:
    # The likeliest first, as vLLM gives them.
    class Everything(Oracle):
        def __init__(self, *, sort: bool) -> None:
            super().__init__()
            self.sort = sort

        def top(self, _: list[str], answers: list[tuple[int, ...]], k: int | None) -> Any:
            assert k is None
            tops = []
            for answer in answers:
                likely = torch.randn(len(answer), 64, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
                ids = likely.argsort(-1, descending=True) if self.sort else torch.arange(64).expand(len(answer), -1)
                tops.append(TopLogprobs(ids.int().numpy(), likely.gather(-1, ids).numpy(), likely[:, 0].numpy()))
            return tops, Usage()

    found = []
    for sort in (False, True):
        told = setting(unsure, scorer=Everything(sort=sort))
        (step,) = Distillation(DistillationConfig(top_k=None), told).steps(practices(3))
        found.append(step.loss(unsure.predict(step.rows)).item())
    assert found[1] == pytest.approx(found[0], rel=1e-5)


def test_a_tutor_that_gives_text_only_cannot_score() -> None:
    with pytest.raises(StageError, match="gives text only"):
        Distillation(DistillationConfig(), setting())


def test_only_what_a_student_drew_itself_can_be_sampled() -> None:
    with pytest.raises(ValidationError, match=r"on_policy\n.*sampled takes every answer for one that the student drew"):
        DistillationConfig(divergence="sampled", on_policy=0.5)
    DistillationConfig(divergence="reverse_kl", on_policy=0.5)


def test_other_tokens_can_only_be_sampled(learner: Learner) -> None:
    scorer = SimpleNamespace(shares_tokens=lambda _: False)
    for kind in ("forward_kl", "reverse_kl", "jensen_shannon"):
        with pytest.raises(UserError, match=r"feedback\.divergence: compares tokens.*\n.*divergence: sampled"):
            Distillation(DistillationConfig(divergence=kind), setting(learner, scorer=scorer))  # type: ignore[arg-type]
    Distillation(DistillationConfig(divergence="sampled"), setting(learner, scorer=scorer))


@pytest.fixture(scope="module")
def abacus(novice: Path) -> Scorer:
    return Scorer(tutor_of(TransformersEngine(*load_model(novice.parent / "weights"), "weights")))


def test_a_sampled_lead_is_that_of_the_tutor_over_the_student(unsure: Learner, abacus: Scorer) -> None:
    told = setting(unsure, scorer=abacus)
    lessons = practices(5)
    (step,) = Distillation(DistillationConfig(divergence="sampled"), told).steps(lessons)
    questions = {lesson.item.question: lesson for lesson in lessons}
    own = unsure.predict(step.rows).logprobs().detach().split([row.learned for row in step.rows])
    for row, mine in zip(step.rows, own, strict=True):
        asked = unsure.tokenizer.decode(row.tokens[: row.start])
        assert asked[1:-2] in questions
        (given_there,), _ = abacus.chosen([asked[1:-2]], [row.tokens[row.start :]])
        assert row.expected == pytest.approx(np.array(given_there) - mine.numpy(), abs=1e-4)
    leads = np.concatenate([row.expected for row in step.rows])
    # On what the student wrote itself, the mean of its lead over the tutor estimates the reverse divergence.
    assert told.measures["reverse_kl"] == pytest.approx([-leads.mean()], abs=1e-5)
    assert -leads.mean() > 0


@pytest.fixture(scope="module")
def stranger() -> Scorer:
    """Give a tutor with tokens of its own, some of them pairs of the student's."""
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=len(PAIRS), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                         num_attention_heads=2, num_key_value_heads=2, pad_token_id=0, bos_token_id=None,
                         eos_token_id=0, attn_implementation="eager")  # fmt: skip
    return Scorer(tutor_of(TransformersEngine(LlamaForCausalLM(config).eval(), PAIRS, "stranger")))


def test_a_tutor_with_other_tokens_is_compared_answer_by_answer(unsure: Learner, stranger: Scorer) -> None:
    assert not stranger.shares_tokens(unsure.tokenizer)
    told = setting(unsure, scorer=stranger, max_tokens=10)
    (step,) = Distillation(DistillationConfig(divergence="sampled", temperature=1.5), told).steps(practices(8))
    own = unsure.predict(step.rows).logprobs().detach().split([row.learned for row in step.rows])
    whole = 0
    for row, mine in zip(step.rows, own, strict=True):
        answer = row.tokens[row.start :]
        if answer[-1] == unsure.tokenizer.eos_token_id:
            asked = unsure.tokenizer.decode(row.tokens[: row.start])[1:-2]
            text = unsure.tokenizer.decode(answer, skip_special_tokens=True)
            (spelled,), _ = stranger.spell([asked], [text], [True])
            assert len(spelled.ends) <= len(answer)
            assert row.expected.sum() == pytest.approx(sum(spelled.logprobs) - mine.sum().item(), abs=1e-3)
            whole += 1
    assert 0 < whole < len(step.rows)


@pytest.mark.parametrize("kind", ["forward_kl", "reverse_kl", "jensen_shannon", "sampled"])
@pytest.mark.parametrize("top_k", [8, None])
def test_the_student_comes_nearer_to_the_tutor(kind: Any, top_k: int | None, unsure: Learner, abacus: Scorer) -> None:
    told = setting(unsure, scorer=abacus)
    lessons = practices(8)
    objective = Distillation(DistillationConfig(divergence=kind, top_k=top_k), told)
    judge = Distillation(DistillationConfig(divergence="forward_kl", on_policy=0.0), told)
    (exam,) = judge.steps(lessons)

    def apart() -> float:
        with unsure.answering():
            return exam.loss(unsure.predict(exam.rows)).item() / exam.weight

    before = apart()
    optimizer = torch.optim.SGD(unsure.weights, lr=0.02)
    for _ in range(6):
        for step in objective.steps(lessons):
            (step.loss(unsure.predict(step.rows)) / step.weight).backward()
            torch.nn.utils.clip_grad_norm_(unsure.weights, 1.0)
            optimizer.step()
            optimizer.zero_grad()
    assert apart() < 0.9 * before
