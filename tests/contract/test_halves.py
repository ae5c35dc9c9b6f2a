"""Encoder-decoder models against transformers itself: what they expect, what they write, and how they are taught."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.halves import BART, FAMILIES, T5, build, student, tokens
from tests.learning import gradient, move, practices, preferences, setting, spell_bytes, tutor_of
from tests.making import demonstration
from tft.config.campaign import TransformersEngineConfig
from tft.config.training import (
    DistillationConfig,
    DPOConfig,
    GRPOConfig,
    KTOConfig,
    PPOConfig,
    RLOOConfig,
    SupervisedConfig,
    TrainingConfig,
)
from tft.engines.transformers import TransformersEngine, load_model
from tft.errors import PrerequisiteError, RefusedError
from tft.ports import Sampling
from tft.records import Message
from tft.training import TrainRequest, train
from tft.training.distillation import Distillation
from tft.training.dpo import DPO
from tft.training.grpo import GRPO
from tft.training.kto import KTO
from tft.training.learner import Learner
from tft.training.objective import Setting
from tft.training.policy import Played
from tft.training.ppo import PPO
from tft.training.rloo import RLOO
from tft.training.rows import Row, encode
from tft.training.supervised import Supervised
from tft.tutor import Scorer

pytestmark = pytest.mark.usefixtures("one_thread")

QUESTIONS = ("3+4", "27+58", "9*9", "123+456", "8-3", "1", "99+1", "40*2")
ROWS = [Row((5, 6, 7, 8, 9, 1), 2, "s"), Row((5, 6, 7, 1), 1, "s"), Row((9, 6, 7, 5, 4, 3, 8, 1), 7, "s")]
LESSONS = tuple(demonstration(question) for question in islice(items.draw("add_1", Random(1)), 40))


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("family"), request.param)


@pytest.fixture
def engine(folder: Path) -> TransformersEngine:
    engine = TransformersEngine.open(str(folder), "babbler", TransformersEngineConfig())
    # A model that has never learned repeats itself.
    move(engine.model, 0.3)
    return engine


def loss_of(model: PreTrainedModel, row: Row) -> float:
    """Give what transformers' own loss is on an answer, in nats a token; with the token that all answers begin with."""
    forced = model.generation_config.forced_bos_token_id
    begin = [] if forced is None else [forced]
    labels = torch.tensor([[*begin, *row.tokens[row.start :]]])
    decoder = torch.tensor([[model.generation_config.decoder_start_token_id, *labels[0, :-1].tolist()]])
    labels[:, : len(begin)] = -100
    with torch.no_grad():
        prompt = torch.tensor([row.tokens[: row.start]])
        return float(model(input_ids=prompt, decoder_input_ids=decoder, labels=labels).loss)


def test_predictions_are_transformers_own_loss(folder: Path) -> None:
    learner = Learner(*load_model(folder, training=True))
    with learner.answering():
        predictions = learner.predict(ROWS)
        said = predictions.by_row(predictions.logprobs())
    for row, sum_of_row in zip(ROWS, said.tolist(), strict=True):
        expected = loss_of(learner.model.eval(), row)
        assert -sum_of_row / row.learned == pytest.approx(expected, abs=1e-5, rel=1e-5)


OTHERS: list[tuple[str, dict[str, Any]]] = [
    ("mt5", T5), ("umt5", T5), ("longt5", T5), ("switch_transformers", T5),
    ("mbart", BART), ("marian", BART), ("m2m_100", BART), ("pegasus", BART), ("led", {**BART, "attention_window": 8}),
]  # fmt: skip


def t5gemma() -> dict[str, Any]:
    """Configure a model whose halves have configs of their own, and which caps its logits."""
    half = {"vocab_size": 66, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8,
            "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "pad_token_id": 0,
            "query_pre_attn_scalar": 8, "final_logit_softcapping": 3.0}  # fmt: skip
    return {"encoder": dict(half), "decoder": dict(half), "vocab_size": 66, "dropout_rate": 0.0, "pad_token_id": 0,
            "eos_token_id": 1, "bos_token_id": 2, "decoder_start_token_id": 2}  # fmt: skip


OTHERS.append(("t5gemma", t5gemma()))


@pytest.mark.parametrize(("family", "options"), OTHERS, ids=[family for family, _ in OTHERS])
def test_other_families_are_read_alike(family: str, options: dict[str, Any]) -> None:
    torch.manual_seed(1)
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model(family, **options), attn_implementation="eager")
    move(model, 0.1)
    learner = Learner(model, tokens("bart"))
    with learner.answering():
        said = learner.predict(ROWS)
        sums = said.by_row(said.logprobs()).tolist()
    assert [-it / row.learned for it, row in zip(sums, ROWS, strict=True)] == pytest.approx(
        [loss_of(model.eval(), row) for row in ROWS], abs=1e-4
    )


