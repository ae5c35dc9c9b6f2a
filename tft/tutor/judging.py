"""The judge, asked fairly: every pair in both orders, and a tie where the orders disagree.

A judge that likes the first answer better, whatever it says, then prefers nothing; how often that happens is
counted, and says what its word is worth (Zheng et al. 2023, section 3.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tft.tutor.allowance import NO_LIMIT, Allowance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tft.records import Usage
    from tft.tutor.roles import Tutor

Winner = Literal["first", "second", "tie"]
_TURNED: dict[str, Winner] = {"first": "second", "second": "first", "tie": "tie"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to one question."""

    question: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Preference:
    """What a judge made of a pair."""

    winner: Winner
    """``tie`` also where the two orders disagree."""
    said: tuple[Winner | None, Winner | None]
    """Its word in the order of the pair, and in the other, both told in the order of the pair; None where it gave no
    usable answer."""

    @property
    def consistent(self) -> bool:
        """Whether it said the same in both orders."""
        return self.said[0] is not None and self.said[0] == self.said[1]


def prefer(
    tutor: Tutor, pairs: Sequence[Pair], rubric: str | None = None, seed: int = 0, allowance: Allowance = NO_LIMIT
) -> tuple[list[Preference], Usage]:
    """Ask a tutor which answer of each pair is better, in both orders.

    Args:
        tutor: the judge.
        pairs: what to judge.
        rubric: what counts; None means what its prompt says.
        seed: decides what is sampled.
        allowance: what may be spent.

    Raises:
        BudgetError: if the calls could use more than is allowed.
    """
    answers = tutor.ask("judge", both_orders(pairs, rubric), seed, allowance)
    said = [_winner(fields) for fields in answers.fields]
    preferences = []
    for straight, turned in zip(said[::2], said[1::2], strict=True):
        back = None if turned is None else _TURNED[turned]
        agreed = straight if straight is not None and straight == back else "tie"
        preferences.append(Preference(agreed, (straight, back)))
    return preferences, answers.usage


def both_orders(pairs: Sequence[Pair], rubric: str | None) -> list[dict[str, Any]]:
    """Give the values of two requests a pair, the second with its answers the other way round."""
    return [
        {"question": pair.question, "first": first, "second": second, "rubric": rubric}
        for pair in pairs
        for first, second in ((pair.first, pair.second), (pair.second, pair.first))
    ]


def _winner(fields: dict[str, str] | None) -> Winner | None:
    said = (fields or {}).get("winner")
    return said if said in ("first", "second", "tie") else None  # type: ignore[return-value]
