"""A student whose frozen weights have four bits: it learns, answers, is resumed, and leaves as others do."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import items
import pytest
import torch

from tests.learning import gradient, move, practices
from tests.making import demonstration
from tft.config.adapters import LoraAdapter
from tft.config.cards import GraderConfig
from tft.config.training import GRPOConfig, ObjectivesConfig, TrainingConfig
from tft.engines import transformers as engines
from tft.errors import PrerequisiteError, StageError
from tft.exporting import export_student
from tft.library import Library
from tft.ports import Sampling
from tft.student import StudentRef
from tft.student.models import adapt, load_base, open_student
from tft.training import ClassRequest, TrainRequest, loop, train, train_together
from tft.training.learner import Learner
from tft.training.rows import Row, encode

needs_bitsandbytes = pytest.mark.skipif(
    engines.find_spec("bitsandbytes") is None, reason="the extra [qlora] is not installed"
)
LORA = LoraAdapter(r=8, quantize="nf4")
LESSONS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 32))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def small(ada: StudentRef) -> StudentRef:
    """Give one that has not learned yet."""
    return replace(ada, adapter=LORA)


def request(student: StudentRef, folder: Path, lessons: Any = LESSONS, **changes: Any) -> TrainRequest:
    objectives = ObjectivesConfig(practice=GRPOConfig(kl=0.1, group=4, temperature=1.5))
    config = TrainingConfig(epochs=3, batch_size=8, precision="full", objectives=objectives, **changes)
    grader = GraderConfig(type="numeric", marker="#")
    return TrainRequest(student, tuple(lessons), config, 5e-3, 1.0, 3, str(folder), 24, grader)


def widened(student: StudentRef) -> Learner:
    """Give the same student with its rounded weights at full width."""
    model, tokenizer = load_base(student)
    from tft.student.adapting import put_on

    return Learner(put_on(model.dequantize(), student.adapter, 1), tokenizer)


@needs_bitsandbytes
def test_only_frozen_products_are_in_four_bits(small: StudentRef) -> None:
    model, _ = adapt(small, 1)
    packed = {name for name, weight in model.named_parameters() if weight.dtype == torch.uint8}
    assert len(packed) == 4 * 7
    assert all(weight.dtype == torch.float32 for name, weight in model.named_parameters() if name not in packed)
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trained and all(".lora_" in name for name in trained)


@needs_bitsandbytes
@pytest.mark.parametrize("adapter", [LORA, LoraAdapter(r=4, quantize="nf4", dora=True)], ids=["lora", "dora"])
def test_gradients_are_those_of_the_same_weights_at_full_width(adapter: LoraAdapter, small: StudentRef) -> None:
    student = replace(small, adapter=adapter)
    learner, wide = Learner(*adapt(student, 1)), widened(student)
    move(learner.model, 0.05)
    move(wide.model, 0.05)
    rows = encode(LESSONS[:6], learner.tokenizer)
    # Between answers, too: weights that are packed for answering would have no gradient from then on.
    learner.sample([row.tokens[: row.start] for row in rows], Sampling(8), list(range(len(rows))))
    found, expected = (gradient(it, it.predict(rows).logprobs().sum()) for it in (learner, wide))
    assert expected.norm() > 1
    assert (found - expected).norm() < 1e-3 * expected.norm()


@needs_bitsandbytes
def test_it_learns_answers_and_goes_on(small: StudentRef, tmp_path: Path) -> None:
    made = train(request(small, tmp_path / "cycle-1"))
    assert made.loss_first is not None and made.loss_last is not None
    assert made.loss_last < 0.7 * made.loss_first
    plain = train(request(replace(small, adapter=LoraAdapter(r=8)), tmp_path / "plain"))
    # It learns about as much as on weights of full width, and the same share of its weights.
    assert made.loss_last == pytest.approx(plain.loss_last, rel=0.25)
    assert made.trainable_share == pytest.approx(plain.trainable_share)
    learned = replace(small, checkpoint_path=made.path, digest=made.digest)
    engine, learner = open_student(learned), Learner(*adapt(learned, 9))
    rows = encode(LESSONS[:4], learner.tokenizer)
    with learner.answering():
        said = learner.predict(rows).logprobs()
    heard = engine.logprobs([row.tokens for row in rows])
    expected = [it for row, found in zip(rows, heard, strict=True) for it in found[row.start - 1 :]]
    assert said.tolist() == pytest.approx(expected, abs=1e-3)
    again = train(request(learned, tmp_path / "cycle-2"))
    assert again.loss_first is not None and again.loss_first < made.loss_first


@needs_bitsandbytes
def test_practice_has_a_reference_of_its_own(small: StudentRef, tmp_path: Path) -> None:
    made = train(request(small, tmp_path / "cycle-1", practices(8, "add_2")))
    assert made.steps > 0 and "reward" in made.measures
    learner = Learner(*adapt(small, 1))
    before = learner.as_it_is()
    rows = [Row((2, 3, 4, 5), 1, "add_1")]
    first = before.ask(rows, lambda found: found.logprobs())
    move(learner.model, 0.2)
    assert torch.equal(before.ask(rows, lambda found: found.logprobs()), first)
    assert not torch.equal(learner.ask(rows, lambda found: found.logprobs()), first)


@needs_bitsandbytes
def test_one_that_was_interrupted_ends_the_same(
    small: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(request(small, tmp_path / "whole"))
    assert train(request(small, tmp_path / "twice")).digest == whole.digest
    monkeypatch.setattr(loop, "_SNAPSHOT_EVERY", -1.0)
    take, left = loop.Course.take, [5]

    def taking(course: loop.Course, loss: float) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        take(course, loss)

    monkeypatch.setattr(loop.Course, "take", taking)
    with pytest.raises(KeyboardInterrupt):
        train(request(small, tmp_path / "cycle-1"))
    made = train(request(small, tmp_path / "cycle-1"))
    assert made.digest == whole.digest
    # It went on, and did not begin anew.
    assert left[0] == -(whole.steps - 4)


@needs_bitsandbytes
def test_it_leaves_as_an_adapter_or_merged_at_full_width(small: StudentRef, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "students" / "ada" / "final"
    made = train(request(small, folder))
    learned = replace(small, checkpoint_path=str(folder), digest=made.digest)
    rows = [list(row.tokens) for row in encode(LESSONS[:3], load_base(small)[1])]
    said = open_student(learned).logprobs(rows)
    merged = export_student(Library(), tmp_path, "ada", tmp_path / "merged", adapter=False)
    model = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32, attn_implementation="eager")
    assert not hasattr(model.config, "quantization_config")
    base = load_base(small, training=False)[0]
    adapter = export_student(Library(), tmp_path, "ada", tmp_path / "adapter", adapter=True)
    for plain in (model, PeftModel.from_pretrained(base, adapter)):
        plain.eval()
        for row, expected in zip(rows, said, strict=True):
            with torch.no_grad():
                logits = plain(input_ids=torch.tensor([row])).logits[0].log_softmax(-1)
            found = [logits[place - 1, row[place]].item() for place in range(1, len(row))]
            assert found == pytest.approx(expected, abs=1e-3)


def test_it_has_no_place_in_a_classroom(small: StudentRef, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="four bits"):
        train_together(ClassRequest((request(small, tmp_path / "one"), request(small, tmp_path / "two"))))


def test_without_bitsandbytes_it_says_what_to_install(small: StudentRef, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(PrerequisiteError, match=r"extra \[qlora\]"):
        load_base(small)
