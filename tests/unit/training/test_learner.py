from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from tests.learning import expect, gradient, move, practices
from tests.making import demonstration
from tft.config.adapters import (
    AnyAdapter,
    BottleneckAdapter,
    FullAdapter,
    LoraAdapter,
    PeftAdapter,
    PrefixAdapter,
    PromptAdapter,
)
from tft.config.training import TrainingConfig
from tft.engines.transformers import load_model
from tft.errors import StageError, UserError
from tft.ports import Sampling
from tft.student import StudentRef
from tft.student.models import adapt, open_student
from tft.training import TrainRequest, train
from tft.training import learner as room
from tft.training.divergence import divergence
from tft.training.learner import Learner, Predictions
from tft.training.rows import Row, encode
from tft.training.supervised import supervised_loss

LESSONS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 8))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def rows(learner: Learner) -> list[Row]:
    lessons = [demonstration(question) for question in islice(items.draw("add_3", Random(1)), 5)]
    found = encode([*lessons, *LESSONS[:3]], learner.tokenizer)
    assert len({len(row.tokens) for row in found}) > 1
    return found


def test_numbers_of_tokens_belong_to_their_rows() -> None:
    predictions = expect(torch.zeros(4, 4), [Row((0, 1, 2), 1, "s"), Row((0, 1), 1, "s"), Row((3, 2, 1, 0), 2, "s")])
    assert predictions.labels_N.tolist() == [1, 2, 1, 1, 0]
    assert predictions.by_row(torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0])).tolist() == [3.0, 4.0, 24.0]
    assert predictions.spread([1.0, 2.0, 3.0]).tolist() == [1.0, 1.0, 2.0, 3.0, 3.0]


def test_temperature_divides_the_logits() -> None:
    # Odds of 3 to 1 become 9 to 1 at a half, and even out as it rises.
    table = torch.tensor([[1.0, 3.0]]).log().repeat(2, 1)
    predictions = expect(table, [Row((0, 1), 1, "s")])
    assert predictions.logprobs(0.5).exp().item() == pytest.approx(0.9)
    assert predictions.logprobs(1.0).exp().item() == pytest.approx(0.75)
    assert predictions.logprobs(1e6).exp().item() == pytest.approx(0.5, abs=1e-5)


