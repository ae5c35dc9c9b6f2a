"""What was curated for whom and when, read from the ledger once for all parts of a report: most of it are lessons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tft.records import Curated, load

if TYPE_CHECKING:
    from tft.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Taught:
    """The lessons of one student in one cycle."""

    student: str
    cycle: int
    curated: Curated


def read_taught(ledger: Ledger) -> list[Taught]:
    """Read all that was curated, in the order it was."""
    return [Taught(step.student, step.cycle, load(Curated, step.result)) for step in ledger.steps("curate")]
