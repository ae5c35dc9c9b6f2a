"""What the prompts of the roles are given: one place that knows the names, for those who check and estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.config.campaign import EXAMPLES_SHOWN, TAKEN_SHOWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.config.campaign import TuitionConfig
    from tft.config.cards import Role, SkillCard, TutorCard


_WRITES: tuple[Role, ...] = ("author", "demonstrator")
NEEDED: dict[str, tuple[Role, ...]] = {
    "auto": (*_WRITES, "critic"),
    "demonstration": _WRITES,
    "critique": ("critic",),
    "self_training": (),
    "feedback": _WRITES,
    "preference": (),
    "practice": (),
}
"""The roles a tutor must take, by ``tuition.methods``, where it asks the questions as well."""


def roles_needed(tuition: TuitionConfig, *, judged: bool) -> tuple[Role, ...]:
    """Give the roles a tutor must take.

    Args:
        tuition: how it teaches.
        judged: whether its judge tells a student's answers apart.
    """
    needed = (*NEEDED[tuition.methods], "judge") if judged else NEEDED[tuition.methods]
    return tuple(role for role in needed if role in roles_that_show(tuition) or role not in _WRITES)


def roles_that_show(tuition: TuitionConfig) -> tuple[Role, ...]:
    """Give the roles that a demonstration takes: the author is none of them where the curriculum asks."""
    return ("demonstrator",) if tuition.questions == "curriculum" else _WRITES


def roles_asked(tuition: TuitionConfig, card: TutorCard, *, judged: bool) -> tuple[Role, ...]:
    """Give the roles a tutor is asked in: those it must take, and for preferences and second opinions those it can."""
    optional: tuple[Role, ...] = roles_that_show(tuition) if tuition.methods == "preference" else ()
    if tuition.methods == "practice" and tuition.second_opinion:
        optional = ("judge",)
    can = all(role in card.roles for role in optional)
    return tuple(dict.fromkeys((*(optional if can else ()), *roles_needed(tuition, judged=judged))))


def usual_values(skill: str, card: SkillCard, question: str, marker: str | None) -> dict[Role, dict[str, Any]]:
    """Give the values of usual requests: the first of a campaign."""
    return {
        "author": {"skill": skill, "title": card.title, "level": 1, "levels": card.levels, "examples": [question],
                   "taken": []},
        "demonstrator": {"question": question, "title": card.title, "marker": marker},
        "critic": {"question": question, "attempt": question, "marker": marker},
        "judge": {"question": question, "first": question, "second": question, "rubric": card.rubric},
    }  # fmt: skip


def longest_values(
    skills: Mapping[str, SkillCard], question: str, attempt: int, marker: str | None
) -> dict[Role, dict[str, Any]]:
    """Give the values of the longest requests there can be.

    Args:
        skills: all that may be taught.
        question: the longest there is.
        attempt: characters of the longest attempt that is read.
        marker: what the grader wants to see before an answer.
    """
    title = max((skill.title for skill in skills.values()), key=len)
    return {
        "author": {"skill": max(skills, key=len), "title": title, "level": 9, "levels": 9,
                   "examples": [question] * EXAMPLES_SHOWN, "taken": [question] * TAKEN_SHOWN},
        "demonstrator": {"question": question, "title": title, "marker": marker},
        "critic": {"question": question, "attempt": "0" * attempt, "marker": marker},
        "judge": {"question": question, "first": "0" * attempt, "second": "0" * attempt,
                  "rubric": max((skill.rubric or "" for skill in skills.values()), key=len)},
    }  # fmt: skip
