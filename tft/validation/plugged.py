"""Checks the parts a config names that may be somebody else's: graders, engines, objectives, planners."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tft import plugins
from tft.config.reading import diagnose
from tft.config.training import OtherConfig
from tft.graders import is_judged

if TYPE_CHECKING:
    from tft.config.campaign import TuitionConfig
    from tft.config.cards import CurriculumCard
    from tft.config.training import AnyObjective
    from tft.errors import Problem
    from tft.validation.draft import Named


def is_judged_in(curriculum: CurriculumCard | None, tuition: TuitionConfig) -> bool:
    """Whether pairs are told apart by the tutor's judge, as far as there is such a grader."""
    if curriculum is None or plugins.find_fault("tft.graders", curriculum.grader.type) is not None:
        return False
    return is_judged(tuition, curriculum.grader)


def check_plug_in(group: plugins.Group, named: Named, problems: list[Problem], *others: str) -> bool:
    """Refuse a name that nothing has, and a part of somebody else that is not what it should be.

    Args:
        group: of the part.
        named: its name, and where it stands.
        problems: get what is wrong.
        others: names that would be right there as well.
    """
    fault = plugins.find_fault(group, named.name, *others)
    if fault is not None:
        problems.append(named.problem(*fault))
    return fault is None


def check_objective(named: Named, objective: AnyObjective, problems: list[Problem]) -> None:
    """Refuse an objective that is not here, and options that it does not take, where its class says which it does."""
    if not check_plug_in("tft.objectives", named, problems) or not isinstance(objective, OtherConfig):
        return
    options = getattr(plugins.load("tft.objectives", objective.type), "Options", None)
    if options is not None:
        _, found = diagnose(options, objective.options, named.file)
        below = named.key.removesuffix("type") + "options"
        problems += [replace(it, key=f"{below}.{it.key}" if it.key else below) for it in found]
