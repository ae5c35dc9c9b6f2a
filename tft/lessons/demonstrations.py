"""Demonstrations: the tutor writes items for a skill and answers them with its work shown.

A request makes one batch of a skill's shelf. Batches are numbered and each knows what stands on the shelf before
it, so that students who need the same skill read the same lessons, and the tutor is asked once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tft.library import load_items
from tft.records import Example, Item, Lesson, Lineage, Message, Offered, Rejection, digest
from tft.tutor import Answers, Tutor, TutorRef, open_tutor


@dataclass(frozen=True, slots=True)
class DemonstrationRequest:
    """One batch of demonstrations for the shelf of a skill."""

    tutor: TutorRef
    items_path: str
    """The curriculum's item source."""
    skill: str
    levels: int
    number: int
    """Of the batch, from 0."""
    size: int
    """Items the tutor is asked to write."""
    known: tuple[str, ...]
    """Questions that stand on the shelf already."""
    held_out: tuple[str, ...]
    """Fingerprints of exam items."""
    seed: int
    allowance: int | None
    """Tutor tokens it may use."""


def demonstrate(request: DemonstrationRequest) -> Offered:
    """Let the tutor write items and work them.

    Questions that are unreadable, off the skill, held out, or on the shelf already are dropped before anybody
    pays for their answers.

    Raises:
        BudgetError: if the allowance may not suffice; what was asked until then is in the cache.
    """
    tutor = open_tutor(request.tutor)
    orders = [{"skill": request.skill, "level": 1 + row % request.levels} for row in range(request.size)]
    seed = int(digest([request.seed, request.skill, request.number]), 16) % 2**31
    written = tutor.ask("author", orders, seed, request.allowance)
    items, rejections = _read_items(written, request)
    left = None if request.allowance is None else request.allowance - written.usage.total
    worked = tutor.ask("demonstrator", [{"question": item.question} for item in items], 0, left)
    lessons = []
    for item, fields, text in zip(items, worked.fields, worked.texts, strict=True):
        if fields is None:
            rejections.append(Rejection("demonstration", request.skill, "unreadable", f"{item.question} → {text}"))
        else:
            lessons.append(_lesson(item, fields["work"], tutor, (written.key, worked.key)))
    return Offered(tuple(lessons), tuple(rejections), written.usage + worked.usage)


def _read_items(written: Answers, request: DemonstrationRequest) -> tuple[list[Item], list[Rejection]]:
    source = load_items(Path(request.items_path))
    taken, held_out = set(request.known), frozenset(request.held_out)
    items, rejections = [], []
    for fields, text in zip(written.fields, written.texts, strict=True):
        question = fields["question"] if fields is not None else None
        classified = source.classify(question) if question is not None else None
        if question is None:
            reason = "unreadable"
        elif classified is None or classified[0] != request.skill:
            reason = "off_skill"
        elif source.fingerprint(question) in held_out:
            reason = "leak"
        elif question in taken:
            reason = "duplicate"
        else:
            _, level, answer = classified
            items.append(Item(request.skill, level, question, answer, source.fingerprint(question), "tutor"))
            taken.add(question)
            continue
        rejections.append(Rejection("item", request.skill, reason, text))
    return items, rejections


def _lesson(item: Item, work: str, tutor: Tutor, calls: tuple[str, ...]) -> Lesson:
    return Lesson(
        id=digest(["demonstration", item.question, work, tutor.fingerprint]),
        kind="demonstration",
        item=item,
        examples=(Example((Message("user", item.question), Message("assistant", work))),),
        answer=work,
        lineage=Lineage(
            source=tutor.card.tutor,
            model=tutor.fingerprint,
            prompts={role: tutor.version(role) for role in ("author", "demonstrator")},
            calls=calls,
        ),
    )
