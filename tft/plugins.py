"""The one door by which graders, engines and other parts come in: entry points, ours and other people's alike.

An entry point of the group ``tft.graders`` names a class: ``numeric = "tft.graders.numeric:NumericGrader"``. It is
imported when it is used, not before. What goes wrong in somebody else's is said to be theirs, by name.
"""

from __future__ import annotations

import sys
import traceback
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, get_args

from tft.config.reading import closest
from tft.errors import PrerequisiteError, Problem, TFTError, UserError
from tft.records import digest_file

Group = Literal["tft.graders", "tft.engines", "tft.objectives", "tft.planners"]

_MUST_HAVE: dict[Group, tuple[str, ...]] = {
    "tft.graders": ("grade",),
    "tft.engines": ("open", "generate"),
    "tft.objectives": ("units", "steps"),
    "tft.planners": ("__call__",),
}


def names(group: Group) -> list[str]:
    """List what is installed of a group."""
    return sorted({point.name for point in _points(group)})


def load(group: Group, name: str) -> Any:
    """Import a plug-in.

    Raises:
        UserError: with the names that are known.
        PrerequisiteError: if it is somebody else's, and cannot be imported.
    """
    point = _find(group, name)
    if point is None:
        remedy = closest(name, names(group))
        raise UserError(Problem(f"there is no {_what(group)} of this name", value=name, remedy=remedy))
    try:
        return point.load()
    except TFTError:
        raise
    except Exception as error:  # the code of others, whatever it raises
        if _is_ours(point):
            raise
        raise PrerequisiteError(f"{_describe(group, point)} cannot be imported: {error!r}") from error


def find_fault(group: Group, name: str, *others: str) -> tuple[str, str] | None:
    """Say what is wrong with a name, and what to do about it: nothing has it, or somebody else's does not fit.

    Args:
        group: of the plug-in.
        name: as it was written.
        others: names that would be right there as well.
    """
    if name in others:
        return None
    point = _find(group, name)
    if point is None:
        return f"there is no {_what(group)} of this name", closest(name, [*names(group), *others])
    if _is_ours(point):
        return None
    try:
        found = load(group, name)
    except TFTError as error:
        return str(error), "mend it, or reinstall its package"
    missing = [it for it in _MUST_HAVE[group] if not callable(getattr(found, it, None))]
    if missing:
        return f"{_describe(group, point)} has no {' and no '.join(missing)}", "docs/plugins.md says what it needs"
    return None


def origin(group: Group, name: str) -> tuple[str, str] | None:
    """Say where a plug-in of somebody else comes from, and what its module holds; None for one of ours.

    Returns:
        Package and version with the object it names; and the sha256 of its module's file, empty where it is no file.
    """
    point = _find(group, name)
    if point is None or _is_ours(point):
        return None
    spec = find_spec(point.module)
    path = Path(spec.origin) if spec is not None and spec.origin is not None else None
    return _describe(group, point), digest_file(path) if path is not None and path.is_file() else ""


def at_work(error: BaseException) -> str:
    """Name the module of somebody else's plug-in that an error passed through; empty where there is none."""
    told = "".join(traceback.format_exception(error))
    for group in get_args(Group):
        for point in _points(group):
            file = point.module.replace(".", "/")
            if not _is_ours(point) and (f"/{file}.py" in told or f"/{file}/__init__.py" in told):
                return f"{point.module} of {_package(point)}"
    return ""


def _find(group: Group, name: str) -> EntryPoint | None:
    return next((point for point in _points(group) if point.name == name), None)


def _points(group: Group) -> tuple[EntryPoint, ...]:
    return _installed(group, tuple(sys.path))


@lru_cache
def _installed(group: Group, _path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Read what every package brings, once: that takes milliseconds, and a campaign names a dozen."""
    return tuple(entry_points(group=group))


def _is_ours(point: EntryPoint) -> bool:
    return point.module.partition(".")[0] == "tft"


def _describe(group: Group, point: EntryPoint) -> str:
    return f"the {_what(group)} {point.name} of {_package(point)} ({point.value})"


def _package(point: EntryPoint) -> str:
    return "a package without a name" if point.dist is None else f"{point.dist.name} {point.dist.version}"


def _what(group: Group) -> str:
    return group.removeprefix("tft.").removesuffix("s")
