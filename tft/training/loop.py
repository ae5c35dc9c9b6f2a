"""The training loop: one student, its lessons of one cycle, one checkpoint.

AdamW with a linear warm-up and a cosine to a twentieth. A loss or gradient that is not finite ends the stage
before it touches a weight. Left out on purpose: several processes, gradient accumulation and resuming in
mid-stage; a stage that was interrupted begins anew, from the last checkpoint, with the same result.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tft.config.campaign import FullAdapter, LoraAdapter, TrainingConfig
from tft.errors import StageError
from tft.records import Checkpoint, Lesson
from tft.student import StudentRef, write_checkpoint
from tft.student.models import adapt
from tft.training.rows import Row, batches, collate, encode
from tft.training.sft import sft_loss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PreTrainedModel

_FLOOR = 0.05


@dataclass(frozen=True, slots=True)
class TrainRequest:
    """What to train on, and where to put what comes of it."""

    student: StudentRef
    lessons: tuple[Lesson, ...]
    config: TrainingConfig
    learning_rate: float | None
    """Peak; None means the default of the adapter."""
    learning_rate_scale: float
    seed: int
    folder_path: str
    """Where the checkpoint goes."""


def train(request: TrainRequest) -> Checkpoint:
    """Train a student on its lessons and write a checkpoint.

    Returns:
        The checkpoint; its path is the folder of the request.

    Raises:
        StageError: if loss or gradient are not finite, or the checkpoint cannot be written.
    """
    model, tokenizer = adapt(request.student, request.seed)
    rows = encode(request.lessons, tokenizer)
    if isinstance(request.student.adapter, LoraAdapter):
        # PEFT takes seconds to import, and a student whose weights are all trained does without.
        from tft.training.lora import merge_while_training

        merge_while_training(model)
    model.train()
    with matrix_products(request.config.precision):
        losses, tokens = _run(model, rows, request, tokenizer.pad_token_id)

    def save(folder: Path) -> None:
        model.save_pretrained(folder)
        if isinstance(request.student.adapter, FullAdapter):
            tokenizer.save_pretrained(folder)

    trainable = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    tenth = max(1, len(losses) // 10)
    return Checkpoint(
        path=request.folder_path,
        digest=write_checkpoint(Path(request.folder_path), save),
        trained_tokens=sum(tokens.values()),
        trained_tokens_by_skill=dict(sorted(tokens.items())),
        steps=len(losses),
        loss_first=sum(losses[:tenth]) / tenth,
        loss_last=sum(losses[-tenth:]) / tenth,
        trainable_share=trainable / sum(weight.numel() for weight in model.parameters()),
    )


def _run(model: PreTrainedModel, rows: list[Row], request: TrainRequest, pad: int) -> tuple[list[float], Counter[str]]:
    config = request.config
    rng = random.Random(f"train {request.seed}")
    torch.manual_seed(request.seed)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    usual = default_learning_rate(request.student.adapter.type, model.config.hidden_size)
    peak = (request.learning_rate or usual) * request.learning_rate_scale
    optimizer = torch.optim.AdamW(weights, lr=peak, betas=(0.9, 0.98), weight_decay=config.weight_decay, fused=True)
    steps = config.epochs * math.ceil(len(rows) / config.batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate_at(step, steps, config.warmup))
    losses: list[float] = []
    tokens: Counter[str] = Counter()
    for _ in range(config.epochs):
        for members in batches(rows, config.batch_size, rng):
            loss = sft_loss(model, collate(members, pad, model.device))
            torch.autograd.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(weights, config.max_grad_norm)
            losses.append(loss.item())
            if not (math.isfinite(losses[-1]) and torch.isfinite(norm)):
                raise StageError(
                    f"{request.student.id}: the loss is {losses[-1]} and the gradient's norm {norm.item()} at step "
                    f"{len(losses)}; nothing was saved. Lower students.learning_rate (peak now {peak:g})"
                )
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            for row in members:
                tokens[row.skill] += len(row.tokens)
    return losses, tokens


def default_learning_rate(adapter: str, width: int) -> float:
    """Give the peak learning rate for a student whose config names none.

    Full weights: 3e-3 · (128 / width)²; LoRA: 4e-3 · (128 / width)^1.25. A rule of thumb: measured at width 128,
    and for width 2048 close to the 1e-5 and 1e-4 that are common for pretrained models.

    Args:
        adapter: ``full`` or ``lora``.
        width: hidden size of the model.

    >>> f"{default_learning_rate('full', 2048):.1e} {default_learning_rate('lora', 2048):.1e}"
    '1.2e-05 1.2e-04'
    """
    peak, power = (3e-3, 2.0) if adapter == "full" else (4e-3, 1.25)
    return float(peak * (128 / width) ** power)


def learning_rate_at(step: int, steps: int, warmup: float) -> float:
    """Give the share of the peak learning rate at a step: a linear rise, then a cosine to a twentieth.

    >>> [round(learning_rate_at(step, 10, 0.2), 2) for step in (0, 1, 2, 9)]
    [0.5, 1.0, 1.0, 0.09]
    """
    rise = max(1, round(warmup * steps))
    if step < rise:
        return (step + 1) / rise
    done = (step - rise) / max(1, steps - rise)
    return _FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@contextmanager
def matrix_products(precision: str) -> Iterator[None]:
    """Round the factors of float32 matrix products to bfloat16 while training, where that is faster.

    Only products are rounded; sums, weights and gradients stay float32.
    """
    before = torch.get_float32_matmul_precision()
    # torch names the test for AMX instructions with an underscore; there is no public one.
    rounded = precision == "bf16_products" or (precision == "auto" and torch.cpu._is_amx_tile_supported())
    torch.set_float32_matmul_precision("medium" if rounded else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