def test_greedy_answers_are_those_of_the_reference(engine: TransformersEngine) -> None:
    prompts = engine.encode([(Message("user", it),) for it in QUESTIONS])
    begin = 2 if engine.model.generation_config.forced_bos_token_id is not None else 1
    found = engine.sample(prompts, Sampling(12))
    for prompt, it in zip(prompts, found, strict=True):
        ids = torch.tensor([prompt])
        out = engine.model.generate(
            ids, do_sample=False, max_new_tokens=11 + begin, attention_mask=torch.ones_like(ids)
        )
        assert out[0, begin:].tolist() == it.tokens
    assert len({tuple(it.tokens) for it in found}) > 3


def test_a_question_is_what_the_tokenizer_makes_of_a_text(engine: TransformersEngine) -> None:
    told = engine.encode([[Message("user", "3+4")]])
    assert told == [engine.tokenizer("3+4")["input_ids"]]
    longer = (Message("user", "3+4"), Message("assistant", "8"), Message("user", "wrong"))
    begin = "<s>" if engine.tokenizer.bos_token else ""
    assert engine.tokenizer.decode(engine.encode([longer])[0]) == f"{begin}3+4\n8\nwrong</s>"
    (row,) = encode(LESSONS[:1], engine.tokenizer)
    answer = engine.tokenizer(LESSONS[0].answer, add_special_tokens=False)["input_ids"]
    assert list(row.tokens[row.start :]) == [*answer, engine.tokenizer.eos_token_id]
    assert list(row.tokens[: row.start]) == engine.tokenizer(LESSONS[0].item.question)["input_ids"]


def test_what_is_sampled_depends_on_prompt_and_seed_alone(engine: TransformersEngine) -> None:
    prompts = engine.encode([(Message("user", it),) for it in QUESTIONS])
    sampling, seeds = Sampling(10, 1.0), list(range(len(prompts)))
    together = engine.sample(prompts, sampling, seeds)
    assert [it.tokens for it in engine.sample(prompts, sampling, seeds)] == [it.tokens for it in together]
    alone = [engine.sample([prompt], sampling, [seed])[0] for prompt, seed in zip(prompts, seeds, strict=True)]
    assert [it.tokens for it in alone] == [it.tokens for it in together]
    assert [it.logprob for it in alone] == pytest.approx([it.logprob for it in together], abs=1e-3)
    again = engine.sample(prompts, sampling, [seed + 100 for seed in seeds])
    assert [it.tokens for it in again] != [it.tokens for it in together]


def test_rows_that_end_leave_the_others_as_they_are(engine: TransformersEngine) -> None:
    # What is written third, fourth or fifth ends a row, so that rows leave at different steps.
    prompts = engine.encode([(Message("user", it),) for it in QUESTIONS])
    engine._ends = torch.tensor([-1])
    whole = engine.sample(prompts, Sampling(10, 1.0), range(len(prompts)))
    ends = {it.tokens[2 + place % 3] for place, it in enumerate(whole)}
    engine._ends = torch.tensor(sorted(ends))
    for before, it in zip(whole, engine.sample(prompts, Sampling(10, 1.0), range(len(prompts))), strict=True):
        assert it.finished == (it.tokens[-1] in ends)
        assert it.tokens == before.tokens[: len(it.tokens)]
        assert not ends & set(it.tokens[:-1])


def test_the_sum_of_what_was_written_is_what_scoring_says(engine: TransformersEngine) -> None:
    prompts = [(Message("user", question),) for question in QUESTIONS]
    answers = [question[::-1] for question in QUESTIONS]
    scores = engine.score(prompts, answers)
    learner = Learner(engine.model, engine.tokenizer)
    rows = [
        Row((*head, *score.tokens), len(head), "s")
        for head, score in zip(engine.encode(prompts), scores, strict=True)
    ]  # fmt: skip
    with learner.answering():
        said = learner.predict(rows)
        assert said.by_row(said.logprobs()).tolist() == pytest.approx([sum(it.logprobs) for it in scores], abs=1e-3)


def test_a_row_that_is_not_parted_has_no_probabilities(engine: TransformersEngine) -> None:
    with pytest.raises(RefusedError, match="reads a prompt and writes an answer"):
        engine.logprobs([[5, 6, 7]])
    with pytest.raises(RefusedError, match="reads a prompt and writes an answer"):
        engine.top_logprobs([[5, 6, 7]], [1])


def test_a_decoder_that_begins_with_nobody_knows_what_is_refused(folder: Path) -> None:
    model, tokenizer = load_model(folder)
    model.generation_config.decoder_start_token_id = model.generation_config.bos_token_id = None
    with pytest.raises(PrerequisiteError, match="decoder_start_token_id"):
        TransformersEngine(model, tokenizer, "")


