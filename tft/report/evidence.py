"""The evidence: everything a report says, read from the ledger and from nothing else.

What was not measured is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tft import __version__
from tft.config.campaign import Price
from tft.records import (
    Answered,
    Checkpoint,
    Lesson,
    Offered,
    Opinion,
    Usage,
    load,
)
from tft.report.audit import audit_lessons
from tft.report.lineage import describe_lessons
from tft.report.material import describe_material
from tft.report.next_steps import next_steps
from tft.report.taught import read_taught
from tft.report.transcript import Transcript
from tft.tutor.allowance import cost_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tft.ledger import Ledger
    from tft.report.taught import Taught

_EXAMPLES_A_SKILL = 2
_TUTORED = ("teach", "criticise", "judge")
"""Stages that a tutor is paid for at once; what it is asked for in training, its checkpoint says."""
_OWN_WORK = ("promise", "contest", "self_train")
"""Stages in which students put lessons forward, or what they are to answer themselves."""
_STAGES = {
    "tutor": (*_TUTORED, "promise", "second_opinion"),
    "train": ("train", "classroom", "open"),
    "examine": ("examine", "practise", "contest", "answer", "self_train", "rehearse"),
}


def build_report(ledger: Ledger) -> dict[str, Any]:
    """Build the report of a run from its ledger; see the design for its keys."""
    setting = ledger.fact("setting")
    taught = read_taught(ledger)
    found = [Transcript(ledger, setting, it, taught) for it in setting["config"]["students"]]
    students = [it.report() for it in found]
    usage = sum((offered.usage for offered in _offers(ledger, *_TUTORED)), Usage())
    usage += sum((load(Opinion, step.result).usage for step in ledger.steps("second_opinion")), Usage())
    usage += sum((load(Checkpoint, step.result).usage for step in ledger.steps("train")), Usage())
    busy = ledger.busy_seconds()
    report = {
        "schema": 1,
        "version": __version__,
        "campaign": setting["campaign"],
        "seed": setting["seed"],
        "continue_from": setting.get("continue_from"),
        "seconds": ledger.fact("seconds"),
        "cycles": max((step.cycle for step in ledger.steps("plan")), default=0),
        "stopped_because": _stopped_because([student["stopped_because"] for student in students]),
        "limit_reached": ledger.fact("limit"),
        "tutor": {
            **setting["tutor"],
            "prompts": _prompts(ledger),
            "tokens": {
                "prompt": usage.prompt,
                "completion": usage.completion,
                "scored": usage.scored,
                "total": usage.total,
                "of_which_cached": usage.cached,
            },
            "money": _money(usage, setting["tutor"].get("price")),
        },
        "skills": setting["skills"],
        "students": students,
        "curation": _curation(ledger, taught),
        "material": list(describe_material(ledger, setting)),
        "examples": [example for it in setting["config"]["students"] for example in _examples(taught, it["id"])],
        "failures": [failure for it in found for failure in it.failures()],
        "time": {
            **{name: sum(busy.get(stage, 0.0) for stage in stages) for name, stages in _STAGES.items()},
            "orchestrate": ledger.fact("orchestrate"),
        },
        "config": setting["config"],
        "environment": setting["environment"],
        "sources": _sources(setting),
        "lineage": describe_lessons(taught, setting),
        "audit": audit_lessons(ledger, taught, students),
    }
    return {**report, "next": next_steps(report)}


def _money(usage: Usage, price: dict[str, Any] | None) -> float | None:
    """Give what the tutor cost as the budget counts it: what came from the cache as if it had been asked for."""
    return None if price is None else cost_of(usage.prompt, usage.completion + usage.scored, Price(**price))


def _stopped_because(reasons: list[str | None]) -> str | None:
    """Give the reason that weighs most: a campaign has reached mastery only if every student has."""
    order = ("budget", "no_lessons", "plateau", "cycles", "mastery")
    known = [reason for reason in reasons if reason is not None]
    return min(known, key=order.index) if len(known) == len(reasons) else None


def _offers(ledger: Ledger, *stages: str) -> Iterator[Offered]:
    for stage in stages:
        for step in ledger.steps(stage):
            yield load(Offered, step.result)


def _curation(ledger: Ledger, taught: Sequence[Taught]) -> dict[str, Any]:
    """Count what was offered, kept and rejected, over all students and over the items the tutor wrote."""
    kept = 0
    offers = _offers(ledger, "material", *_TUTORED, *_OWN_WORK, "rehearse")
    rejections = [it for offered in offers for it in offered.rejections]
    for it in taught:
        kept += len(it.curated.kept)
        rejections += it.curated.rejections
    reasons = Counter(one.reason for one in rejections)
    shown: dict[str, int] = Counter()
    examples = []
    for one in rejections:
        shown[one.reason] += 1
        if shown[one.reason] <= _EXAMPLES_A_SKILL:
            examples.append({"kind": one.kind, "skill": one.skill, "reason": one.reason, "text": one.text})
    return {
        "offered": kept + len(rejections),
        "kept": kept,
        "rejected": {"wrong": 0, "duplicate": 0, "leak": 0, **dict(sorted(reasons.items()))},
        "examples": examples,
    }


def _examples(taught: Sequence[Taught], student: str) -> Iterator[dict[str, Any]]:
    shown: Counter[tuple[str, str]] = Counter()
    for it in (it for it in taught if it.student == student):
        for lesson in it.curated.kept:
            shown[lesson.kind, lesson.item.skill] += 1
            if lesson.kind != "replay" and shown[lesson.kind, lesson.item.skill] <= _EXAMPLES_A_SKILL:
                yield _example(lesson, student, it.cycle)


def _example(lesson: Lesson, student: str, cycle: int) -> dict[str, Any]:
    return {
        "student": student,
        "cycle": cycle,
        "kind": lesson.kind,
        "skill": lesson.item.skill,
        "question": lesson.item.question,
        "attempt": lesson.attempt,
        "critique": lesson.critique,
        "answer": lesson.answer,
    }


def _prompts(ledger: Ledger) -> dict[str, str]:
    found: dict[str, str] = {}
    for offered in _offers(ledger, *_TUTORED, "promise"):
        for lesson in offered.lessons[:1]:
            found |= lesson.lineage.prompts
    return dict(sorted(found.items()))


def _sources(setting: dict[str, Any]) -> list[dict[str, Any]]:
    """List what this campaign was taught and examined from, then what the ones before were taught from."""
    own = [*_taught_from(setting), *_origins("exam", setting["suites"])]
    known = {(it["what"], it["name"], it["digest"]) for it in own}
    found = [{**it, "campaign": setting["campaign"]} for it in own]
    for before in reversed(setting.get("before", ())):
        for it in _taught_from(before):
            if (it["what"], it["name"], it["digest"]) not in known:
                known.add((it["what"], it["name"], it["digest"]))
                found.append({**it, "campaign": before["campaign"]})
    return found


def _taught_from(setting: dict[str, Any]) -> list[dict[str, Any]]:
    curriculum, tutor = setting["curriculum"], setting["tutor"]
    return [
        {"what": "tutor", "name": tutor["id"], "license": tutor["license"], "digest": tutor["fingerprint"],
         "reference": tutor["description"]},
        {"what": "curriculum", "name": curriculum["name"], "license": curriculum["license"],
         "digest": curriculum["digest"], "reference": curriculum["description"]},
        *_origins("material", setting.get("material", [])),
    ]  # fmt: skip


def _origins(what: str, files: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("name", "license", "digest", "reference")
    return [{"what": what, **{key: it[key] for key in keys}} for it in files]


def final_answers(ledger: Ledger) -> dict[str, dict[str, list[Answered]]]:
    """Give what each student answered at the end, by student and by skill or whole exam."""
    setting = ledger.fact("setting")
    found: dict[str, dict[str, list[Answered]]] = {}
    for config in setting["config"]["students"]:
        student, answers = Transcript(ledger, setting, config), found.setdefault(config["id"], {})
        for exam in ("final", *(suite["name"] for suite in setting["suites"])):
            sitting = student.after(exam)
            for it in sitting.answers if sitting is not None else ():
                answers.setdefault(it.attempt.item.skill, []).append(it)
    return found
