"""What a head answers with: the references of items, read as labels or as numbers; without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.config.adapters import ClassifierTask, RegressorTask, RewardTask
from tft.errors import Problem, StageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tft.config.adapters import AnyTask
    from tft.records import Lesson


def read_number(reference: str) -> float:
    """Read what a regressor is to answer.

    Raises:
        StageError: if it is no number.

    >>> read_number("1,250.5")
    1250.5
    """
    try:
        return float(reference.replace(",", ""))
    except ValueError:
        raise StageError(f"a regressor answers with numbers, and the reference {reference!r} is none") from None


def refuse_references(references: Iterable[str | None], task: AnyTask, key: str) -> list[Problem]:
    """Say which references a head can never answer with.

    Args:
        references: of the items it will be taught, or of some like them.
        task: of the head.
        key: of the task in the config.
    """
    unfit = sorted({str(it) for it in references if not _fits(it, task)})
    if not unfit:
        return []
    shown = ", ".join(unfit[:5])
    match task:
        case ClassifierTask(labels=None):
            message, remedy = (
                "items have no reference, so there is nothing to name",
                "give items references in items.py",
            )
        case ClassifierTask():
            message = f"references of the curriculum are no labels: {shown}"
            remedy = "add them to labels, or leave labels out: then they are what is taught"
        case _:
            message = f"references of the curriculum are no numbers: {shown}"
            remedy = "take a classifier, or a curriculum whose answers are numbers"
    return [Problem(message, key=key, value=task.type, remedy=remedy)]


def teaches(lesson: Lesson, task: AnyTask) -> bool:
    """Say whether a head can learn from a lesson: one that rates answers from pairs, the others from references."""
    if isinstance(task, RewardTask):
        return lesson.kind == "preference"
    return lesson.kind == "demonstration" and _fits(lesson.item.reference, task)


def _fits(reference: str | None, task: AnyTask) -> bool:
    match task:
        case ClassifierTask():
            return reference is not None and (task.labels is None or reference in task.labels)
        case RegressorTask():
            try:
                read_number(reference or "")
            except StageError:
                return False
    return True
