from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerBase

from tests.learning import move
from tft.config.adapters import BottleneckAdapter, FullAdapter, LoraAdapter, PeftAdapter, PrefixAdapter, PromptAdapter
from tft.engines.transformers import load_model
from tft.errors import PrerequisiteError, UserError
from tft.student import StudentRef
from tft.student.adapting import put_on, read_prefix, settle, take_up, write_down
from tft.student.bottleneck import WEIGHTS, add_bottlenecks
from tft.student.models import adapt

pytestmark = pytest.mark.usefixtures("one_thread")

IDS = torch.tensor([[34, 8, 15, 9, 3, 35, 8, 15]])


@pytest.fixture
def model(novice: Path) -> PreTrainedModel:
    return load_model(novice, training=True)[0]


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.eval()(IDS).logits
    return found


QUIET = [
    FullAdapter(),
    LoraAdapter(r=4),
    LoraAdapter(r=4, dora=True),
    BottleneckAdapter(width=4),
    PeftAdapter(method="IA3"),
]


@pytest.mark.parametrize("adapter", QUIET, ids=lambda it: it.type)
def test_a_new_adapter_changes_nothing_before_something_is_learned(adapter: Any, model: PreTrainedModel) -> None:
    before = logits(model)
    adapted = put_on(model, adapter, 1)
    assert torch.allclose(logits(adapted), before, atol=1e-4)
    move(adapted, 0.1)
    assert not torch.allclose(logits(adapted), before, atol=0.1)


@pytest.mark.parametrize(
    "adapter", [*QUIET[1:], PrefixAdapter(tokens=2), PromptAdapter(tokens=2)], ids=lambda it: it.type
)
def test_only_the_adapter_is_trained_and_chance_decides_how_it_begins(
    adapter: Any, novice: Path, ada: StudentRef
) -> None:
    student = replace(ada, adapter=adapter)
    made = [adapt(student, seed)[0] for seed in (1, 1, 2)]
    base = dict(load_model(novice)[0].named_parameters())
    trained = [[weight for weight in it.parameters() if weight.requires_grad] for it in made]
    assert 0 < sum(weight.numel() for weight in trained[0]) < 0.1 * sum(weight.numel() for weight in base.values())
    assert all(torch.equal(one, other) for one, other in zip(trained[0], trained[1], strict=True))
    # IA3 begins with ones.
    alike = all(torch.equal(one, other) for one, other in zip(trained[0], trained[2], strict=True))
    assert alike == (adapter.type == "peft")


def test_a_prefix_begins_as_the_keys_of_tokens(model: PreTrainedModel) -> None:
    adapted = put_on(model, PrefixAdapter(tokens=3), 1)
    torch.manual_seed(1)
    keys, values = read_prefix(adapted)[0]  # type: ignore[index]
    assert keys.shape == values.shape == (1, 4, 3, 32)
    # Some three tokens have them.
    with torch.no_grad():
        layer = model.model.layers[0]
        normed = layer.input_layernorm(model.get_input_embeddings().weight)
        known = layer.self_attn.v_proj(normed).view(64, 4, 32).transpose(0, 1)
    apart = (values[0][:, :, None] - known[:, None]).norm(dim=(0, -1))
    assert (apart.min(-1).values < 1e-4).all()


def test_bottlenecks_are_written_without_the_model(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, novice: Path
) -> None:
    adapter = BottleneckAdapter(width=4)
    adapted = put_on(model, adapter, 1)
    move(adapted, 0.3)
    said = logits(adapted)
    write_down(adapted, tokenizer, adapter, tmp_path)
    assert (tmp_path / WEIGHTS).stat().st_size < 0.1 * (novice / "model.safetensors").stat().st_size
    again = take_up(load_model(novice)[0], adapter, tmp_path, training=False)
    assert torch.equal(logits(again), said)
    settled, prefix = settle(again)
    assert prefix is None and torch.equal(logits(settled), said)


def test_bottlenecks_of_another_model_are_refused(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tmp_path: Path, novice: Path
) -> None:
    adapter = BottleneckAdapter(width=4)
    write_down(put_on(model, adapter, 1), tokenizer, adapter, tmp_path)
    shorter = load_model(novice)[0]
    shorter.model.layers = shorter.model.layers[:2]
    with pytest.raises(PrerequisiteError, match="another model"):
        take_up(shorter, adapter, tmp_path, training=True)


def test_a_model_without_feed_forward_blocks_takes_no_bottlenecks() -> None:
    with pytest.raises(PrerequisiteError, match="adapter: lora"):
        add_bottlenecks(torch.nn.Linear(2, 2), 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("adapter", "told"),
    [
        (PeftAdapter(method="IA4"), "IA3"),
        (PeftAdapter(method="IA3", options={"rank": 3}), "rank"),
    ],
    ids=["method", "option"],
)
def test_what_peft_has_not_is_said(adapter: PeftAdapter, told: str, model: PreTrainedModel) -> None:
    with pytest.raises(UserError, match=told):
        put_on(model, adapter, 1)


SETTLED: list[Callable[[], Any]] = [lambda: PrefixAdapter(tokens=2), lambda: PromptAdapter(tokens=2)]


@pytest.mark.parametrize("make", SETTLED)
def test_what_stands_before_a_prompt_is_taken_off_the_model(make: Callable[[], Any], model: PreTrainedModel) -> None:
    before = logits(model)
    settled, prefix = settle(put_on(model, make(), 1))
    assert settled is model
    assert torch.equal(logits(settled), before)
    assert prefix is not None and len(prefix) == 4
    assert all(keys.shape == (1, 4, 2, 32) for keys, _ in prefix)


@pytest.mark.parametrize("adapter", [QUIET[1], QUIET[2], QUIET[4]], ids=["lora", "dora", "ia3"])
def test_only_float32_weights_take_an_addition_up(adapter: Any, model: PreTrainedModel) -> None:
    adapted = put_on(model, adapter, 1)
    move(adapted, 0.1)
    settled, _ = settle(adapted)
    assert not any("base_layer" in name for name in settled.state_dict())
    rounded = load_model(Path(settled.name_or_path))[0].to(torch.bfloat16)
    before = [weight.clone() for weight in rounded.parameters()]
    beside = put_on(rounded, adapter, 1)
    move(beside, 0.1)
    said = logits(beside)
    settled, prefix = settle(beside)
    # An addition that is less than what bfloat16 rounds to would be gone.
    kept = [weight for name, weight in settled.named_parameters() if "lora_" not in name and "ia3_" not in name]
    assert prefix is None and torch.equal(logits(settled), said)
    assert all(torch.equal(one, other) for one, other in zip(kept, before, strict=True))


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_what_one_end_of_the_model_learned_is_not_merged_into_the_other(
    target: str, model: PreTrainedModel, tmp_path: Path
) -> None:
    assert model.get_input_embeddings().weight is model.get_output_embeddings().weight
    adapted = put_on(model, LoraAdapter(r=4, targets=("q_proj", target)), 1)
    move(adapted, 0.1)
    before = logits(adapted)
    merged, _ = settle(adapted)
    assert torch.allclose(logits(merged), before, atol=1e-4)
    merged.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(logits(again), before, atol=1e-4)
