"""What a row means: the formats in which people keep conversations, pairs and verdicts.

Columns are those of TRL's dataset formats, plain text or lists of messages, and of ShareGPT and Alpaca. A row is read
whole or not at all; what is wrong with it has a name, by which it is counted.

Left out on purpose: tools, images and audio, and text without turns.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Literal

from tft.records import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tft.config.data import Format

_ROLES: dict[str, Literal["system", "user", "assistant"]] = {
    "system": "system", "user": "user", "assistant": "assistant", "human": "user", "gpt": "assistant",
}  # fmt: skip
_LABELS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a row says."""

    asked: tuple[Message, ...]
    """The conversation up to the question that is answered last."""
    answer: str
    """The answer to it: of a pair the better one."""
    learned: tuple[int, ...] = ()
    """Places in ``asked`` of earlier answers that are learned too."""
    rejected: str | None = None
    """The worse answer of a pair."""
    right: bool | None = None
    """Whether the answer is right; None where nobody said."""

    @property
    def length(self) -> int:
        """Characters of all its turns."""
        return sum(len(it.content) for it in self.asked) + len(self.answer) + len(self.rejected or "")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a row cannot be read."""

    reason: str
    """``no_format``, ``wrong_type``, ``empty``, ``roles``, ``not_text``, ``same_answers``."""
    said: str
    """The same in words."""


class _RefusedError(Exception):
    """A row cannot be read; never leaves this file."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(reason, said)
        self.trouble = Trouble(reason, said)


Row = dict[str, Any]


def read_row(values: Row, form: Format) -> Dialogue | Trouble:
    """Read a row.

    Args:
        values: its columns.
        form: the format; ``auto`` takes the first whose columns are there and filled.
    """
    name = form if form != "auto" else _recognise(values)
    if name is None:
        known = "; ".join(f"{form}: {', '.join(columns)}" for form, (columns, _) in _FORMATS.items())
        said = f"has the columns {', '.join(map(str, values)) or 'of nothing'}, and no format has those ({known})"
        return Trouble("no_format", said)
    columns, read = _FORMATS[name]
    missing = [column for column in columns if column not in values]
    if missing:
        return Trouble("no_format", f"lacks {', '.join(missing)}, which {name} has")
    try:
        return read(values)
    except _RefusedError as refused:
        return refused.trouble


def _recognise(values: Row) -> str | None:
    """Go by columns that hold something; where no format has them all, by those that are there."""
    filled = {name for name, value in values.items() if value not in (None, "", [])}
    for there in (filled, set(values)):
        for name, (columns, _) in _FORMATS.items():
            if there.issuperset(columns):
                return name
    return None


def _messages(values: Row) -> Dialogue:
    return _conversation(_turns(values, "messages"))


def _sharegpt(values: Row) -> Dialogue:
    return _conversation([*_system(values), *_turns(values, "conversations")])


def _alpaca(values: Row) -> Dialogue:
    before = list(_system(values))
    history = values.get("history") or []
    for pair in history if isinstance(history, list) else [history]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise _RefusedError("wrong_type", "history is not a list of question and answer")
        before += [Message("user", _text(pair[0], "history")), Message("assistant", _text(pair[1], "history"))]
    given = values.get("input")
    question = _text(values["instruction"], "instruction").strip()
    if given not in (None, ""):
        question = f"{question}\n\n{_text(given, 'input').strip()}"
    return _conversation([*before, Message("user", question), Message("assistant", _plain(values, "output"))])


def _prompt_completion(values: Row) -> Dialogue:
    asked = _prompt(values)
    found = _conversation([*asked, *_answers(values, "completion")])
    return Dialogue(found.asked, found.answer, tuple(place for place in found.learned if place >= len(asked)))


def _preference(values: Row) -> Dialogue:
    chosen, rejected = _answers(values, "chosen"), _answers(values, "rejected")
    if values.get("prompt") in (None, "", []) or chosen[0].role != "assistant":
        asked, chosen, rejected = _common(values)
    else:
        asked = _prompt(values)
    if len(chosen) != 1 or len(rejected) != 1:
        raise _RefusedError("roles", "chosen and rejected are not one answer each to the same question")
    better, worse = (_conversation([*asked, *answer]) for answer in (chosen, rejected))
    if better.answer == worse.answer:
        raise _RefusedError("same_answers", "chosen and rejected are the same")
    return Dialogue(better.asked, better.answer, rejected=worse.answer)


def _unpaired(values: Row) -> Dialogue:
    label = values["label"]
    right = label if isinstance(label, bool) else _LABELS.get(str(label).lower())
    if right is None:
        raise _RefusedError("wrong_type", f"label is {_short(label)}, neither true nor false")
    found = _prompt_completion(values)
    if found.learned:
        raise _RefusedError("roles", "completion is not one answer, so its label says too little")
    return Dialogue(found.asked, found.answer, right=right)


