"""Supervised fine-tuning: cross-entropy on the tokens of the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from tft.training.rows import IGNORED

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def sft_loss(model: PreTrainedModel, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Measure the mean negative log-likelihood of the answers' tokens.

    L = −(1/N) Σ log p(y_t | y_<t), over the N tokens of the batch whose label is not ignored.

    Args:
        model: a causal language model.
        batch: ``input_ids``, ``attention_mask`` and ``labels``, each [B, T], padded on the right.

    Returns:
        A scalar in nats per token.
    """
    logits_BTV = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    # Sums over the vocabulary want float32 at least.
    logits_BTV = logits_BTV.to(torch.promote_types(logits_BTV.dtype, torch.float32))
    return F.cross_entropy(logits_BTV[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED)
