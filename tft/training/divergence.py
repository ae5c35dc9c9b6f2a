"""How far a student's distribution of the next token is from the tutor's, where the tutor may give only its top.

The tokens that the tutor leaves out become one, the tail, on both sides. What is measured is then the divergence of the
two coarser distributions: never more than that of the whole ones, and nought only where they agree on every token that
was given. Without a tail, reverse KL can be driven below nought by moving probability to where the tutor is silent.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

Divergence = Literal["forward_kl", "reverse_kl", "jensen_shannon"]
_LEAST_TAIL = math.log(torch.finfo(torch.float32).eps)
"""What a tail has at least, in nats: the tutor's numbers are no more exact than that."""


def divergence(
    kind: Divergence,
    logits_NV: torch.Tensor,
    tutor_NK: torch.Tensor,
    ids_NK: torch.Tensor | None = None,
    mixture: float = 0.5,
) -> torch.Tensor:
    """Measure the divergence of a student from its tutor at each of N places.

    p is the tutor, q the student, m = β p + (1 − β) q:
    forward_kl = Σ p (log p − log q); reverse_kl = Σ q (log q − log p);
    jensen_shannon = β Σ p (log p − log m) + (1 − β) Σ q (log q − log m) (Agarwal et al. 2024, equation 1).

    Args:
        kind: which.
        logits_NV: of the student.
        tutor_NK: log-probabilities of the tutor, in nats.
        ids_NK: the tokens they belong to; None means the first K of the vocabulary.
        mixture: β.

    Returns:
        [N], in nats.

    >>> student, tutor = torch.zeros(1, 2), torch.tensor([[0.75, 0.25]]).log()
    >>> round(divergence("forward_kl", student, tutor).item(), 6)  # ln 2 − H(3/4)
    0.130812
    """
    tutor_NK, student_NK, told_NK = _coarsen(logits_NV, tutor_NK, ids_NK)
    if kind == "forward_kl":
        return _kl(tutor_NK, student_NK, told_NK)
    if kind == "reverse_kl":
        return _kl(student_NK, tutor_NK, told_NK)
    mixed_NK = torch.logaddexp(tutor_NK + math.log(mixture), student_NK + math.log1p(-mixture))
    return mixture * _kl(tutor_NK, mixed_NK, told_NK) + (1 - mixture) * _kl(student_NK, mixed_NK, told_NK)


def _coarsen(
    logits_NV: torch.Tensor, tutor_NK: torch.Tensor, ids_NK: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Put tutor and student on the same tokens, and a tail where there are others; say which of them count.

    What does not count is nought on both sides, and not minus infinity: gradients go through it.
    """
    size = logits_NV.shape[-1]
    if ids_NK is None:
        # Vocabularies that differ by padding: what only one side has is in its tail.
        ids_NK = torch.arange(tutor_NK.shape[-1], device=logits_NV.device).expand_as(tutor_NK)
    told_NK = (ids_NK < size) & (tutor_NK > -torch.inf)
    ids_NK = ids_NK.clamp(max=size - 1)
    given_NK = torch.where(told_NK, tutor_NK, 0.0)
    tutor_tail_N1 = torch.log1p(-(given_NK.exp() * told_NK).sum(-1, keepdim=True).clamp(max=1.0)).clamp(min=_LEAST_TAIL)
    student_NK = torch.log_softmax(logits_NV, -1)
    taken_NV = torch.zeros_like(logits_NV).scatter_reduce(-1, ids_NK, told_NK.to(logits_NV.dtype), "amax") > 0
    tail_N1 = ~taken_NV.all(-1, keepdim=True)
    rest_NV = student_NK.masked_fill(taken_NV & tail_N1, -torch.inf)
    student_tail_N1 = torch.where(tail_N1, rest_NV.logsumexp(-1, keepdim=True), 0.0)
    # Where the student has no other tokens, what the tutor gives to others is shared out among those they have.
    whole_N1 = torch.where(told_NK, given_NK, -torch.inf).logsumexp(-1, keepdim=True)
    given_NK = torch.where(tail_N1 | ~told_NK, given_NK, given_NK - whole_N1)
    return (
        torch.cat([given_NK, torch.where(tail_N1, tutor_tail_N1, 0.0)], -1),
        torch.cat([torch.where(told_NK, student_NK.gather(-1, ids_NK), 0.0), student_tail_N1], -1),
        torch.cat([told_NK, tail_N1], -1),
    )


def _kl(p_NK: torch.Tensor, q_NK: torch.Tensor, told_NK: torch.Tensor) -> torch.Tensor:
    """Σ p (log p − log q), over what counts."""
    return (p_NK.exp() * (p_NK - q_NK) * told_NK).sum(-1)
