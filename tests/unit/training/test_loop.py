from __future__ import annotations

import gc
import json
import weakref
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import items
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel

from tests.learning import setting
from tests.making import demonstration
from tft.config.adapters import FullAdapter, LoraAdapter
from tft.config.training import TrainingConfig
from tft.engines.transformers import load_model
from tft.errors import StageError
from tft.ports import Sampling
from tft.student import StudentRef, read_checkpoint
from tft.student.models import adapt, attempt, open_student
from tft.training import ClassRequest, TrainRequest, loop, supervised, train, train_together
from tft.training.loop import matrix_products
from tft.training.rates import default_learning_rate, learning_rate_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LESSONS = tuple(demonstration(question) for question in islice(items.draw("sub_2", Random(1)), 24))
LORA = LoraAdapter(r=4)

pytestmark = pytest.mark.usefixtures("one_thread")


def request(student: StudentRef, folder: Path, **changes: Any) -> TrainRequest:
    config = TrainingConfig(epochs=changes.pop("epochs", 2), batch_size=8, precision="full")
    made = TrainRequest(student, LESSONS, config, 3e-3, 1.0, 3, str(folder))
    return replace(made, **changes)


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[PreTrainedModel]:
    """Keep hold of every model that is trained."""
    models: list[PreTrainedModel] = []

    def adapt_and_keep(student: StudentRef, seed: int) -> Any:
        model, tokenizer = adapt(student, seed)
        models.append(model)
        return model, tokenizer

    monkeypatch.setattr(loop, "adapt", adapt_and_keep)
    return models


@given(st.integers(1, 500), st.floats(0, 0.99))
def test_the_learning_rate_rises_to_its_peak_and_falls_to_a_twentieth(steps: int, warmup: float) -> None:
    shares = [learning_rate_at(step, steps, warmup) for step in range(steps)]
    rise = max(1, round(warmup * steps))
    assert all(0 < share <= 1 for share in shares)
    assert shares[:rise] == sorted(shares[:rise])
    assert shares[rise - 1 :] == sorted(shares[rise - 1 :], reverse=True)
    assert shares[rise - 1] == 1.0
    if steps > rise:
        assert learning_rate_at(steps, steps, warmup) == pytest.approx(0.05)


