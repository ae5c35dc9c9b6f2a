"""The form of a tutor's answer: what it must look like to be one, and why it is not.

A role's answer is taken apart by a pattern, or is JSON under a schema (``tft.forms``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tft.forms import Read, read_object, read_unfinished

if TYPE_CHECKING:
    from tft.config.cards import RoleCard
    from tft.ports import Generation


def read_answer(card: RoleCard, answer: Generation) -> Read:
    """Take an answer apart, if it has the form of its role.

    >>> from tft.config.cards import RoleCard
    >>> from tft.ports import Generation
    >>> card = RoleCard(prompt="judge.j2", answer="(?P<winner>first|second)")
    >>> read_answer(card, Generation("first", 9, 6, True, -0.1)).fields
    {'winner': 'first'}
    """
    if card.answer is None:
        assert card.answer_schema is not None
        return read_object(card.answer_schema, answer)
    if not answer.finished:
        return read_unfinished(answer)
    match = re.fullmatch(card.answer, answer.text.strip(), re.DOTALL)
    if match is None:
        return Read(None, "unreadable", "it has not the form that was asked for")
    return Read({name: part or "" for name, part in match.groupdict().items()})
