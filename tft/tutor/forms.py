"""The form of a tutor's answer: what it must look like to be one, and why it is not.

An answer that was cut off, or does not have the form its role demands, is no answer; what was wrong with it is
told to whoever wants to ask again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

if TYPE_CHECKING:
    from tft.config.cards import RoleCard
    from tft.ports import Generation

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Characters that nobody writes on purpose; line ends and tabs are none of them."""


@dataclass(frozen=True, slots=True)
class Read:
    """An answer, taken apart."""

    fields: dict[str, str] | None
    """Its named parts; None where it has not the form its role demands."""
    reason: str = ""
    """Why not, in a word: ``cut_off``, ``unreadable``, ``not_json``, ``off_schema``."""
    detail: str = ""
    """Why not, so that its writer can mend it."""


def read_answer(card: RoleCard, answer: Generation) -> Read:
    """Take an answer apart, if it has the form of its role.

    >>> from tft.config.cards import RoleCard
    >>> from tft.ports import Generation
    >>> card = RoleCard(prompt="judge.j2", answer="(?P<winner>first|second)")
    >>> read_answer(card, Generation("first", 9, 6, True, -0.1)).fields
    {'winner': 'first'}
    """
    if not answer.finished:
        return Read(None, "cut_off", "it was longer than it may be")
    text = answer.text.strip()
    if card.answer is not None:
        match = re.fullmatch(card.answer, text, re.DOTALL)
        return Read(None, "unreadable", "it has not the form that was asked for") if match is None else _named(match)
    assert card.answer_schema is not None
    try:
        # Line ends and tabs stand in the strings of many models as they are, and mean nothing else.
        found = json.loads(_inside_fence(text), strict=False)
    except ValueError as error:
        return Read(None, "not_json", f"it is not JSON: {error}")
    trouble = best_match(Draft202012Validator(card.answer_schema).iter_errors(found))
    if trouble is not None:
        return Read(None, "off_schema", f"{trouble.json_path}: {trouble.message}")
    fields = {name: it if isinstance(it, str) else json.dumps(it) for name, it in found.items()}
    if any(_CONTROL.search(part) for part in fields.values()):
        return Read(None, "unreadable", "it has control characters in it")
    return Read(fields)


def _named(match: re.Match[str]) -> Read:
    return Read({name: part or "" for name, part in match.groupdict().items()})


def _inside_fence(text: str) -> str:
    """Take JSON out of a Markdown fence, and leave out what a reasoning model thought before it."""
    text = text.rpartition("</think>")[2].strip()
    match = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text, re.DOTALL)
    return match[1] if match else text
