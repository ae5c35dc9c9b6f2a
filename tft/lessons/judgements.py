"""The tutor says which of a student's answers is better, where no grader can.

Style, tact and safety have no reference answer. Two answers of the student to a question are put to the tutor's judge
in both orders; what it prefers in both becomes a pair. Where the student answered the same every time, the tutor's own
answer stands against it, if there is one. What one order prefers and the other does not is a tie and teaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tft.lessons.contests import Contested
from tft.records import Attempt, Example, Lesson, Lineage, Offered, Rejection, Verdict, digest
from tft.student import StudentRef
from tft.tutor import Allowance, Pair, Preference, Tutor, TutorRef, open_tutor, prefer
from tft.tutor.judging import both_orders

JUDGE = "judge"
"""Grader of the verdict that a judged pair carries."""
ORDERS_DISAGREE = "orders_disagree"
"""Why a pair is refused of which the judge preferred whatever it read first, or last."""


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """A student's answers that are to be told apart."""

    tutor: TutorRef
    student: StudentRef
    contested: Contested
    rubric: str | None
    """What counts; None means what the judge's prompt says."""
    allowance: Allowance
    """What may be spent on the tutor."""


def judge(request: JudgeRequest) -> Offered:
    """Let the tutor say which of two answers is better, and pair what it is sure of.

    Raises:
        BudgetError: if the allowance may not suffice.
    """
    tutor = open_tutor(request.tutor)
    pairs, rejections = [], []
    for lesson, own in zip(request.contested.lessons, request.contested.answers, strict=True):
        texts = [it.text for it in own[:2]]
        if len(texts) == 1 and lesson.answer not in ("", texts[0]):
            texts.append(lesson.answer)
        if len(texts) == 2:
            pairs.append((lesson, own, Pair(lesson.item.question, texts[0], texts[1])))
        else:
            reason = "all_alike" if texts else "attempt_unreadable"
            rejections.append(Rejection("preference", lesson.item.skill, reason, lesson.item.question))
    orders = both_orders([pair for _, _, pair in pairs], request.rubric)
    # What is left of the budget buys as many as it can; where it buys none, that is said.
    within = pairs[: max(1, tutor.reach("judge", orders, request.allowance) // 2)]
    said, usage = prefer(tutor, [pair for _, _, pair in within], request.rubric, 0, request.allowance)
    lessons = []
    for (lesson, own, pair), preference in zip(within, said, strict=True):
        if preference.winner == "tie":
            reason = _why_none(preference)
            rejections.append(Rejection("preference", lesson.item.skill, reason, f"{pair.first} | {pair.second}"))
        else:
            lessons.append(_pair(lesson, own, pair, preference, tutor, request.student))
    return Offered(tuple(lessons), tuple(rejections), usage)


def _why_none(said: Preference) -> str:
    if None in said.said:
        return "unreadable"
    return "tie" if "tie" in said.said else ORDERS_DISAGREE


def _pair(
    lesson: Lesson, own: tuple[Attempt, ...], pair: Pair, said: Preference, tutor: Tutor, student: StudentRef
) -> Lesson:
    chosen, rejected = (pair.first, pair.second) if said.winner == "first" else (pair.second, pair.first)
    model = student.digest or student.base
    by_student = any(it.text == chosen for it in own)
    origin = Lineage(source="student", model=model) if by_student else lesson.lineage
    return replace(
        lesson,
        id=digest(["preference", lesson.item.question, chosen, rejected, model, tutor.fingerprint]),
        kind="preference",
        examples=(Example.of(lesson.item.question, chosen),),
        answer=chosen,
        rejected=rejected,
        cut_off=tuple(it.text for it in own if it.text in (chosen, rejected) and not it.finished),
        attempt=None,
        critique=None,
        lineage=replace(origin, prompts={**origin.prompts, "judge": tutor.version("judge")}),
        verdicts=(Verdict(1.0, "preferred in both orders", JUDGE),),
    )
