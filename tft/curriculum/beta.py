"""The beta distribution: what may be believed of a share after some right and wrong answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOSE = 1e-9
"""How near a value is found."""
_TINY = 1e-300
"""Stands for 0 where a logarithm is taken."""


def beta_below(x: float, a: float, b: float) -> float:
    """Give the probability that a beta variable stays below a value: the regularised incomplete beta function.

    Iₓ(a, b) = xᵃ(1−x)ᵇ / (a·B(a, b)) over a continued fraction (DLMF 8.17.22), which left of the mean converges in a
    few square roots of the larger parameter; right of it the other tail is taken.

    Args:
        x: the value.
        a: first parameter, above 0.
        b: second parameter, above 0.

    >>> beta_below(0.25, 1, 1), round(beta_below(0.5, 3, 1), 6)
    (0.25, 0.125)
    """
    if not 0 < x < 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_below(1 - x, b, a)
    fraction = 1.0
    for m in range(8 + math.isqrt(math.ceil(max(a, b))), 0, -1):
        at = a + 2 * m
        fraction = 1 + m * (b - m) * x / ((at - 1) * at) / fraction
        fraction = 1 - (a + m - 1) * (a + b + m - 1) * x / ((at - 2) * (at - 1)) / fraction
    log_beta = math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    return math.exp(a * math.log(x) + b * math.log1p(-x) - log_beta) / (a * fraction)


def beta_quantile(share: float, a: float, b: float) -> float:
    """Give the value below which a beta variable stays with a probability between 0 and 1.

    >>> round(beta_quantile(0.5, 30, 4), 4)
    0.8899
    """
    return _root(lambda x: beta_below(x, a, b) - share, 0.0, 1.0)


def beta_interval(a: float, b: float, share: float = 0.95) -> tuple[float, float]:
    """Give the shortest interval that a beta variable lies in with a probability: that of highest density.

    Of all intervals of that probability it misses least often where nearly everything is right, or nearly nothing;
    with equal tails one miss too few or too many can put an ability of 99 % outside.

    Args:
        a: first parameter, 1 or more.
        b: second parameter, 1 or more.
        share: the probability.

    >>> low, high = beta_interval(97, 1)
    >>> round(low, 4), high
    (0.9696, 1.0)
    """
    if b < a:
        low, high = beta_interval(b, a, share)
        return 1 - high, 1 - low

    def log_density(x: float) -> float:
        return (a - 1) * math.log(x) + (b - 1) * math.log1p(-x)

    def as_likely(high: float) -> float:
        """Find the value left of the mode that is as likely."""
        level = log_density(high)
        return _root(lambda x: log_density(x) - level, _TINY, mode)

    mode = (a - 1) / (a + b - 2) if a > 1 else _TINY
    # The longer tail is the right one, so more than half of what is left out lies there.
    least, most = beta_quantile(share, a, b), beta_quantile((1 + share) / 2, a, b)
    high = _root(lambda x: beta_below(x, a, b) - beta_below(as_likely(x), a, b) - share, least, most)
    low = as_likely(high)
    return low if low > _TINY else 0.0, high


def _root(rising: Callable[[float], float], low: float, high: float) -> float:
    """Find where a rising function crosses 0: false position, with the end that stays halved (Illinois)."""
    at_low, at_high = rising(low), rising(high)
    if at_low >= 0 or at_high <= 0:
        return low if at_low >= 0 else high
    side = 0
    while high - low > _CLOSE:
        x = (low * at_high - high * at_low) / (at_high - at_low)
        value = rising(x)
        if abs(value) < _CLOSE:
            return x
        if value > 0:
            high, at_high, at_low = x, value, at_low / 2 if side > 0 else at_low
        else:
            low, at_low, at_high = x, value, at_high / 2 if side < 0 else at_high
        side = 1 if value > 0 else -1
    return (low + high) / 2
