"""The one door by which graders, engines and other parts come in: entry points, ours and other people's alike.

An entry point of the group ``tft.graders`` names a class: ``numeric = "tft.graders.numeric:NumericGrader"``. It is
imported when it is used, not before.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any, Literal

from tft.config.reading import closest
from tft.errors import Problem, UserError

Group = Literal["tft.graders", "tft.engines", "tft.objectives", "tft.planners"]


def names(group: Group) -> list[str]:
    """List what is installed of a group."""
    return sorted({point.name for point in entry_points(group=group)})


def load(group: Group, name: str) -> Any:
    """Import a plug-in.

    Raises:
        UserError: with the names that are known.
    """
    for point in entry_points(group=group):
        if point.name == name:
            return point.load()
    what = group.removeprefix("tft.").removesuffix("s")
    raise UserError(Problem(f"there is no {what} of this name", value=name, remedy=closest(name, names(group))))
