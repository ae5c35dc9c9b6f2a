"""What a row means: the formats in which people keep conversations, pairs and verdicts.

Columns are those of TRL's dataset formats, plain text or lists of messages, and of ShareGPT and Alpaca. A row is read
whole or not at all; what is wrong with it has a name, by which it is counted.

Left out on purpose: tools, images and audio, and text without turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from tft.material.turns import BadRowError, Row, Trouble, read_plain, read_system, read_text, read_turns, shorten
from tft.records import Message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tft.config.data import Format

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
    except BadRowError as refused:
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
    return _conversation(read_turns(values, "messages"))


def _sharegpt(values: Row) -> Dialogue:
    return _conversation([*read_system(values), *read_turns(values, "conversations")])


def _alpaca(values: Row) -> Dialogue:
    before = list(read_system(values))
    history = values.get("history") or []
    for pair in history if isinstance(history, list) else [history]:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRowError("wrong_type", "history is not a list of question and answer")
        before += [Message("user", read_text(pair[0], "history")), Message("assistant", read_text(pair[1], "history"))]
    given = values.get("input")
    question = read_text(values["instruction"], "instruction").strip()
    if given not in (None, ""):
        question = f"{question}\n\n{read_text(given, 'input').strip()}"
    return _conversation([*before, Message("user", question), Message("assistant", read_plain(values, "output"))])


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
        raise BadRowError("roles", "chosen and rejected are not one answer each to the same question")
    better, worse = (_conversation([*asked, *answer]) for answer in (chosen, rejected))
    if better.answer == worse.answer:
        raise BadRowError("same_answers", "chosen and rejected are the same")
    return Dialogue(better.asked, better.answer, rejected=worse.answer)


def _unpaired(values: Row) -> Dialogue:
    label = values["label"]
    right = label if isinstance(label, bool) else _LABELS.get(str(label).lower())
    if right is None:
        raise BadRowError("wrong_type", f"label is {shorten(label)}, neither true nor false")
    found = _prompt_completion(values)
    if found.learned:
        raise BadRowError("roles", "completion is not one answer, so its label says too little")
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
        raise BadRowError("roles", f"turns are {said}; they must be user → assistant, again and again")
    learned = tuple(range(start + 1, len(turns) - 1, 2))
    return Dialogue(tuple(turns[:-1]), turns[-1].content, learned)


def _prompt(values: Row) -> list[Message]:
    value = values["prompt"]
    return [Message("user", read_plain(values, "prompt"))] if isinstance(value, str) else read_turns(values, "prompt")


def _answers(values: Row, column: str) -> list[Message]:
    if isinstance(values[column], str):
        return [Message("assistant", read_plain(values, column))]
    return read_turns(values, column)


def _common(values: Row) -> tuple[list[Message], list[Message], list[Message]]:
    """Take the prompt out of both answers: the turns, or the words, that they begin with alike."""
    if isinstance(values["chosen"], str) and isinstance(values["rejected"], str):
        texts = [read_plain(values, "chosen"), read_plain(values, "rejected")]
        if texts[0] == texts[1]:
            raise BadRowError("same_answers", "chosen and rejected are the same")
        alike = "".join(letter for letter, _ in takewhile(lambda it: it[0] == it[1], zip(*texts, strict=False)))
        shared = alike[: 1 + max(alike.rfind(" "), alike.rfind("\n"))]
        chosen, rejected = (text[len(shared) :] for text in texts)
        parts = {"prompt": shared, "chosen": chosen, "rejected": rejected}
        return _prompt(parts), _answers(parts, "chosen"), _answers(parts, "rejected")
    better, worse = read_turns(values, "chosen"), read_turns(values, "rejected")
    same = 0
    while same < min(len(better), len(worse)) and better[same] == worse[same]:
        same += 1
    return better[:same], better[same:], worse[same:]
