"""A second opinion on what a grader rewarded.

A student that practises learns whatever its grader passes, right or not. So the tutor's judge reads answers that the
grader came to pass, each beside what the student said before, and says which it prefers.
"""

from __future__ import annotations

from dataclasses import dataclass

from tft.records import Opinion, Usage
from tft.tutor.allowance import Allowance
from tft.tutor.judging import Pair, both_orders, prefer
from tft.tutor.roles import TutorRef, open_tutor


@dataclass(frozen=True, slots=True)
class OpinionRequest:
    """Answers of before and after, by skill."""

    tutor: TutorRef
    pairs: dict[str, tuple[Pair, ...]]
    """By skill; what was said before comes first."""
    rubrics: dict[str, str | None]
    """What counts, by skill; None means what the judge's prompt says."""
    allowance: Allowance
    """What may be spent on the tutor; as many pairs are judged as it reaches for."""


def give_opinion(request: OpinionRequest) -> Opinion:
    """Let the tutor say which answers it prefers; what one order prefers and the other does not counts for neither."""
    tutor = open_tutor(request.tutor)
    asked, earlier, later, used = 0, 0, 0, Usage()
    for skill, pairs in request.pairs.items():
        rubric, left = request.rubrics[skill], request.allowance.after(used)
        within = pairs[: tutor.reach("judge", both_orders(pairs, rubric), left) // 2]
        said, usage = prefer(tutor, within, rubric, 0, left)
        asked += len(within)
        earlier += sum(it.winner == "first" for it in said)
        later += sum(it.winner == "second" for it in said)
        used += usage
    return Opinion(asked, earlier, later, used)
