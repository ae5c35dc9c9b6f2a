"""Classification: the head learns to give a question the label that its reference is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812

from tft.errors import StageError
from tft.student.reading import encode_questions
from tft.training.objective import Setting, Step
from tft.training.rows import Row, batches

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence

    from tft.config.training import ClassificationConfig
    from tft.records import Lesson
    from tft.training.reader import Readings


@dataclass(frozen=True)
class Labelled(Row):
    """A question with its label."""

    label: int
    """Place of the label among those of the head."""


class Classification:
    """Learns labels."""

    modules: tuple[torch.nn.Module, ...] = ()

    def __init__(self, config: ClassificationConfig, setting: Setting) -> None:
        self._epochs = config.epochs
        self._setting = setting

    def units(self, lessons: Sequence[Lesson], rng: random.Random) -> list[list[Labelled]]:
        """Cut questions into batches of like length, anew for each pass.

        Raises:
            StageError: if a reference is none of the labels.
        """
        learner = self._setting.learner
        places = {label: place for place, label in enumerate(learner.model.labels)}
        strange = sorted({str(it.item.reference) for it in lessons} - set(places))
        if strange:
            raise StageError(
                f"what is taught is none of the labels: {', '.join(strange[:5])}. Add it to adapter.task.labels of the "
                "student, or leave them out: then they are what is taught"
            )
        rows = [
            Labelled(tuple(tokens), len(tokens), lesson.item.skill, places[str(lesson.item.reference)])
            for lesson, tokens in zip(
                lessons, encode_questions([it.item.question for it in lessons], learner.tokenizer), strict=True
            )
        ]
        size = self._setting.training.batch_size
        return batches(rows, size, rng, self._setting.passes(self._epochs, len(rows), size))

    def steps(self, unit: list[Labelled]) -> Iterator[Step]:
        """Make one step of a batch."""
        yield Step(unit, self._loss, len(unit))

    def _loss(self, readings: Readings) -> torch.Tensor:
        """Add up the cross-entropy of the labels: L = −Σ log p(label | question)."""
        rows: list[Labelled] = list(readings.rows)  # type: ignore[arg-type]
        labels_B = torch.tensor([row.label for row in rows], device=readings.outputs_BO.device)
        with torch.no_grad():
            self._setting.note("right", (readings.outputs_BO.argmax(1) == labels_B).float().mean().item())
        return F.cross_entropy(readings.outputs_BO, labels_B, reduction="sum")
