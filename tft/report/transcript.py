"""A transcript: everything that a report says of one student, from its first exam to the last.

What was not measured is None, never 0.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

from tft.curriculum import estimate
from tft.curriculum.findings import name_gamed_grader
from tft.exams import measure_change, measure_consistency, measure_cut_off, measure_score
from tft.records import (
    SELF_CORRECTION,
    Answered,
    Beliefs,
    Checkpoint,
    Decision,
    Inherited,
    LessonKind,
    Mastery,
    Opinion,
    Sitting,
    Syllabus,
    Version,
    load,
)
from tft.report.calibration import calibrate
from tft.report.failures import describe_failures
from tft.statistics import holm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tft.ledger import Ledger
    from tft.report.taught import Taught

_ERRORS = 0.05
"""How often an interval may miss the truth."""
_COUNTED: tuple[LessonKind, ...] = (
    "demonstration", "critique", "confirmation", "self_training", "preference", "verdict", "practice", "replay",
)  # fmt: skip
"""Kinds of lesson that the report counts."""


class Transcript:
    """What the ledger tells of one student.

    Args:
        ledger: of the run.
        setting: what the run wrote down of its campaign.
        config: of the student.
        taught: what the students of the run were taught, if that is wanted.
    """

    def __init__(
        self, ledger: Ledger, setting: dict[str, Any], config: dict[str, Any], taught: Sequence[Taught] = ()
    ) -> None:
        self._ledger = ledger
        self._setting = setting
        self._config = config
        self._id: str = config["id"]
        self._roles: dict[str, str] = {it["name"]: it["role"] for it in setting["skills"]}
        self._outcome = ledger.fact(f"outcome/{self._id}") or {}
        self._beliefs = {step.cycle: load(Beliefs, step.result) for step in ledger.steps("probe", self._id)}
        self._decisions = {it.cycle: it for it in self._read("reflect", Decision)}
        self._opinions = {step.cycle: load(Opinion, step.result) for step in ledger.steps("second_opinion", self._id)}
        self._checkpoints = {step.cycle: load(Checkpoint, step.result) for step in ledger.steps("train", self._id)}
        self._curated = {it.cycle: it.curated for it in taught if it.student == self._id}
        self._lessons = {cycle: it.kept for cycle, it in self._curated.items()}
        self._sittings = {
            (sitting.exam, step.cycle): sitting
            for step in ledger.steps("examine", self._id)
            for sitting in [load(Sitting, step.result)]
        }

    def _read(self, stage: str, kind: type[Any]) -> Iterator[Any]:
        for step in self._ledger.steps(stage, self._id):
            yield load(kind, step.result)

    def after(self, exam: str) -> Sitting | None:
        """Give the sitting of the promoted checkpoint; where nothing was promoted that is the first one."""
        if self._outcome and self._outcome["promoted_digest"] is None:
            return self._sittings.get((exam, 0))
        return self._sittings.get((exam, 1)) if self._outcome else None

    def report(self) -> dict[str, Any]:
        """Give what `report.json` says of the student."""
        before, after = self._sittings.get(("final", 0)), self.after("final")
        skills = self._skills(before, after)
        whole = {suite["name"]: self._whole(suite) for suite in self._setting["suites"]}
        _correct(it["change"] for it in skills.values())
        _correct(part["change"] for it in whole.values() for part in (it, *it["groups"].values()))
        taught = [it["name"] for it in self._setting["skills"] if it["role"] == "taught"]
        kinds = Counter(lesson.kind for lessons in self._lessons.values() for lesson in lessons)
        promoted = [cycle for cycle, decision in sorted(self._decisions.items()) if decision.promoted]
        shares = [it.trainable_share for it in self._checkpoints.values()]
        return {
            "id": self._id,
            "model": self._config["model"],
            "adapter": self._config["adapter"]["type"],
            "trainable_share": shares[0] if shares else None,
            "promoted_cycle": promoted[-1] if promoted else None,
            "stopped_because": self._outcome.get("stopped_because"),
            "skills": skills,
            "mastery": self._mastery(),
            "final_mean": {
                when: _mean([skills[name][when].get("score") for name in taught]) for when in ("before", "after")
            },
            "cut_off": {
                when: measure_cut_off(it.answers) if it is not None else None
                for when, it in (("before", before), ("after", after))
            },
            "whole": whole,
            "retention": {"worst_drop": _worst_drop(skills, before, after)},
            "calibration": calibrate(after, self._roles),
            "self_correction": self._self_correction(after),
            "lessons": {
                **{kind: kinds[kind] for kind in _COUNTED},
                "feedback_tokens": sum(it.usage.scored for it in self._checkpoints.values()),
            },
            "trained_tokens": sum(it.trained_tokens for it in self._checkpoints.values()),
            "checkpoint": self._outcome.get("checkpoint"),
            "lineage": self._lineage(),
            "curve": list(self._curve()),
            "cycles": list(self._cycles()),
        }

    def failures(self) -> list[dict[str, Any]]:
        """Show some of what the promoted checkpoint still gets wrong."""
        return describe_failures(self._id, self.after("final"), self._roles)

    def _lineage(self) -> list[dict[str, Any]]:
        """List what it was when each campaign before this one had ended, the oldest first."""
        found: tuple[Version, ...] = ()
        for inherited in self._read("inherit", Inherited):
            found = inherited.versions
        return [
            {
                "run": it.run,
                "date": it.date,
                "checkpoint": it.checkpoint,
                "taught": list(it.taught),
                "skills": {name: _measure(score) for name, score in it.scores.items()},
            }
            for it in found
        ]

    def _skills(self, before: Sitting | None, after: Sitting | None) -> dict[str, dict[str, Any]]:
        first, last = (estimate([it]) if it is not None else {} for it in (before, after))
        lessons = Counter(
            lesson.item.skill for kept in self._lessons.values() for lesson in kept if lesson.kind != "replay"
        )
        rehearsed = Counter(
            lesson.item.skill for kept in self._lessons.values() for lesson in kept if lesson.kind == "replay"
        )
        tokens: Counter[str] = Counter()
        for checkpoint in self._checkpoints.values():
            tokens.update(checkpoint.trained_tokens_by_skill)
        return {
            name: {
                "taught": lessons[name] > 0,
                "lessons": lessons[name],
                "rehearsed": rehearsed[name],
                "trained_tokens": tokens[name],
                "before": _measure(first.get(name)),
                "after": _measure(last.get(name)),
                "change": measure_change(_pick(before, partial(_is_of, name)), _pick(after, partial(_is_of, name))),
            }
            for name in (it["name"] for it in self._setting["skills"])
        }

    def _mastery(self) -> dict[str, dict[str, Any]]:
        """Give what is believed in the end, of the promoted checkpoint, and from what evidence."""
        noted = [*self._beliefs.values(), *self._read("believe", Beliefs)]
        return _believed(noted[-1] if noted else None)

    def _self_correction(self, after: Sitting | None) -> dict[str, Any]:
        """Compare the answers of the final exam with what stood after the student had read them again."""
        revised = self._sittings.get((SELF_CORRECTION, 1))
        if revised is None or after is None:
            return {"first": None, "revised": None, "n": None, "change": None}
        asked = {it.attempt.item.question for it in revised.answers}
        first = _pick(after, lambda it: it.attempt.item.question in asked)
        right = [sum(it.verdict.passed for it in sat) / len(asked) for sat in (first, revised.answers)]
        change = measure_change(first, revised.answers)
        return {"first": right[0], "revised": right[1], "n": len(asked), "change": change}

    def _whole(self, suite: dict[str, Any]) -> dict[str, Any]:
        before, after = self._sittings.get((suite["name"], 0)), self.after(suite["name"])
        sat = [it for it in (before, after) if it is not None]
        groups = sorted({group for sitting in sat for it in sitting.answers for group in it.attempt.item.groups})

        def compare(belongs: Callable[[Answered], bool]) -> dict[str, Any]:
            first, last = _pick(before, belongs), _pick(after, belongs)
            change = measure_change(first, last)
            return {"before": measure_score(first), "after": measure_score(last), "change": change}

        return {
            "sat": bool(sat) and all(it.sat for it in sat),
            "reason": suite["missing"] or _reason(before, after),
            "caption": suite["caption"],
            "left_out": suite.get("left_out", 0),
            "watched": suite.get("watched", 0),
            "unwatched": suite.get("unwatched") or None,
            **compare(lambda _: True),
            "consistency": {"before": measure_consistency(before), "after": measure_consistency(after)},
            "groups": {group: compare(partial(_is_in, group)) for group in groups},
        }

    def _curve(self) -> Iterator[dict[str, Any]]:
        for (exam, cycle), sitting in sorted(self._sittings.items()):
            if exam == "check":
                promoted = cycle == 0 or (cycle in self._decisions and self._decisions[cycle].promoted)
                known = estimate([sitting])
                yield {
                    "cycle": cycle,
                    "promoted": promoted,
                    "skills": {name: _measure(it) for name, it in known.items()},
                }

    def _cycles(self) -> Iterator[dict[str, Any]]:
        rejected = {cycle: len(it.rejections) for cycle, it in self._curated.items()}
        # A cycle that was taught again with a larger budget has been planned twice.
        for cycle, syllabus in sorted({it.cycle: it for it in self._read("plan", Syllabus)}.items()):
            checkpoint, decision = self._checkpoints.get(cycle), self._decisions.get(cycle)
            kept = len(self._lessons.get(cycle, ()))
            beliefs, opinion = self._beliefs.get(cycle), self._opinions.get(cycle)
            yield {
                "cycle": cycle,
                "probe": {"asked": beliefs.questions, "of": beliefs.of} if beliefs else None,
                "known": _believed(beliefs),
                "syllabus": [
                    {
                        "skill": it.skill,
                        "kind": it.kind,
                        "lessons": it.lessons,
                        "reason": it.reason,
                        "source": it.source or None,
                    }
                    for it in syllabus.tuition
                ],
                "waiting": syllabus.waiting,
                "mastered": list(syllabus.mastered),
                "offered": kept + rejected.get(cycle, 0),
                "kept": kept,
                "trained_tokens": checkpoint.trained_tokens if checkpoint else None,
                "loss_first": checkpoint.loss_first if checkpoint else None,
                "loss_last": checkpoint.loss_last if checkpoint else None,
                "measures": {name: list(ends) for name, ends in checkpoint.measures.items()} if checkpoint else {},
                "promoted": decision.promoted if decision else None,
                "decision": decision.reason if decision else None,
                "watched": self._watched(cycle),
                "findings": [
                    *(decision.findings if decision else ()),
                    *(name_gamed_grader(opinion) if opinion else ()),
                ],
                "second_opinion": {"asked": opinion.asked, "earlier": opinion.earlier, "later": opinion.later}
                if opinion
                else None,
            }

    def _watched(self, cycle: int) -> dict[str, dict[str, Any]]:
        """Compare what a candidate answered of the watched whole exams with what the student it was to replace did."""
        kept = max((it for it, decision in self._decisions.items() if it < cycle and decision.promoted), default=0)
        before, after = self._sittings.get(("watched", kept)), self._sittings.get(("watched", cycle))
        if before is None or after is None:
            return {}
        known = estimate([after])
        return {
            suite: {
                "before": _measure(was),
                "after": _measure(known.get(suite)),
                "change": measure_change(_pick(before, partial(_is_of, suite)), _pick(after, partial(_is_of, suite))),
            }
            for suite, was in estimate([before]).items()
        }


def _is_of(skill: str, answered: Answered) -> bool:
    return answered.attempt.item.skill == skill


def _is_in(group: str, answered: Answered) -> bool:
    return group in answered.attempt.item.groups


def _measure(known: Mastery | None) -> dict[str, Any]:
    return {} if known is None else {"score": known.score, "low": known.low, "high": known.high, "n": known.n}


def _believed(beliefs: Beliefs | None) -> dict[str, dict[str, Any]]:
    return {
        it.skill: {
            **_measure(it),
            "right": it.right,
            "aged": it.aged,
            "asked": it.asked,
            "probability": it.probability,
            "undecided": list(it.undecided),
        }
        for it in (beliefs.skills if beliefs else ())
    }


def _pick(sitting: Sitting | None, belongs: Callable[[Answered], bool]) -> list[Answered]:
    return [it for it in sitting.answers if belongs(it)] if sitting is not None else []


def _correct(changes: Iterable[dict[str, Any] | None]) -> None:
    """Write beside the p-value of each change what it is once corrected for how many changes there are."""
    measured = [it for it in changes if it is not None]
    for change, p in zip(measured, holm([it["p"] for it in measured]), strict=True):
        change["p_holm"] = p


def _reason(before: Sitting | None, after: Sitting | None) -> str | None:
    """Say why a whole exam was not sat; which of the two, where the other one was."""
    reasons = {when: it.reason for when, it in (("before", before), ("after", after)) if it is not None and it.reason}
    if len(set(reasons.values())) == 1 and len(reasons) == 2:
        return reasons["before"]
    return "; ".join(f"{when} tuition: {reason}" for when, reason in reasons.items()) or None


def _worst_drop(
    skills: dict[str, dict[str, Any]], before: Sitting | None, after: Sitting | None
) -> dict[str, Any] | None:
    """Name the skill that lost most, of those that were not taught; a drop is positive.

    The worst of k looks worse than it is, so its interval is as wide as it takes for all k to hold together
    (Bonferroni).
    """
    changes = [
        (-it["change"]["value"], name)
        for name, it in skills.items()
        if it["change"] is not None and it["before"].get("score") and not it["taught"]
    ]
    if not changes:
        return None
    value, name = max(changes)
    first, last = (_pick(it, partial(_is_of, name)) for it in (before, after))
    change = measure_change(first, last, 1 - _ERRORS / len(changes))
    assert change is not None
    return {"skill": name, "value": value, "low": -change["high"], "high": -change["low"], "of": len(changes)}


def _mean(scores: Iterable[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return sum(known) / len(known) if known else None
