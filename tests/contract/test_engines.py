"""What every engine must do, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from tests.chat import build_base_model
from tests.endpoint import serve
from tests.remote import VLLM, elsewhere, needs_vllm
from tft.config.campaign import EndpointEngineConfig, TransformersEngineConfig
from tft.engines.endpoint import EndpointEngine
from tft.engines.transformers import TransformersEngine, load_model
from tft.errors import RefusedError
from tft.ports import Engine, Generation, Sampling
from tft.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

QUESTIONS = ["3+4", "27+58", "9*9", "123+456", "8-3", "12+7", "99+1", "write add_1 level 1", "7+8", "40*2", "1", "?"]
GREEDY = Sampling(24)

pytestmark = pytest.mark.usefixtures("one_thread")


def ask(*questions: str) -> list[tuple[Message, ...]]:
    return [(Message("user", question),) for question in questions]


def texts(generations: Sequence[Generation]) -> list[str]:
    return [generation.text for generation in generations]


@pytest.fixture(scope="module")
def embedded(novice: Path) -> TransformersEngine:
    return TransformersEngine.open(str(novice), "novice", TransformersEngineConfig())


@pytest.fixture(scope="module", params=["transformers", "endpoint", pytest.param("vllm", marks=needs_vllm)])
def engine(request: pytest.FixtureRequest, novice: Path, embedded: TransformersEngine) -> Iterator[Engine]:
    """Give each engine there is, with the same weights."""
    if request.param == "transformers":
        yield embedded
        return
    if request.param == "vllm":
        with elsewhere(str(novice), "novice", VLLM) as remote:
            yield remote
        return
    with serve(embedded) as server:
        config = EndpointEngineConfig(url=server.url, tokenizer=str(novice))
        yield EndpointEngine.open("novice", "novice", config)


@pytest.fixture(scope="module")
def model(novice: Path) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(novice, dtype=torch.float32, attn_implementation="eager").eval()


def reference(model: PreTrainedModel, tokenizer: object, question: str, tokens: int) -> str:
    """Answer with transformers' own generate, one question at a time."""
    ids = torch.tensor([tokenizer(f"Q{question}\nA", add_special_tokens=False)["input_ids"]])  # type: ignore[operator]
    with torch.inference_mode():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=tokens)
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)  # type: ignore[attr-defined,no-any-return]


def test_greedy_answers_are_those_of_the_reference(engine: Engine, model: PreTrainedModel, tokenizer: object) -> None:
    expected = [reference(model, tokenizer, question, GREEDY.max_tokens) for question in QUESTIONS]
    assert texts(engine.generate(ask(*QUESTIONS), GREEDY)) == expected


def test_answers_come_in_the_order_of_the_questions(engine: Engine) -> None:
    forward = engine.generate(ask(*QUESTIONS), GREEDY)
    backward = engine.generate(ask(*reversed(QUESTIONS)), GREEDY)
    assert texts(backward) == texts(forward)[::-1]
    assert len(set(texts(forward))) > len(QUESTIONS) / 2
    assert [it.prompt_tokens for it in forward] == [len(question) + 3 for question in QUESTIONS]


def test_who_else_is_asked_does_not_change_a_greedy_answer(engine: Engine) -> None:
    together = texts(engine.generate(ask(*QUESTIONS), GREEDY))
    alone = [texts(engine.generate(ask(question), GREEDY))[0] for question in QUESTIONS]
    assert alone == together
    assert texts(engine.generate(ask(*QUESTIONS, "1" * 100), GREEDY))[:-1] == together
    assert texts(engine.generate(ask(*QUESTIONS * 2), GREEDY)) == together * 2


def test_the_sum_of_what_was_written_is_what_scoring_says(engine: Engine) -> None:
    for sampling in (Sampling(40, logprobs=True), Sampling(40, 1.0, 3, logprobs=True)):
        generations = engine.generate(ask(*QUESTIONS), sampling)
        scores = engine.score(ask(*QUESTIONS), texts(generations))
        compared = 0
        for generation, score in zip(generations, scores, strict=True):
            # What cannot be told from its text, or was cut off, was not written as it is scored.
            if generation.finished and len(score.tokens) == generation.tokens:
                assert generation.logprob == pytest.approx(sum(score.logprobs), abs=1e-4)
                compared += 1
        assert compared > len(QUESTIONS) / 2


def test_scores_are_log_probabilities_one_a_token(engine: Engine) -> None:
    (right, wrong, nothing) = engine.score(ask("3+4", "3+4", "3+4"), ["3+4=7 #7", "3+4=8 #8", ""])
    assert len(right.tokens) == len(right.logprobs) == len("3+4=7 #7") + 1
    assert len(nothing.tokens) == 1
    assert all(logprob <= 0 for score in (right, wrong, nothing) for logprob in score.logprobs)
    assert sum(right.logprobs) > sum(wrong.logprobs) + 1


