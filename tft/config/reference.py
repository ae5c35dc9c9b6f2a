"""Every setting there is, as a page: written from the config models, so that it says what this version takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.config.campaign import CampaignConfig
from tft.config.cards import CurriculumCard, TutorCard
from tft.config.suites import SuiteCard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tft.config._base import Frozen

_HEAD = """\
# Every setting

Written by `tft schema --markdown` from the models that read the files. What depends on other settings, and why a
default is what it is, stands on the pages of [the index](index.md). A setting with a † may differ between two sessions
of a run, and `budget` and `tuition.cycles` may be raised; any other change begins another run. Where a kind is chosen
by `type`, its name alone means it with its defaults.
"""
_FILES: dict[str, type[Frozen]] = {
    "A campaign": CampaignConfig,
    "A tutor's card": TutorCard,
    "A curriculum's card": CurriculumCard,
    "A suite's card": SuiteCard,
}
_OBJECTIVES = "training.objectives."
"""Below it every key takes the same kinds, which are told once."""
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false",
          "object": "mapping"}  # fmt: skip


def write_reference() -> str:
    """Write the page, in Markdown."""
    parts, told = [_HEAD], set[str]()
    for title, model in _FILES.items():
        schema = model.model_json_schema()
        known = schema.pop("$defs", {})
        parts.append(_section(f"## {title}", schema, known))
        told.add(model.__name__)
        for heading, name in _below(schema, known, "", told):
            parts.append(_section(f"### {heading}", known[name], known))
    return "\n".join(parts)


def _below(schema: dict[str, Any], known: dict[str, Any], path: str, told: set[str]) -> Iterator[tuple[str, str]]:
    """Walk the models below one, each once: what it is called on the page, and by its class."""
    for key, field in schema.get("properties", {}).items():
        place = f"{path}{key}"
        for name in _models(field):
            if name in told or "properties" not in known[name]:
                continue
            told.add(name)
            kind = known[name]["properties"].get("type", {}).get("const")
            above = "an objective" if place.startswith(_OBJECTIVES) else f"`{place}`"
            other = " of another type" if above == "an objective" else ""
            yield above + (f" of type `{kind}`" if kind else other), name
            yield from _below(known[name], known, f"{place}.", told)


def _models(field: dict[str, Any]) -> Iterator[str]:
    if "$ref" in field:
        yield field["$ref"].rsplit("/", 1)[1]
    for way in (*field.get("anyOf", ()), *field.get("oneOf", ())):
        yield from _models(way)
    for part in ("items", "additionalProperties"):
        if isinstance(field.get(part), dict):
            yield from _models(field[part])


def _section(heading: str, schema: dict[str, Any], known: dict[str, Any]) -> str:
    rows = [heading, "", _plain(schema["description"]), ""]
    fields = {key: field for key, field in schema["properties"].items() if "const" not in field}
    if fields:
        rows += ["| key | takes | default | meaning |", "|---|---|---|---|"]
    for key, field in fields.items():
        takes = ", ".join(dict.fromkeys(_takes(field, known)))
        default = "required" if key in schema.get("required", ()) else _default(field)
        mark = " †" if field.get("execution") else ""
        rows.append(f"| `{key}`{mark} | {takes} | {default} | {_plain(field.get('description', ''))} |")
    return "\n".join([*rows, ""] if fields else rows)


def _plain(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _default(field: dict[str, Any]) -> str:
    value = field.get("default")
    if isinstance(value, dict):
        return f"`{value['type']}`" if "type" in value else "as below"
    if value in (None, [], ""):
        return "none"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _takes(field: dict[str, Any], known: dict[str, Any]) -> Iterator[str]:
    """Say in a few words what a key takes, one way after the other."""
    if "$ref" in field:
        fields = known[field["$ref"].rsplit("/", 1)[1]].get("properties", {})
        yield f"`{fields['type']['const']}`" if "const" in fields.get("type", {}) else "settings below"
    elif ways := [*field.get("anyOf", ()), *field.get("oneOf", ())]:
        for way in ways:
            yield from _takes(way, known)
    elif "enum" in field or "const" in field:
        yield from (f"`{it}`" for it in field.get("enum", [field.get("const")]))
    elif field.get("type") == "array":
        yield f"list of {', '.join(dict.fromkeys(_takes(field.get('items', {}), known)))}"
    elif isinstance(field.get("additionalProperties"), dict) and any(_models(field)):
        yield "names with settings below"
    elif field.get("type") != "null":
        bounds = " and ".join(f"{sign} {field[name]}" for name, sign in _BOUNDS.items() if name in field)
        yield f"{_TYPES.get(field.get('type', ''), 'anything')} {bounds}".strip()
