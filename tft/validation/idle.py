"""Says which settings that were written decide nothing, because others leave them nothing to decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.config.adapters import HeadAdapter
from tft.errors import Problem
from tft.validation.plugged import is_judged_in

if TYPE_CHECKING:
    from pydantic import BaseModel

    from tft.validation.content import Content
    from tft.validation.draft import Draft

_NEEDS: dict[str, tuple[str, ...]] = {
    "tuition.questions": ("demonstration", "feedback", "preference"),
    "tuition.demonstrations": ("demonstration",),
    "tuition.critiques": ("critique",),
    "tuition.pairs": ("preference",),
    "tuition.second_opinion": ("practice",),
    "training.objectives.feedback": ("feedback",),
    "training.objectives.preference": ("preference", "verdict"),
    "training.objectives.practice": ("practice",),
}
"""Kinds of lesson of which one has to be there for a setting to decide something; the first may be pinned."""
_TASKS = ("classifier", "regressor", "reward")
"""Of heads, each with an objective of its name."""


def warn_of_idle(draft: Draft, content: Content, warnings: list[Problem]) -> None:
    """Warn of settings for lessons that nobody gets; a planner of somebody else may give any."""
    tuition = draft.config.tuition
    if not draft.whole or tuition.planner != "evidence":
        return
    given = _kinds(draft, content)
    for key, needs in (_NEEDS | {f"training.objectives.{task}": (task,) for task in _TASKS}).items():
        written = _written(draft.config, key)
        if written is None or given & set(needs):
            continue
        message, remedy = "has no effect: no student has a head for that", "leave it out, or give one such a head"
        if key.removeprefix("training.objectives.") not in _TASKS:
            message = f"has no effect: with tuition.methods: {tuition.methods}, nobody is taught by {needs[0]}"
            remedy = f"leave it out, or pin tuition.methods: {needs[0]}"
        warnings.append(Problem(message, draft.file, key, written, remedy))


def _kinds(draft: Draft, content: Content) -> set[str]:
    """List the kinds of lesson that students of a campaign may get, and the tasks of their heads."""
    tuition, students = draft.config.tuition, draft.config.students
    heads = [student.adapter for student in students if isinstance(student.adapter, HeadAdapter)]
    kinds: set[str] = {kind for head in heads for kind in (head.learns_from, head.task.type)}
    if len(heads) == len(students):
        return kinds
    if draft.config.material:
        kinds |= {"demonstration", "preference", "verdict"}
    if tuition.methods != "auto":
        return kinds | {tuition.methods}
    kinds |= {"demonstration", "critique", "self_training"}
    # Where the judge would be asked if it were not for ``pairs: grader``, that is what this setting decides.
    ways = (tuition, tuition.model_copy(update={"pairs": "auto"}))
    return kinds | {"preference" for way in ways if is_judged_in(content.curriculum, way)}


def _written(config: BaseModel, key: str) -> str | None:
    """Give a setting in words, where it was written and is not what it would be anyway."""
    *above, last = key.split(".")
    for name in above:
        config = getattr(config, name)
    value, default = getattr(config, last), type(config).model_fields[last].get_default()
    if last not in config.model_fields_set or value == default:
        return None
    return str(getattr(value, "type", value))
