"""Demonstrations: the tutor writes items for a skill and answers them with its work shown.

Where it mostly repeats itself, the curriculum draws the items, and the tutor is paid for its answers alone. A request
makes one batch of a skill's shelf. Batches are numbered and each knows what stands on the shelf before it, so that
students who need the same skill read the same lessons, and the tutor is asked once.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.config.campaign import EXAMPLES_SHOWN, TAKEN_SHOWN
from tft.lessons.items import draw_items
from tft.library import load_items
from tft.records import Example, Item, Lesson, Lineage, Offered, Rejection, Usage, digest, make_seed
from tft.tutor import Allowance, Answers, Tutor, TutorRef, open_tutor

if TYPE_CHECKING:
    from tft.config.cards import Role

_DRAWS = 500
_FEWEST = 16
"""Items that a batch has at least which is cut to what the budget reaches for."""


@dataclass(frozen=True, slots=True)
class DemonstrationRequest:
    """One batch of demonstrations for the shelf of a skill."""

    tutor: TutorRef
    items_path: str
    """The curriculum's item source."""
    skill: str
    title: str
    """What the skill is, in a few words."""
    levels: int
    marker: str | None
    """What the grader wants to see before the answer; None if nothing."""
    number: int
    """Of the batch, from 0."""
    size: int
    """Items the tutor is asked to write."""
    known: tuple[str, ...]
    """Questions that stand on the shelf already."""
    held_out: tuple[str, ...]
    """Fingerprints of exam items."""
    seed: int
    allowance: Allowance
    """What it may spend on the tutor."""
    drawn: bool = False
    """Whether the curriculum draws the items, and not the tutor."""


def demonstrate(request: DemonstrationRequest) -> Offered:
    """Let the tutor write items, unless they are to be drawn, and work them.

    Questions that are unreadable, off the skill, held out, or on the shelf already are dropped before anybody
    pays for their answers. A batch that the allowance may not suffice for is cut to what it does suffice for.

    Raises:
        BudgetError: if that is next to nothing; nothing was asked.
    """
    tutor = open_tutor(request.tutor)
    seed = make_seed([request.seed, request.skill, request.number])
    asked_for = _draw(request, seed) if request.drawn else _write(tutor, request, seed)
    left = request.allowance.after(asked_for.usage)
    wanted = [{"question": it.question, "title": request.title, "marker": request.marker} for it in asked_for.items]
    # Who has paid for the questions takes what answers there are.
    fewest = _FEWEST if request.drawn else 0
    asked = _affordable(tutor, "demonstrator", wanted, left, fewest)
    items, rejections = asked_for.items[: len(asked)], asked_for.rejections
    worked = tutor.ask("demonstrator", asked, 0, left)
    lessons = []
    for item, fields, text, reason in zip(items, worked.fields, worked.texts, worked.reasons, strict=True):
        if fields is None:
            rejections.append(Rejection("demonstration", request.skill, reason, f"{item.question} → {text}"))
        else:
            lessons.append(_lesson(item, fields["work"], tutor, (*asked_for.calls, worked.key)))
    cut = asked_for.cut or len(asked) < len(wanted)
    return Offered(tuple(lessons), tuple(rejections), asked_for.usage + worked.usage, cut)


@dataclass(frozen=True, slots=True)
class _Questions:
    """What the tutor is to answer, and what it was paid for the asking."""

    items: list[Item]
    rejections: list[Rejection] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    calls: tuple[str, ...] = ()
    cut: bool = False


def _draw(request: DemonstrationRequest, seed: int) -> _Questions:
    """Let the curriculum draw items; fewer where there are no more."""
    source, held_out = load_items(Path(request.items_path)), frozenset(request.held_out)
    return _Questions(draw_items(source, request.skill, request.size, held_out, str(seed), frozenset(request.known)))


def _write(tutor: Tutor, request: DemonstrationRequest, seed: int) -> _Questions:
    """Let the tutor write items, and keep those that can be used; half of what is left is for their answers."""
    wanted = _orders(request, random.Random(seed))
    orders = _affordable(tutor, "author", wanted, request.allowance.half(), _FEWEST)
    written = tutor.ask("author", orders, seed, request.allowance)
    items, rejections = _read_items(written, request)
    return _Questions(items, rejections, written.usage, (written.key,), len(orders) < len(wanted))


def _affordable(
    tutor: Tutor, role: Role, wanted: list[dict[str, Any]], allowance: Allowance, fewest: int
) -> list[dict[str, Any]]:
    """Give the requests that can be paid for; all of them, for the tutor to refuse, where those are too few."""
    reach = tutor.reach(role, wanted, allowance)
    return wanted if reach < min(fewest, len(wanted)) else wanted[:reach]


def _orders(request: DemonstrationRequest, rng: random.Random) -> list[dict[str, Any]]:
    """Say what each item should be: a skill and a level, questions like it, and questions there are already."""
    examples = _examples(request, rng)
    orders = []
    for row in range(request.size):
        level = 1 + row % request.levels
        taken = rng.sample(request.known, min(TAKEN_SHOWN, len(request.known)))
        orders.append(
            {"skill": request.skill, "title": request.title, "level": level, "levels": request.levels,
             "examples": examples.get(level, []), "taken": taken}
        )  # fmt: skip
    return orders


def _examples(request: DemonstrationRequest, rng: random.Random) -> dict[int, list[str]]:
    """Draw a few questions a level that are not held out, for tutors who have to be shown what is meant."""
    source = load_items(Path(request.items_path))
    held_out = frozenset(request.held_out)
    found: dict[int, list[str]] = {level: [] for level in range(1, request.levels + 1)}
    for question in islice(source.draw(request.skill, rng), _DRAWS):
        classified = source.classify(question)
        if classified is None or source.fingerprint(question) in held_out:
            continue
        level = found.get(classified[1], [])
        if len(level) < EXAMPLES_SHOWN and question not in level:
            level.append(question)
        if all(len(them) == EXAMPLES_SHOWN for them in found.values()):
            break
    return found


def _read_items(written: Answers, request: DemonstrationRequest) -> tuple[list[Item], list[Rejection]]:
    source = load_items(Path(request.items_path))
    taken, held_out = set(request.known), frozenset(request.held_out)
    items, rejections = [], []
    for fields, text, trouble in zip(written.fields, written.texts, written.reasons, strict=True):
        question = fields["question"].strip() if fields is not None else None
        classified = source.classify(question) if question is not None else None
        if question is None:
            reason = trouble
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


def _asked(item: Item) -> tuple[Role, ...]:
    return ("author", "demonstrator") if item.source == "tutor" else ("demonstrator",)


def _lesson(item: Item, work: str, tutor: Tutor, calls: tuple[str, ...]) -> Lesson:
    return Lesson(
        id=digest(["demonstration", item.question, work, tutor.fingerprint]),
        kind="demonstration",
        item=item,
        examples=(Example.of(item.question, work),),
        answer=work,
        lineage=Lineage(
            source=tutor.card.tutor,
            model=tutor.fingerprint,
            prompts={role: tutor.version(role) for role in _asked(item)},
            calls=calls,
        ),
    )
