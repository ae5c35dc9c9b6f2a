"""Three disjoint sets of items a skill, made before anything is taught: probe, check and final.

A skill that has too few items for that, such as a table of facts, is examined whole: every fact, every time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tft.errors import Problem, UserError
from tft.records import Item, Split

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tft.config.campaign import ExamsConfig
    from tft.config.cards import SkillCard
    from tft.ports import ItemSource

_PATIENCE = 5_000
"""Repetitions in a row after which a skill counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Splits:
    """The held-out items of a campaign."""

    items: dict[Split, tuple[Item, ...]]
    examined_whole: tuple[str, ...]
    """Skills whose every item is in every split."""

    def fingerprints(self) -> set[str]:
        """List what may not be taught; tables that are examined whole are left out, being the skill itself."""
        return {
            item.fingerprint for items in self.items.values() for item in items if item.skill not in self.examined_whole
        }

    def table(self) -> set[str]:
        """List the fingerprints of tables that are examined whole."""
        return {item.fingerprint for held in self.items.values() for item in held if item.skill in self.examined_whole}


def make_splits(
    skills: Mapping[str, SkillCard],
    source: ItemSource,
    exams: ExamsConfig,
    seed: int,
    taught: Collection[str] = (),
) -> Splits:
    """Draw the held-out items of every skill.

    Args:
        skills: to be examined.
        source: draws the items.
        exams: how many.
        seed: of the draw.
        taught: fingerprints of what was taught before, which examines nobody; tables are examined whole all the same.

    Raises:
        UserError: if a taught skill has so few items that none would be left to teach.
    """
    sizes: dict[Split, int] = {"probe": exams.probe, "check": exams.check, "final": exams.final}
    items: dict[Split, list[Item]] = {split: [] for split in sizes}
    whole: list[str] = []
    for skill, card in skills.items():
        drawn, ended = _draw(skill, source, sum(sizes.values()), seed, taught)
        if ended and card.role == "taught":
            raise UserError(
                Problem(
                    f"skill {skill} has only {_left(drawn, taught)}, too few to "
                    f"hold {sum(sizes.values())} back and teach the others",
                    key="exams",
                    remedy="lower exams.final, exams.check or exams.probe, or make it a retention skill",
                )
            )
        if ended:
            whole.append(skill)
            for split in sizes:
                items[split] += drawn
            continue
        start = 0
        for split, size in sizes.items():
            items[split] += drawn[start : start + size]
            start += size
    return Splits({split: tuple(held) for split, held in items.items()}, tuple(whole))


def _left(drawn: Collection[Item], taught: Collection[str]) -> str:
    different = {it.fingerprint for it in drawn}
    gone = sum(it in taught for it in different)
    return f"{len(different) - gone} different items" + (f" beside the {gone} that were taught" if gone else "")


def _draw(skill: str, source: ItemSource, count: int, seed: int, taught: Collection[str]) -> tuple[list[Item], bool]:
    """Draw different items that were not taught, of which at least one more is left; with True, and with order
    variants, where the skill ran out of them.
    """
    questions = source.draw(skill, random.Random(f"splits {seed} {skill}"))
    drawn: dict[str, Item] = {}
    variants: dict[str, Item] = {}
    repeated = 0
    for question in questions:
        item = make_item(question, source)
        variants.setdefault(question, item)
        known = item.fingerprint in drawn or item.fingerprint in taught
        repeated = repeated + 1 if known else 0
        if item.fingerprint not in taught:
            drawn.setdefault(item.fingerprint, item)
        if len(drawn) > count:
            return list(drawn.values())[:count], False
        if repeated > _PATIENCE:
            break
    return list(variants.values()), True


def make_item(question: str, source: ItemSource) -> Item:
    """Make the item of a question that the curriculum's own source drew."""
    classified = source.classify(question)
    if classified is None:
        raise UserError(Problem("the item source draws a question that it cannot classify", value=question))
    skill, level, answer = classified
    return Item(skill, level, question, answer, source.fingerprint(question), "curriculum")
