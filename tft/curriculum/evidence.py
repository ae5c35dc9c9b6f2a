"""The evidence on one student: the last answer to every item, and how much it still says of the student of today.

An item speaks once. The check asks the same items of every checkpoint, and a student that is asked again answers them
much alike; two answers to one item are not two pieces of evidence. An answer by the student as it is now counts in
full. When a checkpoint is promoted, the answers that its check did not ask anew grow old.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tft.records import Answered, Sitting


@dataclass(frozen=True, slots=True)
class Trace:
    """What the last answer to an item left."""

    right: bool
    cycle: int
    """In which it was given; 0 before the first."""
    weight: float = 1.0
    """How many fresh answers it is worth, in (0, 1]."""


Traces = dict[str, dict[str, Trace]]
"""By skill and question."""


def weigh(traces: Iterable[Trace]) -> tuple[float, float]:
    """Add up the right and the wrong answers, by their weight."""
    found = list(traces)
    right = fsum(trace.weight for trace in found if trace.right)
    return right, fsum(trace.weight for trace in found) - right


def hear(traces: Traces, sitting: Sitting, cycle: int) -> Traces:
    """Take down what a student, as it is now, answered; an earlier answer to the same item is forgotten."""
    heard = {skill: dict(page) for skill, page in traces.items()}
    for answer in sitting.answers:
        item = answer.attempt.item
        heard.setdefault(item.skill, {})[item.question] = Trace(answer.verdict.passed, cycle)
    return heard


def renew(traces: Traces, before: Sitting, after: Sitting, cycle: int) -> Traces:
    """Take down the check of a checkpoint that was promoted, and let all other answers age by how far it moved.

    Old answers of a skill are n draws of an ability that has changed since. Their share misses today's by its own
    variance v and by the square of the change, so together they are worth n·v / (v + change²): a power prior
    (Ibrahim and Chen 2000) with the weight that a random walk of that length gives. The square of the change is
    estimated on the check items, which both checkpoints answered.

    Args:
        traces: of the checkpoint before.
        before: its check.
        after: the check of the promoted one, on the same items.
        cycle: in which it was sat.
    """
    was, now = _verdicts(before.answers), _verdicts(after.answers)
    aged: Traces = {}
    for skill, page in traces.items():
        left = {question: trace for question, trace in page.items() if question not in now.get(skill, {})}
        kept = _variance(left.values())
        moved = _squared_change(was.get(skill, {}), now.get(skill, {}))
        aged[skill] = {
            question: replace(trace, weight=trace.weight * kept / (kept + moved)) for question, trace in left.items()
        }
    return hear(aged, after, cycle)


def _verdicts(answers: Iterable[Answered]) -> dict[str, dict[str, bool]]:
    found: dict[str, dict[str, bool]] = {}
    for answer in answers:
        item = answer.attempt.item
        found.setdefault(item.skill, {})[item.question] = answer.verdict.passed
    return found


def _variance(traces: Iterable[Trace]) -> float:
    """Estimate the variance of the share of right answers, one more of each added, so that it is never 0."""
    right, wrong = weigh(traces)
    n = right + wrong
    share = (right + 1) / (n + 2)
    return share * (1 - share) / n if n else 1.0


def _squared_change(before: Mapping[str, bool], after: Mapping[str, bool]) -> float:
    """Estimate the expected square of a change: the square of what was seen, and the variance of that.

    One item more than was seen counts as changed: on few items, none is no proof of rest.
    """
    asked = before.keys() & after.keys()
    if not asked:
        return 1.0
    gained = sum(after[question] and not before[question] for question in asked)
    lost = sum(before[question] and not after[question] for question in asked)
    change = (gained - lost) / len(asked)
    return change**2 + ((gained + lost + 1) / len(asked) - change**2) / len(asked)
