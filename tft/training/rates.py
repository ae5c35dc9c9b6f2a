"""Learning rates: the peak of a student whose config names none, and the way up to it and down again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.training.optimizers import peak_of

if TYPE_CHECKING:
    from tft.student import StudentRef

_FLOOR = 0.05
_MEASURED = 128
_PEAKS = {
    "full": (3e-3, 2.0), "frozen": (1e-2, 1.25), "prefix": (1e-2, 1.25), "prompt": (3e-2, 1.25),
    # At the peaks of the bodies alone, new layers above them learn less, and above LoRA next to nothing.
    "full below a head": (1.5e-3, 2.0), "lora below a head": (1.5e-3, 1.25),
}  # fmt: skip
_OTHER_PEAK = (4e-3, 1.25)


def usual_learning_rate(student: StudentRef, width: int, optimizer: str) -> float:
    """Give the peak learning rate of a student whose config names none.

    Args:
        student: its adapter decides.
        width: hidden size of its model.
        optimizer: name of what moves its weights.
    """
    moved: str = student.adapter.type
    named = moved
    if isinstance(student.adapter, HeadAdapter):
        # The rule is not followed below the width that it was measured at: random layers do not bear it.
        moved, width = student.adapter.body.type, max(width, _MEASURED)
        named = f"{moved} below a head" if moved != "frozen" else moved
    return default_learning_rate(named, width) * peak_of(optimizer, moved)


def default_learning_rate(adapter: str, width: int) -> float:
    """Give the peak learning rate for a student whose config names none.

    Full weights: 3e-3 · (128 / width)²; LoRA: 4e-3 · (128 / width)^1.25. A rule of thumb: measured at width 128,
    and for width 2048 close to the 1e-5 and 1e-4 that are common for pretrained models.

    Args:
        adapter: its type; of a student with a head ``frozen``, ``full below a head`` or ``lora below a head``.
        width: hidden size of the model.

    >>> f"{default_learning_rate('full', 2048):.1e} {default_learning_rate('lora', 2048):.1e}"
    '1.2e-05 1.3e-04'
    """
    peak, power = _PEAKS.get(adapter, _OTHER_PEAK)
    return float(peak * (_MEASURED / width) ** power)


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