def losses(predictions: Predictions) -> dict[str, torch.Tensor]:
    tutor = torch.randn(len(predictions.labels_N), 64, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    top, ids = tutor.topk(4, -1)
    return {
        "supervised": supervised_loss(predictions),
        "tempered": predictions.by_row(predictions.logprobs(0.7)).square().sum(),
        "whole": predictions.fold(lambda logits, it: divergence("reverse_kl", logits, it), tutor).sum(),
        "top": predictions.fold(lambda logits, it, of: divergence("forward_kl", logits, it, of), top, ids).sum(),
    }


@pytest.mark.parametrize("chunk", [1, 64 * 7])
def test_chunks_change_neither_loss_nor_gradient(
    chunk: int, learner: Learner, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    def found() -> dict[str, tuple[float, torch.Tensor]]:
        made = losses(learner.predict(rows[:4])).items()
        return {name: (loss.item(), gradient(learner, loss, keep=True)) for name, loss in made}

    whole = found()
    monkeypatch.setattr(room, "_CHUNK", chunk)
    for name, (loss, slope) in found().items():
        assert loss == pytest.approx(whole[name][0], rel=1e-5), name
        assert (slope - whole[name][1]).norm() < 1e-5 * slope.norm(), name


def test_no_more_than_a_chunk_of_the_vocabulary_is_there_at_once(
    learner: Learner, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_CHUNK", 64 * 3)
    seen: list[int] = []
    predictions = learner.predict(rows)

    def size(logits: torch.Tensor) -> torch.Tensor:
        seen.append(len(logits))
        return logits.sum(-1)

    predictions.fold(size)
    assert max(seen) == 3 and sum(seen) == len(predictions.labels_N) > 60


def test_rows_beside_it_do_not_change_what_is_said_of_a_row(learner: Learner, rows: list[Row]) -> None:
    together = learner.predict(rows).logprobs().split([row.learned for row in rows])
    for row, said in zip(rows, together, strict=True):
        assert torch.allclose(learner.predict([row]).logprobs(), said, atol=1e-4)


SMALL = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 2,
    "eos_token_id": 1,
}  # fmt: skip
FAMILIES: list[Any] = [
    ("llama", {}),
    ("gpt2", {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}),
    ("qwen3", {}),
    ("gemma2", {"final_logit_softcapping": 3.0}),
    ("gemma3_text", {}),
    ("cohere", {"logit_scale": 0.3}),
    ("granite", {"logits_scaling": 3.0, "embedding_multiplier": 2.0}),
    ("olmo2", {}),
    ("hyperclovax", {"logits_scaling": 3.0}),
]


@pytest.mark.parametrize(("family", "options"), FAMILIES)
def test_predictions_are_those_of_the_whole_model(family: str, options: dict[str, Any], learner: Learner) -> None:
    torch.manual_seed(1)
    config = AutoConfig.for_model(family, **SMALL, **options)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    move(model, 0.2)
    rows = [Row((5, 6, 7, 8, 9, 1), 2, "s"), Row((5, 6, 7, 1), 1, "s")]
    with torch.no_grad():
        said = [model(torch.tensor([row.tokens])).logits[0].log_softmax(-1) for row in rows]
    expected = [said[number][place - 1, row.tokens[place]].item() for number, row in enumerate(rows)
                for place in range(row.start, len(row.tokens))]  # fmt: skip
    other = Learner(model, learner.tokenizer)
    with other.answering():
        assert other.predict(rows).logprobs().tolist() == pytest.approx(expected, abs=1e-4)


def test_a_model_that_does_something_else_with_its_logits_is_refused(learner: Learner) -> None:
    class Louder(LlamaForCausalLM):
        def forward(self, *given: Any, **named: Any) -> Any:
            found = super().forward(*given, **named)
            found.logits = 1.7 * found.logits
            return found

    model = Louder(LlamaConfig(**SMALL))
    move(model, 0.2)
    with pytest.raises(StageError, match="what Louder does with its logits"):
        Learner(model, learner.tokenizer)


def test_while_it_answers_nothing_is_left_out_and_no_gradient_kept(ada: StudentRef) -> None:
    learner = Learner(*adapt(replace(ada, adapter=LoraAdapter(r=4, dropout=0.5)), 1))
    move(learner.model, 0.1)
    rows = encode(LESSONS, learner.tokenizer)
    assert not torch.equal(learner.predict(rows).logprobs(), learner.predict(rows).logprobs())
    with learner.answering():
        once, again = learner.predict(rows).logprobs(), learner.predict(rows).logprobs()
        assert torch.equal(once, again) and not once.requires_grad
    assert learner.model.training
    with pytest.raises(KeyError), learner.answering():
        raise KeyError
    assert learner.model.training
    assert learner.predict(rows).logprobs().requires_grad


def test_to_write_leaves_nothing_behind(unsure: Learner) -> None:
    rows = encode(LESSONS, unsure.tokenizer)
    before = gradient(unsure, supervised_loss(unsure.predict(rows)))
    unsure.sample(unsure.write_questions(["3+4", "5+6"]), Sampling(8, 1.0), [1, 2])
    assert torch.equal(gradient(unsure, supervised_loss(unsure.predict(rows))), before)


ADAPTERS: dict[str, AnyAdapter] = {
    "full": FullAdapter(),
    "lora": LoraAdapter(r=4),
    "lora with dropout": LoraAdapter(r=4, dropout=0.2),
    "lora in some layers": LoraAdapter(r=4, targets=("q_proj", "down_proj"), alpha=3.0),
    "dora": LoraAdapter(r=4, dora=True),
    "rslora": LoraAdapter(r=4, rslora=True),
    "prefix": PrefixAdapter(tokens=3),
    "prompt": PromptAdapter(tokens=3),
    "bottleneck": BottleneckAdapter(width=8),
    "ia3": PeftAdapter(method="IA3"),
    "loha": PeftAdapter(method="LOHA", options={"r": 4}),
    "oft": PeftAdapter(method="OFT"),
}


def teach(student: StudentRef, folder: Path, **options: Any) -> StudentRef:
    config = TrainingConfig(epochs=1, batch_size=4, precision="full", **options)
    made = train(TrainRequest(student, LESSONS, config, 1e-2, 1.0, 3, str(folder)))
    return replace(student, checkpoint_path=made.path, digest=made.digest)


def said(student: StudentRef, rows: list[Row]) -> list[float]:
    found = open_student(student).logprobs([row.tokens for row in rows])
    return [logprob for row, them in zip(rows, found, strict=True) for logprob in them[row.start - 1 :]]


@pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS.keys())
def test_an_opened_student_says_what_it_said_when_it_was_taught(
    adapter: AnyAdapter, ada: StudentRef, tmp_path: Path, taught: list[Learner]
) -> None:
    learned = teach(replace(ada, adapter=adapter), tmp_path / "cycle-1")
    (learner,) = taught
    rows = encode(LESSONS, learner.tokenizer)
    with learner.answering():
        own = learner.predict(rows).logprobs()
    assert said(learned, rows) == pytest.approx(own.tolist(), abs=1e-4)
    # And it is not what it said before.
    assert max(abs(one - other) for one, other in zip(said(ada, rows), own.tolist(), strict=True)) > 1
    prompts = learner.write_questions([lesson.item.question for lesson in LESSONS])
    written = learner.sample(prompts, Sampling(24), [0] * len(prompts))
    opened = open_student(learned).sample(prompts, Sampling(24))
    assert [it.tokens for it in written] == [it.tokens for it in opened]
    assert [it.logprob for it in written] == pytest.approx([it.logprob for it in opened], abs=1e-3)


@pytest.mark.parametrize(("adapter", "told"), [
    # PEFT saves what its network made of a prompt, and not the network.
    (PeftAdapter(method="P_TUNING", options={"num_virtual_tokens": 3}), "prefix and prompt tuning have types"),
    (PeftAdapter(method="NONE"), "no such adapter"),
    (PeftAdapter(method="LOHA", options={"rank": 4}), "rank"),
    (PeftAdapter(method="ADAPTION_PROMPT", options={"adapter_len": 4, "adapter_layers": 2}), "merged|no such"),
])  # fmt: skip
def test_an_adapter_that_could_not_be_used_is_refused_before_it_is_trained(
    adapter: PeftAdapter, told: str, ada: StudentRef
) -> None:
    with pytest.raises(UserError, match=told):
        adapt(replace(ada, adapter=adapter), 1)


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_student_is_taken_up_where_it_was(name: str, ada: StudentRef, tmp_path: Path, taught: list[Learner]) -> None:
    learned = teach(replace(ada, adapter=ADAPTERS[name]), tmp_path / "cycle-1")
    again = Learner(*adapt(learned, 99))
    rows = encode(LESSONS, again.tokenizer)
    with taught[0].answering(), again.answering():
        assert torch.allclose(again.predict(rows).logprobs(), taught[0].predict(rows).logprobs(), atol=1e-5)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in taught[0].weights]
    later = teach(learned, tmp_path / "cycle-2")
    assert later.digest != learned.digest


