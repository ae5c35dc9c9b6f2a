"""The examiner: sits a student down before held-out items, without hints, and has the answers graded.

The examiner is not the tutor. Rules grade what rules can grade, and a judge by a rubric what they cannot. Answers are
greedy, but for heads that choose among drafts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tft.config.cards import GraderConfig
from tft.config.suites import RubricConfig
from tft.graders import CUT_OFF, grade_attempts
from tft.graders.rubric import NO_VERDICT, JudgeRef, RubricGrader, open_judge
from tft.ports import Sampling
from tft.records import Answered, Item, Sitting
from tft.student import StudentRef
from tft.student.models import attempt


@dataclass(frozen=True, slots=True)
class SitRequest:
    """One student, one exam."""

    student: StudentRef
    exam: str
    items: tuple[Item, ...]
    grader: GraderConfig
    max_tokens: int
    graders: dict[str, GraderConfig] = field(default_factory=dict)
    """Of skills that another grader judges."""


def sit(request: SitRequest) -> Sitting:
    """Let a student answer every item, and grade the answers."""
    judged: dict[GraderConfig, list[Item]] = {}
    for item in request.items:
        judged.setdefault(request.graders.get(item.skill, request.grader), []).append(item)
    answers: dict[Item, Answered] = {}
    for config, items in judged.items():
        grade = grade_attempts(config)
        attempts = attempt(request.student, items, Sampling(request.max_tokens), config.marker)
        answers |= {it.item: Answered(it, grade(it.item, it.text, it.finished)) for it in attempts}
    return Sitting(request.exam, tuple(answers[item] for item in request.items))


@dataclass(frozen=True, slots=True)
class JudgedRequest:
    """One student, one exam, and the judge who grades it by the rubric of its grader."""

    sitting: SitRequest
    judge: JudgeRef


def sit_judged(request: JudgedRequest) -> Sitting:
    """Let a student answer every item, and a judge grade the answers; not sat where it gives no verdict on any."""
    asked, judge = request.sitting, request.judge
    config = asked.grader
    assert isinstance(config, RubricConfig) and config.rubric is not None
    attempts = attempt(asked.student, asked.items, Sampling(asked.max_tokens), config.marker)
    whole = [it for it in attempts if it.finished or config.cut_off]
    grader = RubricGrader(config.rubric, open_judge(judge), judge.max_tokens, judge.repairs)
    verdicts = grader.grade_all([(it.item, it.text) for it in whole])
    if verdicts and all(it.reason.startswith(NO_VERDICT) for it in verdicts):
        return Sitting(asked.exam, (), sat=False, reason=f"of {len(verdicts)} answers: {verdicts[0].reason}")
    graded = iter(verdicts)
    answers = (Answered(it, next(graded) if it.finished or config.cut_off else CUT_OFF) for it in attempts)
    return Sitting(asked.exam, tuple(answers))
