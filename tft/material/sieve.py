"""What of a row may become a lesson: a question of a skill that is taught, that is held out nowhere, and once.

What the curriculum knows is left to its grader; what it does not know needs the user's word. Exam items are looked
for in every turn: by fingerprint, by text, and, where they are long enough not to be there by chance, within the text.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tft.records import Example, Item, Lesson, LessonKind, Lineage, Message, Rejection, digest, dump

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tft.config.data import MaterialConfig
    from tft.material.formats import Dialogue
    from tft.ports import ItemSource

SIEVED = frozenset({"too_long", "unverified", "off_skill", "leak", "duplicate"})
"""Why a row that can be read is not taught, before anybody grades it."""
_TOLD = 400
"""Characters of a rejection."""
_WORDS = 8
"""Of an exam item, from which it is found inside a longer text (Brown et al. 2020 take 13)."""


class HeldOut:
    """The exam items that nobody may be taught.

    Args:
        items: of all exams.
        fingerprints: of those that may not be taught; tables that are examined whole may.
    """

    def __init__(self, items: Iterable[Item], fingerprints: Collection[str]) -> None:
        self.fingerprints = frozenset(fingerprints)
        self._texts = frozenset(_fold(item.question) for item in items if item.fingerprint in self.fingerprints)
        self._long: dict[tuple[str, ...], list[list[str]]] = {}
        for text in self._texts:
            words = text.split()
            if len(words) >= _WORDS:
                self._long.setdefault(tuple(words[:_WORDS]), []).append(words)

    def holds(self, text: str) -> bool:
        """Say whether a text is an exam item, but for case, width and blanks, or has a long one in it."""
        folded = _fold(text)
        if folded in self._texts or not self._long:
            return folded in self._texts
        words = folded.split()
        return any(
            words[place : place + len(item)] == item
            for place in range(len(words) - _WORDS + 1)
            for item in self._long.get(tuple(words[place : place + _WORDS]), ())
        )


def _fold(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands."""

    file: str
    number: int

    def reject(self, skill: str, reason: str, said: str) -> Rejection:
        """Say that it is not taught, and why."""
        # Names of columns may hold what no ledger can keep.
        told = f"{self.file}, row {self.number}: {said}".encode(errors="backslashreplace").decode()
        return Rejection("material", skill, reason, told[:_TOLD])


class Sieve:
    """Lets through what may become a lesson.

    Args:
        config: of the material.
        source: the curriculum's items.
        taught: the skills that are taught in this campaign.
        held_out: exam items.
    """

    def __init__(self, config: MaterialConfig, source: ItemSource, taught: Collection[str], held_out: HeldOut) -> None:
        self._config = config
        self._source = source
        only = config.skill if config.verify == "grader" else None
        self._taught = frozenset(taught) if only is None else frozenset([only])
        self._held_out = held_out
        self._seen: set[str] = set()

    def admit(self, dialogue: Dialogue, place: Place) -> Lesson | Rejection:
        """Make a lesson of a row, or say why it is none."""
        turns = answered(dialogue)
        question = turns[-1].content.strip()
        known = [self._source.classify(it.content.strip()) for it in turns]
        skill, level, reference = known[-1] or (self._config.topic or "", 0, None)
        unknown = [it.content for it, found in zip(turns, known, strict=True) if found is None]
        elsewhere = [found[0] for found in known if found is not None and found[0] not in self._taught]
        if dialogue.length > self._config.longest:
            said = f"has {dialogue.length} characters, more than {self._config.longest}"
            return place.reject(skill, "too_long", said)
        if unknown and self._config.verify == "grader":
            said = f"the curriculum does not know {_short(unknown[0])}, so nothing can check its answer"
            return place.reject(skill, "unverified", said)
        if elsewhere:
            return place.reject(elsewhere[0], "off_skill", f"{_short(question)} is of {elsewhere[0]}, not taught here")
        if self._is_held_out(dialogue):
            return place.reject(skill, "leak", f"{_short(question)} is in an exam, or a turn before or after it")
        item = Item(skill, level, question, reference, self._source.fingerprint(question), place.file)
        lineage = Lineage(place.file, "", row=place.number, license=self._config.license, trusted=bool(unknown))
        lesson = make_lesson(dialogue, item, lineage)
        if lesson.id in self._seen:
            return place.reject(skill, "duplicate", f"{_short(question)} stood there before, with the same answer")
        self._seen.add(lesson.id)
        return lesson

    def _is_held_out(self, dialogue: Dialogue) -> bool:
        asked = [it.content for it in dialogue.asked]
        return any(self._source.fingerprint(it.strip()) in self._held_out.fingerprints for it in asked) or any(
            map(self._held_out.holds, (*asked, dialogue.answer, dialogue.rejected or ""))
        )


def answered(dialogue: Dialogue) -> list[Message]:
    """List the questions whose answers are learned, in their order."""
    return [*(dialogue.asked[place - 1] for place in dialogue.learned), dialogue.asked[-1]]


def make_lesson(dialogue: Dialogue, item: Item, lineage: Lineage) -> Lesson:
    """Make a lesson: a demonstration with an example for every answer that is learned, a preference, or a verdict."""
    kind: LessonKind = "demonstration"
    if dialogue.right is not None:
        kind = "verdict"
    elif dialogue.rejected is not None:
        kind = "preference"
    wrong = dialogue.right is False
    whole = Example((*dialogue.asked, Message("assistant", dialogue.answer)))
    earlier = [Example(dialogue.asked[: place + 1]) for place in reversed(dialogue.learned)]
    asked = () if dialogue.asked == (Message("user", item.question),) else dialogue.asked
    return Lesson(
        id=digest(["material", dump(dialogue)]),
        kind=kind,
        item=item,
        examples=() if wrong else (whole, *earlier),
        answer="" if wrong else dialogue.answer,
        lineage=lineage,
        rejected=dialogue.answer if wrong else dialogue.rejected,
        asked=asked,
    )


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return repr(flat if len(flat) <= 60 else f"{flat[:60]}…")