@pytest.mark.parametrize("name", ["full", "lora", "prompt", "bottleneck", "ia3"])
def test_activations_that_are_computed_again_change_nothing(name: str, ada: StudentRef, tmp_path: Path) -> None:
    student = replace(ada, adapter=ADAPTERS[name])
    kept = teach(student, tmp_path / "kept")
    again = teach(student, tmp_path / "again", checkpoint_activations=True)
    rows = encode(LESSONS, load_model(ada.base_path)[1])
    assert said(again, rows) == pytest.approx(said(kept, rows), abs=1e-4)


def test_activations_of_a_prefix_cannot_be_computed_again(ada: StudentRef, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"(?s)prefix tuning .* adapter: prompt"):
        teach(replace(ada, adapter=ADAPTERS["prefix"]), tmp_path / "cycle-1", checkpoint_activations=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["prefix", "prompt"])
def test_what_stands_before_the_prompt_is_what_it_is_now(name: str, ada: StudentRef) -> None:
    learner = Learner(*adapt(replace(ada, adapter=ADAPTERS[name]), 1))
    prompts = learner.write_questions([lesson.item.question for lesson in practices(6)])
    first = learner.sample(prompts, Sampling(12), [0] * 6)
    move(learner.model, 1.0)
    second = learner.sample(prompts, Sampling(12), [0] * 6)
    assert [it.tokens for it in first] != [it.tokens for it in second]
    for prompt, it in zip(prompts, second, strict=True):
        row = Row((*prompt, *it.tokens), len(prompt), "s")
        with learner.answering():
            assert learner.predict([row]).logprobs().sum().item() == pytest.approx(it.logprob, abs=1e-3)