def test_scores_are_those_of_the_reference(engine: Engine, model: PreTrainedModel, tokenizer: object) -> None:
    question, answer = "27+58", "7+8=15 2+5+1=8 #85"
    prompt, whole = (
        tokenizer(text, add_special_tokens=False)["input_ids"]  # type: ignore[operator]
        for text in (f"Q{question}\nA", f"Q{question}\nA{answer}</s>")
    )
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(torch.tensor([whole])).logits[0], -1)
    expected = [logprobs[place - 1, whole[place]].item() for place in range(len(prompt), len(whole))]
    # Beside a longer row, so that this one is padded.
    score, _ = engine.score(ask(question, "1" * 50), [answer, "#1"])
    assert list(score.tokens) == whole[len(prompt) :]
    assert score.logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["transformers", "endpoint", pytest.param("vllm", marks=needs_vllm)])
def test_a_base_model_ends_an_answer_as_its_template_does(kind: str, tmp_path: Path) -> None:
    folder = str(build_base_model(tmp_path, "3+4"))
    with ExitStack() as opened:
        engine: Engine = TransformersEngine.open(folder, "base", TransformersEngineConfig())
        if kind == "endpoint":
            url = opened.enter_context(serve(engine)).url  # type: ignore[arg-type]
            engine = EndpointEngine.open("base", "base", EndpointEngineConfig(url=url, tokenizer=folder))
        elif kind == "vllm":
            engine = opened.enter_context(elsewhere(folder, "base", VLLM))
        (found,) = engine.generate(ask("3+4"), Sampling(12))
        (scores,) = engine.score(ask("3+4"), [found.text])
    assert (found.finished, found.tokens) == (True, 3)
    assert "<|im_end|>" not in found.text
    assert scores.tokens[-1] == 2


def test_what_was_cut_off_is_said_to_be(engine: Engine) -> None:
    whole = engine.generate(ask("3+4", "27+58"), Sampling(60))
    assert all(generation.finished for generation in whole)
    longest = max(generation.tokens for generation in whole)
    assert all(it.finished for it in engine.generate(ask("3+4", "27+58"), Sampling(longest)))
    for tokens in (1, 5):
        for generation, full in zip(engine.generate(ask("3+4", "27+58"), Sampling(tokens)), whole, strict=True):
            assert (generation.finished, generation.tokens) == (False, tokens)
            assert full.text.startswith(generation.text)


def test_sampling_is_a_function_of_the_seed(engine: Engine) -> None:
    first, again, other = (engine.generate(ask(*QUESTIONS), Sampling(24, 1.5, seed)) for seed in (1, 1, 2))
    assert first == again
    assert texts(first) != texts(other)
    torch.manual_seed(99)
    assert engine.generate(ask(*QUESTIONS), Sampling(24, 1.5, 1)) == first


def test_the_same_question_is_sampled_anew_each_time_it_stands_there(engine: Engine) -> None:
    assert len(set(texts(engine.generate(ask(*["write"] * 20), Sampling(24, 1.5, 1))))) > 10


def test_many_long_questions_are_sampled_at_once(engine: Engine) -> None:
    # More tokens than vLLM reads at once, so that a prompt would be cut in two.
    found = engine.generate(ask(*[f"{place:03d} write add_1 level 1" * 8 for place in range(64)]), Sampling(2, 1.0, 1))
    assert len(found) == 64
    assert len(set(texts(found))) > 5


def test_who_else_is_asked_does_not_change_a_sampled_answer(engine: Engine) -> None:
    seeds = list(range(len(QUESTIONS)))
    together = engine.generate(ask(*QUESTIONS), Sampling(24, 1.5), seeds)
    alone = [engine.generate(ask(question), Sampling(24, 1.5), [seed])[0] for seed, question in enumerate(QUESTIONS)]
    assert texts(alone) == texts(together)
    backward = engine.generate(ask(*reversed(QUESTIONS)), Sampling(24, 1.5), seeds[::-1])
    assert texts(backward) == texts(together)[::-1]


def test_seeds_come_one_a_question(engine: Engine) -> None:
    with pytest.raises(ValueError, match="1 seeds for 2 rows"):
        engine.generate(ask("3+4", "27+58"), GREEDY, [1])


