"""Our losses against values by hand, against transformers and against TRL."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import items
import pytest
import torch

from tests.making import demonstration
from tft.engines.transformers import load_model
from tft.training.rows import IGNORED, Row, collate, encode
from tft.training.sft import sft_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CPU = torch.device("cpu")


class Bigram(torch.nn.Module):
    """The smallest language model: the logits of the next token depend on the last one."""

    def __init__(self, table_VV: torch.Tensor) -> None:
        super().__init__()
        self.table_VV = table_VV

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:  # noqa: ARG002
        return SimpleNamespace(logits=self.table_VV[input_ids])


def batch(*rows: Row) -> dict[str, torch.Tensor]:
    return collate(rows, 0, CPU)


# After token 0 the odds of 1 against 0 are 3 to 1, after token 1 they are 1 to 1:
# softmax(0, ln 3) = (1/4, 3/4) and softmax(0, 0) = (1/2, 1/2).
TABLE = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])


def test_one_row_by_hand() -> None:
    # 0 is read; 1, 0, 1 are learned: p(1|0) p(0|1) p(1|0) = 3/4 · 1/2 · 3/4.
    # L = −(2 ln 3/4 + ln 1/2) / 3 = (2 · 0.287682 + 0.693147) / 3 = 0.422837
    loss = sft_loss(Bigram(TABLE), batch(Row((0, 1, 0, 1), 1, "s")))
    assert loss.item() == pytest.approx(0.422837, abs=1e-6)
    assert loss.shape == ()


def test_the_prompt_carries_no_loss() -> None:
    # Of the same row only the last token is learned: L = −ln p(1|0) = −ln 3/4.
    loss = sft_loss(Bigram(TABLE), batch(Row((0, 1, 0, 1), 3, "s")))
    assert loss.item() == pytest.approx(-math.log(3 / 4))


def test_rows_of_different_length_are_averaged_over_tokens_not_over_rows() -> None:
    # Row one learns p(1|0) p(0|1) p(0|0) = 3/4 · 1/2 · 1/4, row two p(1|1) = 1/2; four tokens, padding is none.
    # L = −(ln 3/4 + ln 1/2 + ln 1/4 + ln 1/2) / 4 = (0.287682 + 0.693147 + 1.386294 + 0.693147) / 4 = 0.765068
    # Averaged over rows it would be ((0.287682 + 0.693147 + 1.386294) / 3 + 0.693147) / 2 = 0.741094.
    loss = sft_loss(Bigram(TABLE), batch(Row((0, 1, 0, 0), 1, "s"), Row((1, 1), 1, "s")))
    assert loss.item() == pytest.approx(0.765068, abs=1e-6)


def test_a_fair_coin_costs_the_logarithm_of_two() -> None:
    loss = sft_loss(Bigram(torch.zeros(2, 2)), batch(Row((0, 1, 1, 0, 0), 1, "s")))
    assert loss.item() == pytest.approx(math.log(2))


def test_the_gradient_by_hand() -> None:
    # dL/dlogits of the one learned token, 1 after 0, is softmax − one-hot = (1/4, 3/4 − 1); after 1 nothing is learned.
    table = TABLE.clone().requires_grad_()
    sft_loss(Bigram(table), batch(Row((1, 0, 1), 2, "s"))).backward()
    assert torch.allclose(table.grad, torch.tensor([[0.25, -0.25], [0.0, 0.0]]))


def test_the_gradient_is_the_derivative() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden_VH = torch.randn(5, 3, generator=generator, dtype=torch.float64)
    head_VH = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    rows = batch(Row((0, 1, 2, 3, 4), 2, "s"), Row((4, 3, 0), 1, "s"))

    def loss(head: torch.Tensor) -> torch.Tensor:
        return sft_loss(Bigram(hidden_VH @ head.T), rows)

    assert loss(head_VH).dtype == torch.float64
    assert torch.autograd.gradcheck(loss, (head_VH,))


def test_half_precision_is_summed_in_full() -> None:
    table = (50 * torch.randn(64, 64, generator=torch.Generator().manual_seed(1))).bfloat16()
    row = batch(Row(tuple(range(64)), 1, "s"))
    loss = sft_loss(Bigram(table), row)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(sft_loss(Bigram(table.double()), row).item(), rel=1e-5)


@pytest.fixture(scope="module")
def model(novice: Path) -> PreTrainedModel:
    return load_model(novice)[0]


@pytest.fixture(scope="module")
def lessons(tokenizer: PreTrainedTokenizerBase) -> dict[str, torch.Tensor]:
    """Make a batch of rows of different length, long sums and short differences."""
    questions = [*islice(items.draw("add_3", Random(1)), 5), *islice(items.draw("sub_1", Random(1)), 3)]
    rows = encode([demonstration(question) for question in questions], tokenizer)
    assert len({len(row.tokens) for row in rows}) > 1
    return collate(rows, tokenizer.pad_token_id, CPU)


def gradients(model: PreTrainedModel, loss: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def test_it_agrees_with_transformers(model: PreTrainedModel, lessons: dict[str, torch.Tensor]) -> None:
    ours, theirs = sft_loss(model, lessons), model(**lessons).loss
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)
    one, other = gradients(model, ours), gradients(model, theirs)
    assert (one - other).norm() < 1e-5 * other.norm()


def test_it_agrees_with_trl(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, lessons: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    trl = pytest.importorskip("trl", reason="TRL is not installed: pip install 'tutorial-fine-tuning[trl]'")
    from datasets import Dataset

    rows = [row[row != tokenizer.pad_token_id].tolist() for row in lessons["input_ids"]]
    labels = [row[: len(tokens)].tolist() for row, tokens in zip(lessons["labels"], rows, strict=True)]
    arguments = trl.SFTConfig(output_dir=str(tmp_path), per_device_train_batch_size=8, report_to="none", use_cpu=True,
                              bf16=False, activation_checkpointing=False, max_length=None)  # fmt: skip
    trainer = trl.SFTTrainer(
        model=model, args=arguments, processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"input_ids": rows, "labels": labels}),
    )  # fmt: skip
    theirs = trainer.compute_loss(trainer.model, dict(lessons))
    assert (lessons["labels"] == IGNORED).any()
    assert sft_loss(model, lessons).item() == pytest.approx(theirs.item(), rel=1e-5)