def test_the_learning_rate_by_hand() -> None:
    # A rise over a tenth of 20 steps; half-way down the cosine it is (1 + 0.05) / 2.
    assert [learning_rate_at(step, 20, 0.1) for step in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert learning_rate_at(11, 20, 0.1) == pytest.approx(0.525)


def test_wider_students_learn_more_slowly() -> None:
    for adapter in ("full", "lora"):
        rates = [default_learning_rate(adapter, width) for width in (128, 512, 2048)]
        assert rates == sorted(rates, reverse=True)
    for adapter in ("full", "lora"):
        assert default_learning_rate(f"{adapter} below a head", 128) < default_learning_rate(adapter, 128)
    assert default_learning_rate("full", 256) == pytest.approx(default_learning_rate("full", 128) / 4)


def test_products_are_rounded_only_inside_and_only_if_asked() -> None:
    before = torch.get_float32_matmul_precision()
    for precision, inside in (("full", "highest"), ("bf16_products", "medium")):
        with pytest.raises(KeyError), matrix_products(precision):
            assert torch.get_float32_matmul_precision() == inside
            raise KeyError
        assert torch.get_float32_matmul_precision() == before


@pytest.mark.parametrize("adapter", [FullAdapter(), LORA])
def test_the_loss_falls_on_a_handful_of_lessons(
    adapter: FullAdapter | LoraAdapter, ada: StudentRef, tmp_path: Path
) -> None:
    checkpoint = train(request(replace(ada, adapter=adapter), tmp_path / "cycle-1", epochs=6))
    assert checkpoint.loss_first is not None and checkpoint.loss_last is not None
    assert checkpoint.loss_last < 0.6 * checkpoint.loss_first
    assert checkpoint.steps == 6 * 3
    tokens = sum(len(f"Q{it.item.question}\nA{it.answer}") + 1 for it in LESSONS)
    assert checkpoint.trained_tokens == 6 * tokens
    assert checkpoint.trained_tokens_by_skill == {"sub_2": 6 * tokens}
    assert checkpoint.trainable_share is not None
    assert checkpoint.trainable_share == 1.0 if adapter.type == "full" else checkpoint.trainable_share < 0.1


@pytest.mark.parametrize(("changes", "own", "passes"), [
    ({}, None, 4), ({"min_steps": 12}, None, 4), ({"min_steps": 13}, None, 5), ({"min_steps": 100}, None, 34),
    ({"min_steps": 100}, 2, 2), ({"epochs": 1, "min_steps": 1}, None, 1),
])  # fmt: skip
def test_few_lessons_are_read_until_enough_steps_are_made(
    changes: dict[str, int], own: int | None, passes: int
) -> None:
    told = replace(setting(), training=TrainingConfig.model_validate(changes))
    # Three steps a pass: 8, 8 and 4 lessons.
    assert told.passes(own, 20, 8) == passes
    assert told.passes(own, 0, 8) in (1, own)


def test_a_cycle_has_the_steps_that_were_asked_for(ada: StudentRef, tmp_path: Path) -> None:
    asked = request(ada, tmp_path / "cycle-1")
    short = replace(asked, config=asked.config.model_copy(update={"epochs": 1, "min_steps": 7}))
    assert train(short).steps == 9


@pytest.mark.parametrize("how", ["alone", "classroom", "one by one"])
def test_training_begins_with_no_other_student_in_memory(
    how: str, ada: StudentRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = replace(ada, adapter=LORA)
    loaded = [weakref.ref(open_student(student).model)]
    there: list[int] = []

    def loading(*given: Any, **options: Any) -> Any:
        # What only holds on to itself is looked for where there is a GPU.
        gc.collect()
        there.append(sum(it() is not None for it in loaded))
        model, tokenizer = load_model(*given, **options)
        loaded.append(weakref.ref(model))
        return model, tokenizer

    monkeypatch.setattr("tft.student.models.load_model", loading)
    if how == "one by one":
        monkeypatch.setattr("tft.training.classroom.dropout_of", lambda _: 0.1)
    seats = tuple(request(student, tmp_path / name, epochs=1) for name in ("one", "two"))
    if how == "alone":
        train(seats[0])
    else:
        train_together(ClassRequest(seats))
    assert there == [0] * {"alone": 1, "classroom": 1, "one by one": 3}[how]


@pytest.mark.parametrize("adapter", [FullAdapter(), LORA])
def test_no_learning_rate_means_that_of_the_adapter(
    adapter: FullAdapter | LoraAdapter, ada: StudentRef, tmp_path: Path
) -> None:
    student = replace(ada, adapter=adapter)
    named = default_learning_rate(adapter.type, 128)
    digests = [train(request(student, tmp_path / str(rate), learning_rate=rate, epochs=1)).digest
               for rate in (None, named)]  # fmt: skip
    assert digests[0] == digests[1]


@pytest.mark.parametrize("adapter", [FullAdapter(), LORA])
def test_what_was_learned_can_be_opened_asked_and_trained_on(
    adapter: FullAdapter | LoraAdapter, ada: StudentRef, tmp_path: Path, watched: list[PreTrainedModel]
) -> None:
    student = replace(ada, adapter=adapter)
    first = train(request(student, tmp_path / "cycle-1"))
    read_checkpoint(tmp_path / "cycle-1", first.digest)
    learned = replace(student, checkpoint_path=first.path, digest=first.digest)
    again, _ = adapt(learned, seed=99)
    for name, tensor in again.state_dict().items():
        assert torch.equal(tensor, watched[0].state_dict()[name]), name
    asked = [lesson.item for lesson in LESSONS[:4]]
    assert len(attempt(learned, asked, Sampling(32))) == 4
    second = train(request(learned, tmp_path / "cycle-2"))
    assert second.loss_first is not None and first.loss_first is not None
    assert second.loss_first < first.loss_first
    assert second.digest != first.digest


def test_a_damaged_checkpoint_is_neither_opened_nor_trained_on(ada: StudentRef, tmp_path: Path) -> None:
    made = train(request(ada, tmp_path / "cycle-1"))
    learned = replace(ada, checkpoint_path=made.path, digest=made.digest)
    with (tmp_path / "cycle-1" / "model.safetensors").open("r+b") as file:
        file.seek(4000)
        byte = file.read(1)
        file.seek(4000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(StageError, match=r"model\.safetensors differs"):
        attempt(learned, [LESSONS[0].item], Sampling(8))
    with pytest.raises(StageError, match=r"model\.safetensors differs"):
        train(request(learned, tmp_path / "cycle-2"))
    assert not (tmp_path / "cycle-2").exists()


def test_lora_saves_an_ordinary_adapter(
    ada: StudentRef, tmp_path: Path, watched: list[PreTrainedModel], novice: Path
) -> None:
    train(request(replace(ada, adapter=LORA), tmp_path / "cycle-1"))
    assert not (tmp_path / "cycle-1" / "model.safetensors").exists()
    base, tokenizer = load_model(novice)
    before = weights(base)
    adapted = PeftModel.from_pretrained(base, tmp_path / "cycle-1").eval()
    ids = torch.tensor([tokenizer("Q52-27\nA", add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        assert torch.allclose(adapted(ids).logits, watched[0].eval()(ids).logits, atol=1e-4)
        with adapted.disable_adapter():
            plain = adapted(ids).logits
        assert torch.equal(plain, load_model(novice)[0](ids).logits)
        assert not torch.equal(plain, adapted(ids).logits)
    merged = adapted.merge_and_unload().state_dict()
    assert any(not torch.equal(merged[name], before[name]) for name in before)


@pytest.mark.parametrize("adapter", [FullAdapter(), LORA])
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(
    adapter: FullAdapter | LoraAdapter, ada: StudentRef, tmp_path: Path
) -> None:
    student = replace(ada, adapter=adapter)
    digests = [train(request(student, tmp_path / str(turn), seed=seed)).digest for turn, seed in enumerate((3, 3, 4))]
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_dropout_is_a_function_of_the_seed_too(ada: StudentRef, tmp_path: Path) -> None:
    student = replace(ada, adapter=LoraAdapter(r=4, dropout=0.2))
    first = train(request(student, tmp_path / "cycle-1"))
    learned = replace(student, checkpoint_path=first.path, digest=first.digest)
    digests = []
    for noise in (1, 2):
        torch.manual_seed(noise)
        digests.append(train(request(learned, tmp_path / f"cycle-2-{noise}")).digest)
    assert digests[0] == digests[1]


def test_nothing_in_a_checkpoint_has_the_order_of_a_set(ada: StudentRef, tmp_path: Path) -> None:
    # Hashes of strings differ from process to process, and with them the bytes that such an order is written in.
    student = replace(ada, adapter=LORA)
    first = train(request(student, tmp_path / "cycle-1"))
    train(request(replace(student, checkpoint_path=first.path, digest=first.digest), tmp_path / "cycle-2"))
    for cycle in ("cycle-1", "cycle-2"):
        saved = json.loads((tmp_path / cycle / "adapter_config.json").read_text())
        assert len(saved["target_modules"]) == 7
        assert saved["target_modules"] == sorted(saved["target_modules"])


def test_a_loss_that_is_not_finite_ends_it_before_a_weight_is_touched(
    ada: StudentRef, tmp_path: Path, watched: list[PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = supervised.supervised_loss
    monkeypatch.setattr(supervised, "supervised_loss", lambda predictions: sound(predictions) * float("nan"))
    with pytest.raises(StageError, match=r"ada: the loss of answers is nan .* at step 1; nothing was saved\. No step"):
        train(request(ada, tmp_path / "cycle-1"))
    untouched = weights(adapt(ada, 3)[0])
    for name, tensor in watched[0].state_dict().items():
        assert torch.equal(tensor, untouched[name]), name
    assert list(tmp_path.iterdir()) == []


def test_a_gradient_that_is_not_finite_ends_it_too(
    ada: StudentRef, tmp_path: Path, watched: list[PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, loss: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
            return loss.clone()

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
            return gradient * float("inf")

    sound = supervised.supervised_loss
    monkeypatch.setattr(supervised, "supervised_loss", lambda predictions: Poison.apply(sound(predictions)))
    with pytest.raises(StageError, match=r"gradient's norm (nan|inf) at step 1"):
        train(request(ada, tmp_path / "cycle-1"))
    untouched = weights(adapt(ada, 3)[0])
    assert all(torch.equal(tensor, untouched[name]) for name, tensor in watched[0].state_dict().items())
    assert list(tmp_path.iterdir()) == []


def test_an_absurd_learning_rate_ends_without_a_checkpoint(ada: StudentRef, tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"not|nan|inf"):
        train(request(ada, tmp_path / "cycle-1", learning_rate=1e30))
    assert list(tmp_path.iterdir()) == []


def test_a_roll_back_learns_more_slowly(ada: StudentRef, tmp_path: Path) -> None:
    full = train(request(ada, tmp_path / "full", learning_rate=2e-3))
    halved = train(request(ada, tmp_path / "halved", learning_rate=2e-3, learning_rate_scale=0.5))
    named = train(request(ada, tmp_path / "named", learning_rate=1e-3))
    assert halved.digest == named.digest != full.digest
