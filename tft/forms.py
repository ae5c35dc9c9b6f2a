"""The form of a model's answer that is JSON under a schema: what it must look like, and why it does not.

An answer that was cut off, or does not have the form that was asked for, is no answer; what was wrong with it is told
to whoever wants to ask again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tft.records import Message

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tft.ports import Generation

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters that nobody writes on purpose; line ends and tabs are none of them."""


@dataclass(frozen=True, slots=True)
class Read:
    """An answer, taken apart."""

    fields: dict[str, str] | None
    """Its named parts; None where it has not the form that was asked for."""
    reason: str = ""
    """Why not, in a word: ``cut_off``, ``too_long``, ``unreadable``, ``not_json``, ``off_schema``."""
    detail: str = ""
    """Why not, so that its writer can mend it."""


def read_object(schema: Mapping[str, Any], answer: Generation) -> Read:
    """Take an answer apart, if it is an object under a schema.

    >>> from tft.ports import Generation
    >>> read_object({"type": "object"}, Generation('{"verdict": "pass"}', 9, 6, True, -0.1)).fields
    {'verdict': 'pass'}
    """
    if not answer.finished:
        return read_unfinished(answer)
    try:
        # Line ends and tabs stand in the strings of many models as they are, and mean nothing else.
        found = json.loads(_inside_fence(answer.text.strip()), strict=False)
    except ValueError as error:
        return Read(None, "not_json", f"it is not JSON: {error}")
    trouble = best_match(Draft202012Validator(schema).iter_errors(found))
    if trouble is not None:
        return Read(None, "off_schema", f"{trouble.json_path}: {trouble.message}")
    fields = {name: it if isinstance(it, str) else json.dumps(it) for name, it in found.items()}
    if any(_CONTROL.search(part) for part in fields.values()):
        return Read(None, "unreadable", "it has control characters in it")
    return Read(fields)


def read_unfinished(answer: Generation) -> Read:
    """Say why an answer without an end is none."""
    if answer.tokens == 0:
        return Read(None, "too_long", "what was asked left no room for an answer")
    return Read(None, "cut_off", "it was longer than it may be")


def ask_again(prompt: tuple[Message, ...], answer: Generation, read: Read) -> tuple[Message, ...]:
    """Ask again, with the answer that could not be used and what was wrong with it."""
    wrong = f"Your answer cannot be used: {read.detail}. Answer again, with nothing but the form that was asked for."
    return (*prompt, Message("assistant", answer.text), Message("user", wrong))


def _inside_fence(text: str) -> str:
    """Take JSON out of a Markdown fence, and leave out what a reasoning model thought before it."""
    text = text.rpartition("</think>")[2].strip()
    match = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    return match[1] if match else text
