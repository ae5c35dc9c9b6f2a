"""Items that the curriculum draws itself: nobody is paid for them, and none of them is held out."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tft.records import Item, Lesson, Lineage, digest

if TYPE_CHECKING:
    from collections.abc import Collection

    from tft.ports import ItemSource

_PATIENCE = 2_000
"""Questions in a row that are known or held out, after which a skill is drawn empty."""


def draw_items(
    source: ItemSource, skill: str, count: int, held_out: Collection[str], seed: str, known: Collection[str] = ()
) -> list[Item]:
    """Draw different items of a skill; fewer where there are no more.

    Args:
        source: the curriculum's.
        skill: its name.
        count: how many.
        held_out: fingerprints that may not be taught.
        seed: decides which.
        known: questions that are not drawn again.
    """
    found: dict[str, Item] = {}
    misses = 0
    for question in source.draw(skill, random.Random(seed)):
        if len(found) == count:
            break
        fingerprint = source.fingerprint(question)
        classified = source.classify(question)
        if question in found or question in known or fingerprint in held_out or classified is None:
            misses += 1
            if misses > _PATIENCE:
                break
            continue
        misses = 0
        found[question] = Item(skill, classified[1], question, classified[2], fingerprint, "curriculum")
    return list(found.values())


def unanswered(item: Item) -> Lesson:
    """Make a lesson of an item that nobody has answered yet."""
    lineage = Lineage(source="curriculum", model="")
    return Lesson(digest(["item", item.question]), "practice", item, (), "", lineage)
