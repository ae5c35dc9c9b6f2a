"""Read a YAML file into a config model, and say everything that is wrong with it at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from tft.config.explaining import closest, diagnose, explain
from tft.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Model = TypeVar("Model", bound=BaseModel)

__all__ = ["closest", "diagnose", "parse_config", "read_config", "read_yaml", "set_value"]

_SHORT_FORMS = {"tutor": "use", "examiner": "model", "judge": "model", "material": "path"}
"""Keys whose value may be written as a mere name, and the key which that name stands for; for all others ``type``."""


def read_config(model: type[Model], path: Path, overrides: Sequence[str] = ()) -> Model:
    """Read and check a YAML file.

    Args:
        model: the config model it must fit.
        path: the file.
        overrides: ``a.b=c`` settings that replace values; ``c`` is read as YAML.

    Raises:
        UserError: with every problem found: file, key, value and remedy.
    """
    values = read_yaml(path)
    for override in overrides:
        set_value(values, override)
    return parse_config(model, values, str(path))


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        UserError: if the file is missing, not YAML or not a mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(Problem("there is no such file", file=str(path), remedy="check the path")) from None
    except UnicodeDecodeError as error:
        remedy = "save it as UTF-8 text"
        raise UserError(Problem(f"is not text: {error.reason}", file=str(path), remedy=remedy)) from None
    except OSError as error:
        raise UserError(Problem(f"cannot be read: {error.strerror}", file=str(path), remedy="check it")) from None
    # PyYAML lets the ValueError of an impossible date through, and recurses into what is nested.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        remedy = "check the indentation and the brackets there"
        message = f"is not YAML: {' '.join(str(error).split())}"
        raise UserError(Problem(message, file=str(path), remedy=remedy)) from None
    if not isinstance(values, dict):
        remedy = "a config is lines of the form key: value"
        raise UserError(Problem("is not a mapping of keys to values", file=str(path), remedy=remedy))
    return values


def parse_config(model: type[Model], values: dict[str, Any], file: str) -> Model:
    """Check values against a config model.

    Raises:
        UserError: with every problem found.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = explain(model, values, error, file)
        raise UserError(*problems) from None


def set_value(values: dict[str, Any], override: str) -> None:
    """Set one value, written ``a.b=c``; entries of lists are numbered from 0.

    Raises:
        UserError: if it has not that form, or leads into something that has no keys.
    """
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        remedy = "write it as --set tuition.cycles=2"
        raise UserError(Problem("is not of the form key=value", key="--set", value=override, remedy=remedy))
    *parents, last = key.strip().split(".")
    place: Any = values
    for depth, name in enumerate(parents):
        place = _child(place, name, parents[:depth], override)
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        remedy = "quote it where it holds : # [ or {"
        raise UserError(Problem("the value is not YAML", key=f"--set {key}", value=text, remedy=remedy)) from None
    if _is_index(last, place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UserError(_leads_nowhere(override))


def _is_index(name: str, place: Any) -> bool:
    return isinstance(place, list) and name.isdecimal() and int(name) < len(place)


def _child(place: Any, name: str, above: Sequence[str], override: str) -> Any:
    """Go one key down, and make room there: what was written as a mere name may get settings."""
    indexed = _is_index(name, place)
    if not (indexed or isinstance(place, dict)):
        raise UserError(_leads_nowhere(override))
    key: Any = int(name) if indexed else name
    found = place[key] if indexed else place.get(name)
    if isinstance(found, str):
        place[key] = {_stands_for(above[-1] if indexed else name, above): found}
    elif not isinstance(found, dict | list):
        place[key] = {}
    return place[key]


def _stands_for(name: str, above: Sequence[str]) -> str:
    """Say which key a mere name stands for: the reward of an objective is a model, the objective ``reward`` a type."""
    if name == "reward" and above[-1:] != ["objectives"]:
        return "model"
    return _SHORT_FORMS.get(name, "type")


def _leads_nowhere(override: str) -> Problem:
    remedy = "entries of a list are numbered from 0: students.0.model"
    return Problem("leads into something that has no such key", key="--set", value=override, remedy=remedy)
