"""Questions become items: with a fingerprint, groups that a report shows apart, and a grader where none is named."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tft.config.cards import GraderConfig
from tft.graders.numeric import read_number
from tft.records import Item

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from tft.config.suites import SuiteCard
    from tft.exams.questions import Asked
    from tft.ports import ItemSource


class AnyQuestion:
    """Stands in for the items of a curriculum where there is none: it knows no question."""

    def classify(self, question: str) -> None:
        """Know no question."""

    def fingerprint(self, question: str) -> str:
        """Take questions for the same that differ in case and white space alone."""
        return " ".join(question.split()).casefold()


def make_items(
    asked: Iterable[Asked], card: SuiteCard, origin: str, source: ItemSource | AnyQuestion, skills: Collection[str]
) -> tuple[Item, ...]:
    """Make the items of questions; whether they are covered is only told where some are."""
    classified = [(it, source.classify(it.sought or it.question)) for it in asked]
    found = [(it, known[0] if known is not None and known[0] in skills else None) for it, known in classified]
    covers = any(skill is not None for _, skill in found)
    return tuple(
        Item(
            skill=card.exam,
            level=0,
            # An operation inside a text is written as the curriculum writes it.
            question=it.question.replace(" ", "") if skill and card.extract is not None else it.question,
            reference=it.reference,
            fingerprint=source.fingerprint(it.sought or it.question),
            source=origin,
            groups=_groups(it, skill, card.groups, covers=covers),
            same=it.same,
        )
        for it, skill in found
    )


def _groups(it: Asked, skill: str | None, patterns: dict[str, str], *, covers: bool) -> tuple[str, ...]:
    first = ("covered" if skill else "uncovered",) if covers else ()
    named = next((name for name, form in patterns.items() if re.fullmatch(form, it.question)), None)
    if it.group is not None:
        return (*first, it.group)
    if skill is not None:
        return (*first, f"covered: {skill}")
    return (*first, f"uncovered: {named}" if covers else named) if named is not None else first


def choose_grader(items: Sequence[Item]) -> tuple[GraderConfig, str]:
    """Choose a grader by the references: ``numeric`` where all are numbers, otherwise ``exact``; with the reason."""
    others = [it.reference for it in items if read_number(it.reference or "") is None]
    if not others:
        return GraderConfig(type="numeric"), f"numeric, because all {len(items)} references are numbers"
    said = f"exact, because {len(others)} of {len(items)} references are no numbers, the first {others[0]!r}"
    return GraderConfig(type="exact"), said
