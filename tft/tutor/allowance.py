"""What may still be spent on a tutor: tokens, requests and money, checked before every call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from tft.config.campaign import Price

if TYPE_CHECKING:
    from tft.records import Usage

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left; None means without limit."""

    tokens: int | None = None
    requests: int | None = None
    money: float | None = None
    """In the currency of the price."""
    price: Price = field(default_factory=Price)

    def refusal(self, prompt: int, completion: int, requests: int) -> str | None:
        """Say which limit a call could pass, and by how much; None if it may be made.

        Args:
            prompt: its prompt tokens.
            completion: the most tokens it may write.
            requests: how many it makes.
        """
        cost = cost_of(prompt, completion, self.price)
        if self.tokens is not None and prompt + completion > self.tokens:
            return (
                f"budget.tutor_tokens: {requests} requests may use {prompt + completion} tokens, {self.tokens} are left"
            )
        if self.requests is not None and requests > self.requests:
            return f"budget.tutor_requests: {requests} requests are to be made, {self.requests} are left"
        if self.money is not None and cost > self.money:
            return f"budget.money: {requests} requests may cost {cost:.6g}, {self.money:.6g} are left"
        return None

    def after(self, used: Usage) -> Allowance:
        """Give what is left after a use; what came from the cache counts as if it had been asked for."""
        return replace(
            self,
            tokens=None if self.tokens is None else self.tokens - used.total,
            requests=None if self.requests is None else self.requests - used.requests,
            money=None
            if self.money is None
            else self.money - cost_of(used.prompt, used.completion + used.scored, self.price),
        )

    @property
    def endless(self) -> bool:
        """Whether it has no limit at all."""
        return self.tokens is None and self.requests is None and self.money is None

    def half(self) -> Allowance:
        """Give half of it."""
        return replace(
            self,
            tokens=None if self.tokens is None else self.tokens // 2,
            requests=None if self.requests is None else self.requests // 2,
            money=None if self.money is None else self.money / 2,
        )


NO_LIMIT = Allowance()


def cost_of(prompt: int, completion: int, price: Price) -> float:
    """Give the price of tokens.

    >>> cost_of(1_000_000, 500_000, Price(prompt=0.5, completion=2.0))
    1.5
    """
    return (prompt * price.prompt + completion * price.completion) / _MILLION
