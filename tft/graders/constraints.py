"""The constraints grader: an answer is right when it keeps every rule that its item names.

The reference of an item is a JSON object of rules, such as ``{"includes": "dog", "most_words": 40}``. Rules that a
program can check need no judge (Zhou et al. 2023, IFEval).
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from tft.records import Item, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.config.cards import GraderConfig


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.casefold())


def _has(text: str, phrase: str) -> bool:
    return f" {' '.join(_words(phrase))} " in f" {' '.join(_words(text))} "


def _sentences(text: str) -> list[str]:
    return [it for it in re.split(r"(?<=[.!?])[\"'”’)]*\s+", text.strip()) if it]


RULES: dict[str, Callable[[str, str], bool]] = {
    "includes": lambda text, value: _has(text, value),
    "excludes": lambda text, value: not _has(text, value),
    "starts_with": lambda text, value: text.strip().startswith(value),
    "ends_with": lambda text, value: text.strip().endswith(value),
    "least_words": lambda text, value: len(_words(text)) >= int(value),
    "most_words": lambda text, value: len(_words(text)) <= int(value),
    "most_sentences": lambda text, value: len(_sentences(text)) <= int(value),
    "most_words_a_sentence": lambda text, value: all(len(_words(it)) <= int(value) for it in _sentences(text)),
    "matches": lambda text, value: re.search(value, text) is not None,
}
"""By name: whether a text keeps the rule. Words are compared whole and without case."""


class ConstraintsGrader:
    """Checks rules.

    Args:
        config: ``marker`` means nothing here.
    """

    name = "constraints"

    def __init__(self, config: GraderConfig) -> None:
        pass

    def grade(self, item: Item, text: str) -> Verdict:
        """Grade an answer: the share of its item's rules that it keeps; an empty answer keeps none.

        >>> item = Item("s", 1, "q", '{"includes": "dog", "ends_with": "."}', "f", "here")
        >>> ConstraintsGrader(None).grade(item, "A Dog ran").reason
        'breaks ends_with .'
        """
        try:
            rules = dict(json.loads(item.reference or ""))
            unknown = sorted(set(rules) - set(RULES))
        except (ValueError, TypeError):
            return Verdict(0.0, "the item names no rules: its reference is no JSON object", self.name)
        if unknown or not rules:
            known = ", ".join(RULES)
            return Verdict(0.0, f"there is no rule {', '.join(unknown) or 'at all'}; known: {known}", self.name)
        if not text.strip():
            return Verdict(0.0, "is empty", self.name)
        try:
            broken = [f"{name} {value}" for name, value in rules.items() if not RULES[name](text, str(value))]
        except (ValueError, re.error) as error:
            return Verdict(0.0, f"the item has a rule that cannot be checked: {error}", self.name)
        score = 1 - len(broken) / len(rules)
        return Verdict(score, f"breaks {'; '.join(broken)}" if broken else "keeps every rule", self.name)
