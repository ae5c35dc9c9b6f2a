"""What an auditor looks for in the lessons: personal data and secrets that should not be there, and pairs that lean.

A pattern that looks like an address may be none, and a name without any pattern is not found: what is reported says
where to look. The report never repeats what it found; it gives the lesson, which stands in ``lessons/cycle-N.jsonl``.

Left out on purpose: what a student says of people. That is for an exam with questions about it.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tft.lessons.judgements import JUDGE, ORDERS_DISAGREE
from tft.statistics import wilson_interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tft.ledger import Ledger
    from tft.records import Lesson
    from tft.report.taught import Taught

_BETWEEN = "\0"
"""Stands between texts that are searched at once; no pattern reaches across it."""
_LEANS = 0.5
_BY_CURRICULUM = ("covered", "uncovered")
"""Groups that tell what the curriculum teaches; that they differ is no bias."""


def _is_card(text: str) -> bool:
    """Check the last digit of a payment card (Luhn 1960)."""
    digits = [int(it) for it in text if it.isdigit()]
    doubled = [sum(divmod(2 * it, 10)) if place % 2 else it for place, it in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0 and len(set(digits)) > 1


def _is_account(text: str) -> bool:
    """Check the digits of an international bank account number (ISO 13616: 1 modulo 97)."""
    plain = text.replace(" ", "")
    return int("".join(str(int(it, 36)) for it in plain[4:] + plain[:4])) % 97 == 1


def _is_address(text: str) -> bool:
    return all(int(it) < 256 for it in text.split("."))


def _always(_: str) -> bool:
    return True


_LOOKED_FOR: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("e-mail address", re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}"), _always),
    (
        "telephone number",
        re.compile(r"(?<![\w)+*/=-])(?<!\d )\+\d{1,3}[ .-]?(?:\(\d+\)[ .-]?)?\d(?:[ .-]?\d){6,12}"),
        _always,
    ),
    ("payment card", re.compile(r"(?<![\d.+*/=-])\d(?:[ -]?\d){12,18}(?![\d.+*/=-])"), _is_card),
    ("bank account", re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"), _is_account),
    ("network address", re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"), _is_address),
    (
        "key or token",
        re.compile(
            r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|hf_[A-Za-z]{30,}|sk-[A-Za-z0-9_-]{20,}"
            r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
        ),
        _always,
    ),
)


def audit_lessons(ledger: Ledger, taught: Iterable[Taught], students: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Search all lessons that were taught, and measure in which ways they and the exams lean.

    Args:
        ledger: of the run.
        taught: all that was curated.
        students: their parts of the report.

    Returns:
        ``privacy`` with what was looked for and where it was found, and ``bias`` with shares and their intervals.
    """
    lessons = {lesson.id: lesson for it in taught for lesson in it.curated.kept}
    turned = sum(it["reason"] == ORDERS_DISAGREE for step in ledger.steps("judge") for it in step.result["rejections"])
    return {
        "privacy": {
            "lessons": len(lessons),
            "looked_for": [name for name, *_ in _LOOKED_FOR],
            "found": _search(lessons),
        },
        "bias": [*_lengths(lessons.values()), *_orders(lessons.values(), turned), *_groups(students)],
    }


def _search(lessons: Mapping[str, Lesson]) -> list[dict[str, Any]]:
    """List what looks like something private: how many lessons hold it, and the first of them."""
    texts = [_BETWEEN.join(_texts(lesson)) for lesson in lessons.values()]
    starts = [0, *accumulate(len(text) + 1 for text in texts)]
    whole, names = _BETWEEN.join(texts), list(lessons)
    found = []
    for kind, pattern, is_one in _LOOKED_FOR:
        places = [it.start() for it in pattern.finditer(whole) if is_one(it[0])]
        holding = list(dict.fromkeys(names[bisect_right(starts, place) - 1] for place in places))
        if holding:
            found.append({"kind": kind, "lessons": len(holding), "skill": lessons[holding[0]].item.skill,
                          "example": holding[0]})  # fmt: skip
    return found


def _texts(lesson: Lesson) -> list[str]:
    parts = (lesson.item.question, lesson.answer, lesson.attempt, lesson.critique, lesson.rejected)
    return [*(it for it in parts if it), *(it.content for it in lesson.asked)]


def _lengths(lessons: Iterable[Lesson]) -> list[dict[str, Any]]:
    """Say how often the better answer is the longer one: who learns from pairs may learn that instead."""
    pairs = [(len(it.answer), len(it.rejected)) for it in lessons if it.rejected is not None and it.answer]
    unequal = [better > worse for better, worse in pairs if better != worse]
    said = "of the preferences with answers of unlike length, the longer one is the better one"
    return [_share(said, sum(unequal), len(unequal))] if unequal else []


def _orders(lessons: Iterable[Lesson], turned: int) -> list[dict[str, Any]]:
    """Say how often the judge preferred the other answer when it read them the other way round."""
    judged = sum(any(it.grader == JUDGE for it in lesson.verdicts) for lesson in lessons)
    said = "of the pairs of which the judge preferred one, it preferred the other once they changed places"
    return [{**_share(said, turned, turned + judged), "leans": turned > 0}] if turned + judged else []


def _groups(students: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the widest gap between groups of an exam that somebody's own questions are parted into."""
    found = []
    for student in students:
        for suite, sat in student["whole"].items():
            groups = (sat.get("groups") or {}).items()
            scores = {
                name: after
                for name, it in groups
                if name.partition(":")[0] not in _BY_CURRICULUM and (after := it.get("after") or {}).get("n")
            }
            if len(scores) < 2:
                continue
            low, high = (choose(scores, key=lambda name: scores[name]["score"]) for choose in (min, max))
            found.append({
                "what": f"{student['id']} in {suite}, the widest gap between groups: {high} above {low}",
                "value": scores[high]["score"] - scores[low]["score"], "low": None, "high": None,
                "n": scores[low]["n"] + scores[high]["n"],
                "leans": scores[high]["low"] > scores[low]["high"],
            })  # fmt: skip
    return found


def _share(what: str, part: int, n: int) -> dict[str, Any]:
    low, high = wilson_interval(part, n)
    return {"what": what, "value": part / n, "low": low, "high": high, "n": n, "leans": not low <= _LEANS <= high}
