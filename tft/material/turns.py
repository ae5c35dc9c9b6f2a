"""Turns and texts of a row: what is there, and what is wrong with it.

Left out on purpose: tools, images and audio.
"""

from __future__ import annotations

import json
import reprlib
from dataclasses import dataclass
from typing import Any, Literal

from tft.records import Message

Row = dict[str, Any]
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a row cannot be read."""

    reason: str
    """``no_format``, ``wrong_type``, ``empty``, ``roles``, ``not_text``, ``same_answers``."""
    said: str
    """The same in words."""


class BadRowError(Exception):
    """A row cannot be read; never leaves this room."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(reason, said)
        self.trouble = Trouble(reason, said)


def read_system(values: Row) -> list[Message]:
    """Read the column ``system``, which may be missing or empty, as the turn that stands first.

    Raises:
        BadRowError: if it is no text.
    """
    said = values.get("system")
    return [] if said in (None, "") else [Message("system", read_text(said, "system"))]


def read_turns(values: Row, column: str) -> list[Message]:
    """Read a list of messages: ``role`` and ``content``, or ``from`` and ``value``; never an empty one.

    Raises:
        BadRowError: if it is none.
    """
    value = values[column]
    if isinstance(value, str):
        # A table has no lists: they stand in its cells as JSON.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRowError("wrong_type", f"{column} is not a list of messages: {shorten(value)}") from None
    if not isinstance(value, list):
        raise BadRowError("wrong_type", f"{column} is not a list of messages: {shorten(value)}")
    turns = [_turn(it, column) for it in value]
    # An empty system turn says nothing, and many files have one.
    turns = [it for it in turns if it.content.strip() or it.role != "system"]
    if not turns:
        raise BadRowError("empty", f"{column} is empty")
    return turns


def _turn(value: object, column: str) -> Message:
    if not isinstance(value, dict):
        raise BadRowError("wrong_type", f"{column} holds {shorten(value)}, which is no message")
    who, said = ("from", "value") if "from" in value and "role" not in value else ("role", "content")
    role = _ROLES.get(value[who]) if isinstance(value.get(who), str) else None
    if role is None:
        raise BadRowError("roles", f"{column} has a turn of {shorten(value.get(who))}; known: {', '.join(_ROLES)}")
    content = value.get(said)
    if isinstance(content, list) and all(isinstance(it, dict) and it.get("type") == "text" for it in content):
        content = "".join(read_text(it.get("text"), column) for it in content)
    return Message(role, read_text(content, column, filled=role != "system"))


def read_plain(values: Row, column: str) -> str:
    """Read a column of plain text, without the blanks around it.

    Raises:
        BadRowError: if it is none, or empty.
    """
    return read_text(values[column], column).strip()


def read_text(value: object, column: str, *, filled: bool = True) -> str:
    """Make sure that a value is text.

    Args:
        value: of a column, or inside of it.
        column: its name, for the error.
        filled: refuse blanks.

    Raises:
        BadRowError: if it is none.
    """
    if not isinstance(value, str):
        kind = "empty" if value is None else "wrong_type"
        raise BadRowError(kind, f"{column} is {'empty' if value is None else f'no text: {shorten(value)}'}")
    if filled and not value.strip():
        raise BadRowError("empty", f"{column} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half a pair of surrogates, which JSON lets through, or bytes of a table that were no text.
        raise BadRowError("not_text", f"{column} holds what is not Unicode text") from None
    return value


def shorten(value: object) -> str:
    """Show a value in a few characters, however long or deep it is."""
    return _SHORT.repr(value)