def test_log_probabilities_of_rows_are_those_of_answers(engine: Engine, tokenizer: PreTrainedTokenizerBase) -> None:
    row = tokenizer("Q3+4\nA3+4=7 #7</s>", add_special_tokens=False)["input_ids"]
    (score,) = engine.score(ask("3+4"), ["3+4=7 #7"])
    found, short = engine.logprobs([row, row[:1]])
    assert (len(found), short) == (len(row) - 1, [])
    assert found[-len(score.tokens) :] == pytest.approx(score.logprobs, abs=1e-4)


def test_the_likeliest_tokens_are_those_of_the_whole_distribution(
    engine: Engine, tokenizer: PreTrainedTokenizerBase, novice: Path
) -> None:
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("Q3+4\nA3+4=7 #7</s>", "Q1+1\nA#2</s>")]
    starts = [6, 5]
    found = engine.top_logprobs(rows, starts, 8)
    model = load_model(novice)[0]
    for row, start, top, every in zip(rows, starts, found, engine.logprobs(rows), strict=True):
        places = len(row) - start
        assert top.ids.shape == top.logprobs.shape == (places, 8)
        assert top.chosen.tolist() == pytest.approx(every[start - 1 :], abs=1e-4)
        with torch.no_grad():
            whole = torch.log_softmax(model(torch.tensor([row])).logits[0, start - 1 : -1], -1)
        assert torch.allclose(torch.tensor(top.logprobs), whole.topk(8, -1).values, atol=1e-4)
        assert torch.allclose(whole.gather(-1, torch.tensor(top.ids).long()), torch.tensor(top.logprobs), atol=1e-4)


def test_what_is_refused_spoils_nothing_after_it(engine: Engine, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["engine"] == "endpoint":
        pytest.skip("what an endpoint refuses is its own business; see test_endpoint.py")
    with pytest.raises(RefusedError):
        engine.logprobs([[1, 10**6]])
    (found,) = engine.generate(ask("3+4"), GREEDY)
    assert found.finished


def test_steps_are_counted(engine: Engine) -> None:
    before = engine.steps
    engine.generate(ask("3+4"), GREEDY)
    assert engine.steps > before


def test_greedy_does_not_look_at_the_seed(engine: Engine) -> None:
    assert engine.generate(ask(*QUESTIONS), Sampling(24, 0.0, 1)) == engine.generate(ask(*QUESTIONS), Sampling(24))


def test_nothing_asked_is_nothing_answered(engine: Engine) -> None:
    assert engine.generate([], GREEDY) == []
    assert engine.score([], []) == []


def test_questions_without_completions_are_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="zip"):
        engine.score(ask("3+4", "27+58"), ["#7"])


def test_the_fingerprint_names_all_that_decides_an_answer(embedded: TransformersEngine) -> None:
    engine = embedded
    names = {
        engine.fingerprint,
        TransformersEngine(engine.model, engine.tokenizer, "other").fingerprint,
        TransformersEngine(engine.model, engine.tokenizer, "novice", batch_size=7).fingerprint,
    }
    torch.set_num_threads(2)
    names.add(engine.fingerprint)
    assert len(names) == 4


def test_small_batches_give_the_same_greedy_answers(embedded: TransformersEngine) -> None:
    engine = embedded
    small = TransformersEngine(engine.model, engine.tokenizer, "novice", batch_size=3)
    assert texts(small.generate(ask(*QUESTIONS), GREEDY)) == texts(engine.generate(ask(*QUESTIONS), GREEDY))
    pairs = zip(small.score(ask(*QUESTIONS), QUESTIONS), engine.score(ask(*QUESTIONS), QUESTIONS), strict=True)
    for one, other in pairs:
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_padding_moves_no_position(tokenizer: PreTrainedTokenizerBase) -> None:
    # Rotations say how far apart two tokens are; GPT-2 numbers them, and would notice.
    torch.manual_seed(1)
    config = GPT2Config(vocab_size=64, n_embd=32, n_layer=1, n_head=2, n_positions=128, bos_token_id=1, eos_token_id=1,
                        pad_token_id=0, initializer_range=0.5)  # fmt: skip
    engine = TransformersEngine(GPT2LMHeadModel(config).eval(), tokenizer, "numbered")
    (alone,) = engine.generate(ask("3+4"), Sampling(8))
    beside, _ = engine.generate(ask("3+4", "1" * 40), Sampling(8))
    assert (beside.text, beside.tokens) == (alone.text, alone.tokens)
    assert beside.logprob == pytest.approx(alone.logprob, abs=1e-4)
    (lonely,) = engine.score(ask("3+4"), ["#7"])
    padded, _ = engine.score(ask("3+4", "1" * 40), ["#7", "#1"])
    assert padded.logprobs == pytest.approx(lonely.logprobs, abs=1e-4)
