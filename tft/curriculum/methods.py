"""Which way of teaching a skill needs, from what is known of the student's command of it.

Nothing right yet: it is shown how. Some right: it is shown more, the tutor criticises its own mistakes, and it learns
from what it gets right itself. Often right: the tutor is spared, and it learns from itself alone, unless tokens are
shared out by what they gain: what weaker skills leave of them then shows it more. Where the tutor's budget is spent,
what was written for other students can still be shown, and a student learns from whatever it gets right itself. A
user may pin one way for everything: feedback, preferences and practice are taken that way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tft.records import LessonKind, Mastery, Tuition

if TYPE_CHECKING:
    from tft.config.campaign import TuitionConfig

_SOME_RIGHT = 0.25
_OFTEN_RIGHT = 0.6
KINDS_CHANGE_AT = (_SOME_RIGHT, _OFTEN_RIGHT)
"""Shares of right answers at which ``auto`` takes other kinds of lesson."""
_LEAST_SHARE = 0.25
_PINNED: dict[str, str] = {
    "demonstration": "demonstrations are",
    "critique": "critiques are",
    "self_training": "self-training is",
    "feedback": "feedback is",
    "preference": "preferences are",
    "practice": "practice is",
}
_ASKS_THE_TUTOR = ("critique", "feedback")


def choose_methods(
    skill: str,
    known: Mastery | None,
    config: TuitionConfig,
    roll_backs: int = 0,
    *,
    tutor: bool = True,
    judged: bool = False,
    only: LessonKind | None = None,
    shared_out: bool = False,
) -> list[Tuition]:
    """Choose how a skill is taught in one cycle, with the reason of each line.

    Args:
        skill: its name.
        known: what was found out about it; None if nothing was asked.
        config: how much is taught, and in which ways.
        roll_backs: checkpoints refused in a row; a skill then counts as not yet safe, and is shown again.
        tutor: whether the tutor may be asked; not where its budget is spent.
        judged: whether the tutor's judge tells answers apart, because no grader can.
        only: the one kind that the student can learn from; None for one that can learn from all.
        shared_out: whether the tutor's tokens are few and go where they gain most, so that it need not rest.
    """
    score = known.score if known is not None else 0.0
    evidence = f"{known.right} of {known.n} right" if known is not None else "never asked"
    lessons = math.ceil(config.lessons * max(_LEAST_SHARE, min(1.0, 2 * (1 - score))))
    kinds: dict[LessonKind, tuple[int, str]] = {}
    if only is not None:
        kinds[only] = (lessons, f"{_PINNED[only]} what its head learns from")
    elif config.methods != "auto":
        if tutor or not (config.methods in _ASKS_THE_TUTOR or (judged and config.methods == "preference")):
            kinds[config.methods] = (lessons, f"{_PINNED[config.methods]} pinned by tuition.methods")
    elif score < _OFTEN_RIGHT or (roll_backs and tutor):
        # Without the tutor its own right answers are all there is, however few.
        some = score >= _SOME_RIGHT or (not tutor and known is not None and known.right > 0)
        critiques = round(lessons * config.critiques) if some and tutor else 0
        safe = "taught in another way after a roll-back" if roll_backs else "not yet safe"
        shown = f"{safe}, so more worked answers" if some else "too little right to build on, so it is shown how"
        kinds["demonstration"] = (lessons - critiques, shown if tutor else f"{shown}, as far as there are any left")
        kinds["critique"] = (critiques, "some right, so its own mistakes can teach it")
        if some and judged and tutor:
            kinds["preference"] = (lessons, "some right, and the judge says which of its answers are better")
        else:
            kinds["self_training"] = (lessons if some else 0, "some right, so its own right answers can teach it")
    elif judged and tutor:
        kinds["preference"] = (lessons, "often right, and no grader can say what is better: the judge does")
    else:
        if shared_out and tutor:
            kinds["demonstration"] = (
                lessons,
                "often right, so it is shown more with what weaker skills leave of tokens",
            )
        rests = "" if "demonstration" in kinds else ", and the tutor rests"
        kinds["self_training"] = (lessons, f"often right, so its own right answers teach it{rests}")
    if "demonstration" in kinds and config.demonstrations is not None:
        count, reason = kinds["demonstration"]
        kinds["demonstration"] = (min(count, config.demonstrations), reason)
    return [Tuition(skill, kind, count, f"{evidence}: {reason}") for kind, (count, reason) in kinds.items() if count]
