from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from tests.chat import build_chat_model
from tests.learning import spell_bytes, tutor_of
from tft.engines.transformers import TransformersEngine, load_model
from tft.records import Message, Usage
from tft.tutor import Scorer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

pytestmark = pytest.mark.usefixtures("one_thread")


def scorer_with(tokenizer: Any) -> Scorer:
    return Scorer(tutor_of(SimpleNamespace(tokenizer=tokenizer)))


@pytest.fixture(scope="module")
def abacus(novice: Path) -> Scorer:
    return Scorer(tutor_of(TransformersEngine(*load_model(novice.parent / "weights"), "weights")))


def test_a_tokenizer_shares_its_own_tokens(tokenizer: PreTrainedTokenizerBase) -> None:
    for it in (tokenizer, spell_bytes(), spell_bytes(("a", "b"))):
        assert scorer_with(it).shares_tokens(it)


def test_a_few_more_tokens_are_no_difference(novice: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    more = AutoTokenizer.from_pretrained(novice)
    more.add_tokens(["<tool>", "<end>"], special_tokens=True)
    assert scorer_with(tokenizer).shares_tokens(more)
    assert scorer_with(more).shares_tokens(tokenizer)


def test_tokens_with_other_numbers_are_not_shared(tokenizer: PreTrainedTokenizerBase) -> None:
    # The same names in another order.
    one, other = spell_bytes(("a", "b"), ("c", "d")), spell_bytes(("c", "d"), ("a", "b"))
    assert one.get_vocab().keys() == other.get_vocab().keys()
    assert not scorer_with(one).shares_tokens(other)
    for it in (one, other):
        assert not scorer_with(it).shares_tokens(tokenizer)
        assert not scorer_with(tokenizer).shares_tokens(it)


def test_tokens_that_are_put_together_otherwise_are_not_shared() -> None:
    # One knows all that the other knows, and writes numbers with fewer tokens.
    assert not scorer_with(spell_bytes()).shares_tokens(spell_bytes(("1", "2")))
    assert not scorer_with(spell_bytes(("1", "2"))).shares_tokens(spell_bytes())


def test_a_tutor_whose_tokenizer_is_not_here_shares_nothing(tokenizer: PreTrainedTokenizerBase) -> None:
    assert not scorer_with(None).shares_tokens(tokenizer)


def test_questions_are_read_plainly_or_as_the_card_says() -> None:
    heard: list[Any] = []

    class Engine:
        def encode(self, prompts: list[Any]) -> list[list[int]]:
            heard.extend(prompts)
            return [[len(it)] for it in prompts]

    assert Scorer(tutor_of(Engine())).prompts(["3+4", "5+6"]) == [[1], [1]]
    assert heard == [(Message("user", "3+4"),), (Message("user", "5+6"),)]
    tutor = tutor_of(Engine(), ["scorer"])
    tutor.conversation = lambda role, values: (Message("system", role), Message("user", values["question"]))
    assert Scorer(tutor).prompts(["3+4"]) == [[2]]
    assert heard[-1] == (Message("system", "scorer"), Message("user", "3+4"))


QUESTIONS, TEXTS = ["3+4", "27+58"], ["3+4=7 #7", "#85"]


def test_the_tokens_of_an_answer_are_scored_after_its_question(abacus: Scorer) -> None:
    tokenizer = abacus._tutor.engine.tokenizer
    answers = [(*tokenizer(text, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id) for text in TEXTS]
    expected = [
        score.logprobs for score in abacus._tutor.engine.score([(Message("user", it),) for it in QUESTIONS], TEXTS)
    ]
    chosen, usage = abacus.chosen(QUESTIONS, answers)
    tops, again = abacus.top(QUESTIONS, answers, 5)
    # As many tokens as characters, the end and the three of the template: Q, a new line and A.
    assert usage == again == Usage(prompt=3 + 3 + 5 + 3, scored=9 + 4, requests=2)
    for mine, top, answer, known in zip(chosen, tops, answers, expected, strict=True):
        assert mine == pytest.approx(known, abs=1e-4)
        assert top.chosen.tolist() == pytest.approx(known, abs=1e-4)
        assert top.ids.shape == top.logprobs.shape == (len(answer), 5)
        assert (np.diff(top.logprobs, axis=1) <= 0).all()
    (whole, _), _ = abacus.top(QUESTIONS, answers, None)
    assert whole.ids.tolist() == [list(range(64))] * len(answers[0])
    assert np.exp(whole.logprobs).sum(1) == pytest.approx(np.ones(len(answers[0])), abs=1e-5)


def test_an_answer_is_spelled_in_the_tutors_tokens(abacus: Scorer) -> None:
    spelled, usage = abacus.spell(QUESTIONS, TEXTS, [True, False])
    (known, cut) = abacus._tutor.engine.score([(Message("user", it),) for it in QUESTIONS], TEXTS)
    assert spelled[0].ends == (1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert spelled[0].logprobs == pytest.approx(known.logprobs, abs=1e-4)
    # What was cut off has no end.
    assert spelled[1].ends == (1, 2, 3)
    assert spelled[1].logprobs == pytest.approx(cut.logprobs[:-1], abs=1e-4)
    assert usage.scored == 9 + 3


def test_an_answer_ends_as_the_tutor_ends_a_turn(tmp_path: Path) -> None:
    # Like Gemma: its template ends a turn with another token than the tokenizer's own end.
    model, tokenizer = load_model(build_chat_model(tmp_path))
    end = tokenizer.eos_token_id
    tokenizer.eos_token = "<|pad|>"
    assert tokenizer.eos_token_id != end
    engine = TransformersEngine(model, tokenizer, "chat")
    (head,) = engine.encode([(Message("user", "3+4"),)])
    row = [*head, *tokenizer("#7", add_special_tokens=False)["input_ids"], end]
    expected = engine.logprobs([row])[0][len(head) - 1 :]
    (spelled,), _ = Scorer(tutor_of(engine)).spell(["3+4"], ["#7"], [True])
    assert spelled.logprobs == pytest.approx(expected, abs=1e-4)
    (scores,) = engine.score([(Message("user", "3+4"),)], ["#7"])
    assert list(scores.tokens) == row[len(head) :]
    assert scores.logprobs == pytest.approx(expected, abs=1e-4)


def test_an_answer_of_nothing_is_only_its_end(abacus: Scorer) -> None:
    (ended, cut), _ = abacus.spell(["3+4", "3+4"], ["", ""], [True, False])
    assert ended.ends == (1,) and len(ended.logprobs) == 1
    assert cut.ends == cut.logprobs == ()
