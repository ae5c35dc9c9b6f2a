"""Say what is wrong with values in the words of somebody who wrote a YAML file, and go on with the rest.

pydantic names types, union tags and Python classes; a reader of the file knows keys and values only.
"""

from __future__ import annotations

import difflib
import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from tft.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound=BaseModel)
Key = tuple[str | int, ...]

_LONGEST = 80
_PASSES = 8
_MESSAGES = {
    "extra_forbidden": "unknown key",
    "missing": "is required",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "string_type": "must be text",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "string_pattern_mismatch": "may hold only lower-case letters, digits, - and _, 63 at most, - and _ not in front",
    "invalid-json-value": "must be text, a number, true, false, null, or a list or mapping of these; a date is quoted",
    "union_tag_invalid": "is not one of the kinds there are",
    "union_tag_not_found": "says nothing about its type",
}


def closest(word: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, and which there are.

    >>> closest("abacuss", ["abacus", "instruct"])
    'did you mean abacus? known: abacus, instruct'
    """
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    listed = f"known: {', '.join(names)}" if names else "none are known"
    return f"did you mean {near[0]}? {listed}" if near else listed


def explain(model: type[BaseModel], values: object, error: ValidationError, file: str) -> list[Problem]:
    """Turn pydantic's findings into problems; those of one key become one."""
    details = error.errors()
    keys = [locate(values, detail["loc"])[0] for detail in details]
    found: dict[Key, Problem] = {}
    for key, detail in zip(keys, details, strict=True):
        if detail["type"] == "too_short" and any(other != key and other[: len(key)] == key for other in keys):
            continue  # The list is empty only because its entries were refused.
        problem = _explain(model, values, key, detail, file)
        said = found.get(key)
        if said is not None and problem.message not in said.message:
            message = f"{said.message}, or {problem.message}"
            problem = Problem(message, said.file, said.key, said.value, said.remedy)
        found[key] = problem
    return list(found.values())


def diagnose(model: type[Model], values: dict[str, Any], file: str) -> tuple[Model | None, list[Problem]]:
    """Check values, and find what only shows once the rest of them is right.

    What is wrong is left out and the remainder is checked again, so that a skill cycle is found although another
    line of the file has an unknown key.

    Returns:
        The model, with defaults in place of what is wrong; None where too little is left. And every problem.
    """
    problems: list[Problem] = []
    left, shifted = deepcopy(values), False
    for number in range(_PASSES):
        try:
            return model.model_validate(left), problems
        except ValidationError as error:
            late = [it for it in explain(model, left, error, file) if number == 0 or _refused(error, left, it)]
            if number == 0 or not shifted:
                problems += late
            shifted = _leave_out(left, error) or shifted
    return None, problems


def locate(values: object, location: Sequence[str | int]) -> tuple[Key, Any]:
    """Find where a location of pydantic lies in what was written: its key, without union tags, and its value."""
    key: list[str | int] = []
    place: Any = values
    for part in location:
        if isinstance(place, dict):
            if part in place:
                place = place[part]
                key.append(part)
            elif part == location[-1] and not _is_tag(part, place):
                return (*key, part), None
        elif isinstance(place, list | tuple) and isinstance(part, int) and part < len(place):
            place = place[part]
            key.append(part)
    return tuple(key), place


def _is_tag(part: str | int, place: dict[Any, Any]) -> bool:
    return place.get("type") == part or not re.fullmatch(r"\w+", str(part))


def _explain(model: type[BaseModel], values: object, key: Key, detail: ErrorDetails, file: str) -> Problem:
    kind = detail["type"]
    value: object = locate(values, key)[1] if kind != "refused" else detail["input"]
    context = detail.get("ctx", {})
    remedy = documentation(model, key)
    if kind == "extra_forbidden":
        remedy = closest(str(key[-1]), _keys_at(model, detail["loc"][:-1]))
    elif kind == "union_tag_invalid":
        key, value = (*key, "type"), context["tag"]
        remedy = closest(str(value), re.findall(r"'([^']+)'", str(context["expected_tags"])))
    elif kind == "refused":
        remedy = context["remedy"]
    message = _MESSAGES.get(kind) or detail["msg"]
    message = re.sub(r"^(Value error, |Assertion failed, )", "", message)
    message = re.sub(r"^(Input|String|Tuple|Dictionary|List) should", "must", message)
    shown = None if kind == "missing" else _short(value)
    return Problem(message, file, ".".join(map(str, key)) or None, shown, remedy)


def _short(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _refused(error: ValidationError, values: object, problem: Problem) -> bool:
    refused = [detail["loc"] for detail in error.errors() if detail["type"] == "refused"]
    return any(problem.key == ".".join(map(str, locate(values, location)[0])) for location in refused)


def _leave_out(values: dict[str, Any], error: ValidationError) -> bool:
    """Take out what is wrong; True where that moved the entries of a list."""
    moved = False
    keys = {
        locate(values, detail["loc"])[0][: -1 if detail["type"] == "missing" else None] for detail in error.errors()
    }
    for key in sorted(keys, key=str, reverse=True):
        place = locate(values, key[:-1])[1] if key else None
        if isinstance(place, dict):
            place.pop(key[-1], None)
        elif isinstance(place, list) and isinstance(key[-1], int) and key[-1] < len(place):
            del place[key[-1]]
            moved = True
    return moved


def documentation(model: type[BaseModel], key: Key) -> str | None:
    """Give what the docstring of a field says of it; None where there is none."""
    for found in _models_at(model, key[:-1]):
        field = found.model_fields.get(str(key[-1])) if key else None
        if field is not None and field.description:
            return " ".join(field.description.replace("``", "").split())
    return None


def _models_at(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = [model]
    for part in location:
        following: list[type[BaseModel]] = []
        for current in found:
            if isinstance(part, str) and part in current.model_fields:
                following += _models_in(current.model_fields[part].annotation)
            else:
                following.append(current)
        typed = [m for m in following if "type" in m.model_fields]
        tagged = [m for m in typed if m.model_fields["type"].default == part]
        # What has no default is the form of other packages' parts.
        others = [m for m in typed if part == "other" and m.model_fields["type"].is_required()]
        found = tagged or others or following
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def _keys_at(model: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    return {name for found in _models_at(model, location) for name in found.model_fields}