_FORMATS: dict[str, tuple[tuple[str, ...], Callable[[Row], Dialogue]]] = {
    "preference": (("chosen", "rejected"), _preference),
    "unpaired": (("prompt", "completion", "label"), _unpaired),
    "messages": (("messages",), _messages),
    "prompt_completion": (("prompt", "completion"), _prompt_completion),
    "sharegpt": (("conversations",), _sharegpt),
    "alpaca": (("instruction", "output"), _alpaca),
}
"""By name: the columns, and how they are read; in the order in which ``auto`` looks for them."""
COLUMNS = frozenset({"system", "input", "history", *(name for columns, _ in _FORMATS.values() for name in columns)})
"""All columns that mean something."""


def _conversation(turns: Sequence[Message]) -> Dialogue:
    """Check that turns follow each other, and learn every answer."""
    start = 1 if turns and turns[0].role == "system" else 0
    roles = [it.role for it in turns[start:]]
    if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        said = " → ".join(it.role for it in turns[:8]) or "nothing"
        raise _RefusedError("roles", f"turns are {said}; they must be user → assistant, again and again")
    learned = tuple(range(start + 1, len(turns) - 1, 2))
    return Dialogue(tuple(turns[:-1]), turns[-1].content, learned)


def _prompt(values: Row) -> list[Message]:
    value = values["prompt"]
    return [Message("user", _plain(values, "prompt"))] if isinstance(value, str) else _turns(values, "prompt")


def _answers(values: Row, column: str) -> list[Message]:
    if isinstance(values[column], str):
        return [Message("assistant", _plain(values, column))]
    return _turns(values, column)


def _common(values: Row) -> tuple[list[Message], list[Message], list[Message]]:
    """Take the prompt out of both answers: the turns, or the words, that they begin with alike."""
    if isinstance(values["chosen"], str) and isinstance(values["rejected"], str):
        texts = [_plain(values, "chosen"), _plain(values, "rejected")]
        if texts[0] == texts[1]:
            raise _RefusedError("same_answers", "chosen and rejected are the same")
        alike = "".join(letter for letter, _ in takewhile(lambda it: it[0] == it[1], zip(*texts, strict=False)))
        shared = alike[: 1 + max(alike.rfind(" "), alike.rfind("\n"))]
        chosen, rejected = (text[len(shared) :] for text in texts)
        parts = {"prompt": shared, "chosen": chosen, "rejected": rejected}
        return _prompt(parts), _answers(parts, "chosen"), _answers(parts, "rejected")
    better, worse = _turns(values, "chosen"), _turns(values, "rejected")
    same = 0
    while same < min(len(better), len(worse)) and better[same] == worse[same]:
        same += 1
    return better[:same], better[same:], worse[same:]


def _system(values: Row) -> list[Message]:
    said = values.get("system")
    return [] if said in (None, "") else [Message("system", _text(said, "system"))]


def _turns(values: Row, column: str) -> list[Message]:
    """Read a list of messages: ``role`` and ``content``, or ``from`` and ``value``."""
    value = values[column]
    if isinstance(value, str):
        # A table has no lists: they stand in its cells as JSON.
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise _RefusedError("wrong_type", f"{column} is not a list of messages: {_short(value)}") from None
    if not isinstance(value, list):
        raise _RefusedError("wrong_type", f"{column} is not a list of messages: {_short(value)}")
    if not value:
        raise _RefusedError("empty", f"{column} is empty")
    turns = [_turn(it, column) for it in value]
    # An empty system turn says nothing, and many files have one.
    return [it for it in turns if it.content.strip() or it.role != "system"]


def _turn(value: object, column: str) -> Message:
    if not isinstance(value, dict):
        raise _RefusedError("wrong_type", f"{column} holds {_short(value)}, which is no message")
    who, said = ("from", "value") if "from" in value and "role" not in value else ("role", "content")
    role = _ROLES.get(value[who]) if isinstance(value.get(who), str) else None
    if role is None:
        raise _RefusedError("roles", f"{column} has a turn of {_short(value.get(who))}; known: {', '.join(_ROLES)}")
    content = value.get(said)
    if isinstance(content, list) and all(isinstance(it, dict) and it.get("type") == "text" for it in content):
        content = "".join(_text(it.get("text"), column) for it in content)
    return Message(role, _text(content, column, filled=role != "system"))


def _plain(values: Row, column: str) -> str:
    return _text(values[column], column).strip()


def _text(value: object, column: str, *, filled: bool = True) -> str:
    if not isinstance(value, str):
        kind = "empty" if value is None else "wrong_type"
        raise _RefusedError(kind, f"{column} is {'empty' if value is None else f'no text: {_short(value)}'}")
    if filled and not value.strip():
        raise _RefusedError("empty", f"{column} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        # Half a pair of surrogates, which JSON lets through, or bytes of a table that were no text.
        raise _RefusedError("not_text", f"{column} holds what is not Unicode text") from None
    return value


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
