"""Encoder-decoder students: trained with every adapter that fits, written down, taken up again, and exported."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tests.halves import build, student
from tests.making import demonstration
from tests.unit.training.test_snapshots import Interruption
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
from tft.errors import UserError
from tft.exporting import export_student
from tft.library import Library
from tft.ports import Sampling
from tft.student import StudentRef
from tft.student.models import adapt, ask, open_student
from tft.training import ClassRequest, TrainRequest, train, train_together
from tft.training.learner import Learner
from tft.training.rows import encode

pytestmark = pytest.mark.usefixtures("one_thread")

LESSONS = tuple(demonstration(question) for question in islice(items.draw("add_1", Random(1)), 8))
QUESTIONS = [lesson.item.question for lesson in LESSONS]
ADAPTERS: dict[str, AnyAdapter] = {
    "full": FullAdapter(),
    "lora": LoraAdapter(r=4),
    "lora with dropout": LoraAdapter(r=4, dropout=0.2),
    "dora": LoraAdapter(r=4, dora=True),
    "rslora": LoraAdapter(r=4, rslora=True),
    "bottleneck": BottleneckAdapter(width=8),
    "ia3": PeftAdapter(method="IA3"),
    "loha": PeftAdapter(method="LOHA", options={"r": 4}),
    "oft": PeftAdapter(method="OFT", options={"oft_block_size": 16}),
}


@pytest.fixture(scope="module", params=["t5 v1.1", "bart"])
def tess(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> StudentRef:
    return student(build(tmp_path_factory.mktemp("base"), request.param))


@pytest.fixture(scope="module")
def bart(tmp_path_factory: pytest.TempPathFactory) -> StudentRef:
    return student(build(tmp_path_factory.mktemp("base"), "bart"))


def request(who: StudentRef, folder: Path, **options: Any) -> TrainRequest:
    config = TrainingConfig(epochs=options.pop("epochs", 2), batch_size=4, precision="full", **options)
    return TrainRequest(who, LESSONS, config, 1e-2, 1.0, 3, str(folder))


def teach(who: StudentRef, folder: Path, **options: Any) -> StudentRef:
    made = train(request(who, folder, **options))
    return replace(who, checkpoint_path=made.path, digest=made.digest)


def said(who: StudentRef) -> list[float]:
    found = open_student(who).score([ask(it) for it in QUESTIONS], [lesson.answer for lesson in LESSONS])
    return [logprob for score in found for logprob in score.logprobs]


@pytest.mark.parametrize("name", ADAPTERS)
def test_an_opened_student_says_what_it_said_when_it_was_taught(
    name: str, tess: StudentRef, tmp_path: Path, taught: list[Learner]
) -> None:
    learned = teach(replace(tess, adapter=ADAPTERS[name]), tmp_path / "cycle-1")
    (learner,) = taught
    with learner.answering():
        own = learner.predict(encode(LESSONS, learner.tokenizer)).logprobs().tolist()
    assert said(learned) == pytest.approx(own, abs=1e-4)
    assert max(abs(one - other) for one, other in zip(said(tess), own, strict=True)) > 0.1
    prompts = learner.write_questions(QUESTIONS)
    written = learner.sample(prompts, Sampling(12), [0] * len(prompts))
    opened = open_student(learned).sample(prompts, Sampling(12))
    assert [it.tokens for it in written] == [it.tokens for it in opened]
    assert [it.logprob for it in written] == pytest.approx([it.logprob for it in opened], abs=1e-3)
    # It is taken up where it was.
    again = Learner(*adapt(learned, 99))
    with again.answering():
        assert again.predict(encode(LESSONS, again.tokenizer)).logprobs().tolist() == pytest.approx(own, abs=1e-4)
    assert [weight.shape for weight in again.weights] == [weight.shape for weight in learner.weights]


@pytest.mark.parametrize("name", ["full", "lora", "bottleneck"])
def test_activations_that_are_computed_again_change_nothing(name: str, tess: StudentRef, tmp_path: Path) -> None:
    who = replace(tess, adapter=ADAPTERS[name])
    kept = teach(who, tmp_path / "kept")
    again = teach(who, tmp_path / "again", checkpoint_activations=True)
    assert said(again) == pytest.approx(said(kept), abs=1e-3)


def test_steps_in_parts_are_whole_steps(tess: StudentRef, tmp_path: Path) -> None:
    assert said(teach(tess, tmp_path / "parts", micro_batch=1)) == pytest.approx(
        said(teach(tess, tmp_path / "whole")), abs=5e-3
    )


@pytest.mark.parametrize("name", ["full", "lora with dropout"])
def test_a_stage_that_was_interrupted_ends_the_same(
    name: str, tess: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = replace(tess, adapter=ADAPTERS[name])
    whole = train(request(who, tmp_path / "whole"))
    watch = Interruption(monkeypatch, whole.steps - 1)
    again = request(who, tmp_path / "again")
    with pytest.raises(KeyboardInterrupt):
        train(again)
    before = watch.taken
    assert train(again) == replace(whole, path=again.folder_path)
    assert 0 < watch.taken - before < whole.steps


@pytest.mark.parametrize("adapter", [PrefixAdapter(tokens=2), PromptAdapter(tokens=2)], ids=lambda it: it.type)
def test_what_stands_before_every_prompt_is_refused(adapter: AnyAdapter, bart: StudentRef) -> None:
    with pytest.raises(UserError, match=r"(?s)reads in both directions.* adapter: lora"):
        adapt(replace(bart, adapter=adapter), 1)


def test_a_classroom_of_encoder_decoder_students_ends_as_each_alone(tess: StudentRef, tmp_path: Path) -> None:
    pupils = [replace(tess, id=f"s{place}", adapter=LoraAdapter(r=4)) for place in range(2)]

    def requests(where: str) -> list[TrainRequest]:
        made = [request(who, tmp_path / where / who.id) for who in pupils]
        return [replace(made[0], lessons=LESSONS[:5]), replace(made[1], seed=5)]

    alone = [train(it) for it in requests("alone")]
    together = train_together(ClassRequest(tuple(requests("together")))).checkpoints
    for who, one, other in zip(pupils, alone, together, strict=True):
        learned = [replace(who, checkpoint_path=it.path, digest=it.digest) for it in (one, other)]
        assert said(learned[0]) == pytest.approx(said(learned[1]), abs=2e-3)
        assert max(abs(a - b) for a, b in zip(said(learned[0]), said(tess), strict=True)) > 0.1


@pytest.mark.parametrize("name", ["full", "lora"])
def test_plain_transformers_answer_as_an_exported_student(name: str, tess: StudentRef, tmp_path: Path) -> None:
    learned = teach(replace(tess, adapter=ADAPTERS[name]), tmp_path / "run" / "students" / "tess" / "final", epochs=20)
    folder = export_student(Library(tmp_path), tmp_path / "run", "tess", tmp_path / "out", adapter=False)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    expected = [it.text for it in open_student(learned).generate([ask(it) for it in QUESTIONS], Sampling(12))]
    for question, answer in zip(QUESTIONS, expected, strict=True):
        # Nothing but the question, as the tokenizer writes a text.
        out = model.generate(**tokenizer(question, return_tensors="pt"), do_sample=False, max_new_tokens=14)
        assert tokenizer.decode(out[0], skip_special_tokens=True)[: len(answer)] == answer
    assert len(set(expected)) > 1


def test_plain_peft_takes_up_an_exported_adapter(bart: StudentRef, tmp_path: Path) -> None:
    learned = teach(replace(bart, adapter=ADAPTERS["lora"]), tmp_path / "run" / "students" / "tess" / "final")
    folder = export_student(Library(tmp_path), tmp_path / "run", "tess", tmp_path / "out", adapter=True)
    base = AutoModelForSeq2SeqLM.from_pretrained(bart.base_path, attn_implementation="eager")
    model = PeftModel.from_pretrained(base, folder).eval()
    engine = open_student(learned)
    ids, labels = torch.tensor(engine.encode([ask("3+4")])), torch.tensor([[8, 9, 1]])
    with torch.no_grad():
        one = model(input_ids=ids, labels=labels).logits
        other = engine.model(input_ids=ids, labels=labels).logits
    assert torch.allclose(one, other, atol=1e-4)
