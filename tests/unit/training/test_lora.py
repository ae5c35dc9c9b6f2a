from __future__ import annotations

from itertools import islice
from random import Random
from typing import TYPE_CHECKING, Any

import items
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.making import demonstration
from tft.training.learner import Learner
from tft.training.lora import merge_while_training, merged
from tft.training.rows import Row, collate, count_learned, encode
from tft.training.supervised import supervised_loss

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

pytestmark = pytest.mark.usefixtures("one_thread")


def llama(width: int = 64) -> LlamaForCausalLM:
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=64, hidden_size=width, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=256, attention_bias=True, attn_implementation="eager",
    ))  # fmt: skip


def gpt2() -> GPT2LMHeadModel:
    """Make a model whose layers keep their weights the other way round."""
    return GPT2LMHeadModel(GPT2Config(
        vocab_size=64, n_embd=64, n_layer=2, n_head=2, n_positions=256, bos_token_id=1, eos_token_id=1,
        attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
    ))  # fmt: skip


def adapted(model: Any, **options: Any) -> PeftModel:
    options = {"r": 4, "lora_alpha": 16, "target_modules": "all-linear", "task_type": "CAUSAL_LM", **options}
    made = get_peft_model(model, LoraConfig(**options))
    generator = torch.Generator().manual_seed(1)
    for name, weight in made.named_parameters():
        # As it begins, B is nought and adds nothing.
        if "lora_B" in name:
            weight.data = 0.1 * torch.randn(weight.shape, generator=generator)
    return made.train()


@pytest.fixture(scope="module")
def rows(tokenizer: PreTrainedTokenizerBase) -> list[Row]:
    return encode([demonstration(question) for question in islice(items.draw("add_3", Random(1)), 6)], tokenizer)


def learn(model: PeftModel, loss: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    model.zero_grad()
    loss.backward()
    return loss.item(), {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("make", [llama, gpt2])
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=str)
@pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to False:UserWarning:peft")
def test_loss_and_gradients_are_those_of_the_usual_order(
    make: Any, options: dict[str, Any], rows: list[Row], tokenizer: PreTrainedTokenizerBase
) -> None:
    torch.manual_seed(1)
    model = adapted(make(), **options)
    batch = collate(rows, 0, torch.device("cpu"))
    loss, gradients = learn(model, model(**batch).loss)
    learner = Learner(model, tokenizer)
    merged_loss, merged_gradients = learn(model, supervised_loss(learner.predict(rows)) / count_learned(rows))
    assert merged_loss == pytest.approx(loss, rel=1e-5)
    assert merged_gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert gradient.norm() > 0
        assert (merged_gradients[name] - gradient).norm() < 1e-4 * gradient.norm(), name


def test_while_nothing_is_learned_the_products_are_added_once(
    rows: list[Row], tokenizer: PreTrainedTokenizerBase
) -> None:
    learner = Learner(adapted(llama()), tokenizer)
    before = learner.predict(rows).logprobs().detach()
    with torch.no_grad(), merged(learner.model):
        assert torch.allclose(learner.predict(rows).logprobs(), before, atol=1e-5)
        for weight in learner.weights:
            weight.mul_(1.5)
        assert torch.allclose(learner.predict(rows).logprobs(), before, atol=1e-5)
    after = learner.predict(rows).logprobs()
    assert not torch.allclose(after, before, atol=1e-2)
    assert after.requires_grad


@pytest.mark.filterwarnings("ignore:`lora_bias=True`")
def test_a_bias_of_the_additions_is_trained_too(rows: list[Row], tokenizer: PreTrainedTokenizerBase) -> None:
    model = adapted(llama(), lora_bias=True)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name and name.endswith("bias"):
                weight.fill_(0.5)
    loss = model(**collate(rows, 0, torch.device("cpu"))).loss.item()
    assert supervised_loss(Learner(model, tokenizer).predict(rows)).item() / count_learned(rows) == pytest.approx(loss)


def replaced(model: PeftModel) -> int:
    return sum("forward" in vars(layer) for layer in model.modules())


def test_only_narrow_layers_without_dropout_are_merged() -> None:
    for made, expected in (
        (adapted(llama()), 14),
        (adapted(llama(), lora_dropout=0.1), 0),
        (adapted(llama(576)), 0),
        (adapted(llama(), target_modules=["q_proj"]), 2),
    ):
        merge_while_training(made)
        assert replaced(made) == expected


def test_on_a_gpu_which_rounds_weights_in_products_nothing_is_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    made = adapted(llama())
    monkeypatch.setattr(LlamaForCausalLM, "device", torch.device("cuda"))
    merge_while_training(made)
    assert replaced(made) == 0


def test_a_model_without_additions_is_left_alone() -> None:
    model = llama()
    merge_while_training(model)
    assert replaced(model) == 0


def test_what_is_saved_is_not_merged() -> None:
    model = adapted(llama())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    merge_while_training(model)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)
