"""Read a YAML file into a config model, and say everything that is wrong with it at once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tft.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)


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
        _override(values, override)
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
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(Problem(f"cannot be read: {error}", file=str(path))) from None
    except yaml.YAMLError as error:
        raise UserError(Problem(f"is not YAML: {' '.join(str(error).split())}", file=str(path))) from None
    if not isinstance(values, dict):
        raise UserError(Problem("is not a mapping of keys to values", file=str(path)))
    return values


def parse_config(model: type[Model], values: dict[str, Any], file: str) -> Model:
    """Check values against a config model.

    Raises:
        UserError: with every problem found.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise UserError(*(_explain(model, detail, file) for detail in error.errors())) from None


def closest(word: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, and which there are.

    >>> closest("abacuss", ["abacus", "instruct"])
    'did you mean abacus? known: abacus, instruct'
    """
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    listed = f"known: {', '.join(names)}" if names else "none are known"
    return f"did you mean {near[0]}? {listed}" if near else listed


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise UserError(Problem("is not of the form key=value", key="--set", value=override))
    *parents, last = key.strip().split(".")
    place: Any = values
    for name in parents:
        place = place[int(name)] if isinstance(place, list) and _is_index(name, place) else _child(place, name, override)
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(Problem("the value is not YAML", key=f"--set {key}", value=text)) from None
    if isinstance(place, list) and _is_index(last, place):
        place[int(last)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise UserError(Problem("leads into something that has no keys", key="--set", value=override))


def _is_index(name: str, place: list[Any]) -> bool:
    return name.isdigit() and int(name) < len(place)


def _child(place: Any, name: str, override: str) -> Any:
    if not isinstance(place, dict):
        raise UserError(Problem("leads into something that has no keys", key="--set", value=override))
    if not isinstance(place.get(name), dict | list):
        place[name] = {}
    return place[name]


def _explain(model: type[BaseModel], detail: ErrorDetails, file: str) -> Problem:
    location = detail["loc"]
    key = ".".join(str(part) for part in location)
    value = detail.get("input")
    shown = None if detail["type"] == "missing" or isinstance(value, dict | list) else repr(value)
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    remedy = None
    if detail["type"] == "extra_forbidden":
        message = "unknown key"
        remedy = closest(str(location[-1]), _keys_at(model, location[:-1]))
    elif detail["type"] == "missing":
        message = "is required"
        remedy = _documentation(model, location)
    elif detail["type"] not in ("value_error", "assertion_error"):
        remedy = _documentation(model, location)
    return Problem(message, file=file, key=key or None, value=shown, remedy=remedy)


def _models_at(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = [model]
    for part in location:
        following: list[type[BaseModel]] = []
        for current in found:
            if isinstance(part, str) and part in current.model_fields:
                following += _models_in(current.model_fields[part].annotation)
            else:
                following.append(current)
        tagged = [m for m in following if "type" in m.model_fields and m.model_fields["type"].default == part]
        found = tagged or following
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    return {name for found in _models_at(model, location) for name in found.model_fields}


def _documentation(model: type[BaseModel], location: Sequence[int | str]) -> str | None:
    for found in _models_at(model, location[:-1]):
        field = found.model_fields.get(str(location[-1])) if location else None
        if field is not None and field.description:
            return " ".join(field.description.split())
    return None