@pytest.fixture(scope="module")
def schooled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the checkpoint of a student that has begun to learn, and is sometimes right."""
    place = tmp_path_factory.mktemp("schooled")
    pupil = student(build(place / "base", "bart"))
    lessons = tuple(demonstration(question) for question in items.draw("add_1", Random(1)))
    config = TrainingConfig(epochs=25, batch_size=16, precision="full")
    train(TrainRequest(pupil, lessons, config, 2e-3, 1.0, 3, str(place / "cycle-1")))
    return place / "cycle-1"


@pytest.fixture
def unsure(schooled: Path) -> Learner:
    return Learner(*load_model(schooled, training=True))


def step_down(learner: Learner, loss: torch.Tensor, rate: float = 1e-3) -> None:
    """Go a step down the slope."""
    slope = gradient(learner, loss)
    slope = slope / slope.norm()
    with torch.no_grad():
        for weight, part in zip(
            learner.weights, slope.split([weight.numel() for weight in learner.weights]), strict=True
        ):
            weight -= rate * weight.norm() * part.view_as(weight)


FEEDBACK = practices(6, "add_1", "feedback")
LEARNED: dict[str, tuple[Callable[[Setting], Any], Any]] = {
    "supervised": (partial(Supervised, SupervisedConfig()), LESSONS[:8]),
    "dpo": (partial(DPO, DPOConfig()), preferences(8)),
    "kto": (partial(KTO, KTOConfig()), preferences(8)),
    "forward_kl": (partial(Distillation, DistillationConfig(divergence="forward_kl", top_k=None)), FEEDBACK),
    "reverse_kl": (partial(Distillation, DistillationConfig(divergence="reverse_kl", top_k=8)), FEEDBACK),
    "sampled": (partial(Distillation, DistillationConfig(divergence="sampled")), FEEDBACK),
    "ppo": (partial(PPO, PPOConfig(temperature=1.5, minibatches=1, passes=1)), practices(6)),
}


@pytest.mark.parametrize("name", LEARNED)
def test_a_step_of_every_objective_lowers_its_loss(name: str, unsure: Learner, scorer: Scorer) -> None:
    make, lessons = LEARNED[name]
    objective = make(setting(unsure, scorer=scorer))
    (unit, *_) = objective.units(lessons, Random(1))
    step = next(objective.steps(unit))
    before = step.loss(unsure.predict(step.rows)) / step.weight
    step_down(unsure, before)
    assert (step.loss(unsure.predict(step.rows)) / step.weight).item() < before.item() - 1e-6


IN_GROUPS = [partial(GRPO, GRPOConfig(group=4, temperature=1.5)), partial(RLOO, RLOOConfig(group=4, temperature=1.5))]


@pytest.mark.parametrize("make", IN_GROUPS, ids=["grpo", "rloo"])
def test_practice_makes_better_answers_likelier(make: Callable[[Setting], Any], unsure: Learner) -> None:
    (step,) = make(setting(unsure)).steps(practices(6))
    rows: list[Played] = step.rows

    def worth() -> float:
        logprobs = unsure.predict(rows).logprobs(1.5).split([row.learned for row in rows])
        return sum(float(row.advantages[0]) * it.sum().item() for row, it in zip(rows, logprobs, strict=True))

    before = worth()
    step_down(unsure, step.loss(unsure.predict(rows)) / step.weight)
    assert worth() > before


def test_a_tutor_with_another_tokenizer_is_learned_from(unsure: Learner) -> None:
    torch.manual_seed(1)
    tokenizer = spell_bytes(("#", "1"))
    config = LlamaConfig(vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                         num_attention_heads=4, eos_token_id=0, pad_token_id=0)  # fmt: skip
    tutor = Scorer(tutor_of(TransformersEngine(LlamaForCausalLM(config).eval(), tokenizer, "other")))
    objective = Distillation(DistillationConfig(divergence="sampled"), setting(unsure, scorer=tutor))
    (step,) = objective.steps(practices(4, "add_1", "feedback"))
    before = step.loss(unsure.predict(step.rows))
    step_down(unsure, before)
    assert step.loss(unsure.predict(step.rows)).item() < before.item()


def test_what_was_learned_is_answered(schooled: Path) -> None:
    engine = TransformersEngine.open(str(schooled), "schooled", TransformersEngineConfig())
    found = engine.generate([(Message("user", it.item.question),) for it in LESSONS], Sampling(16))
    right = sum(it.text == lesson.answer for it, lesson in zip(found, LESSONS, strict=True))
    assert right > len(LESSONS) / 2
    assert all(it.finished for it, lesson in zip(found, LESSONS, strict=True) if it.text == lesson.answer)
