"""What a student can do, asked before it is taught: as many questions as leave nothing open that the plan asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tft.curriculum import Decisions, believe, estimate, hear, mean_score, next_items
from tft.records import Beliefs

if TYPE_CHECKING:
    from tft.curriculum import Traces
    from tft.preparation import Prepared
    from tft.pupil import Pupil
    from tft.records import Mastery
    from tft.sittings import Sittings
    from tft.steps import Steps


class Prober:
    """Finds out what students know, and writes down what is believed of them.

    Args:
        prepared: the campaign.
        steps: runs the stages.
        sittings: lets students sit exams.
    """

    def __init__(self, prepared: Prepared, steps: Steps, sittings: Sittings) -> None:
        self._items = prepared.splits.items
        self._steps = steps
        self._sittings = sittings
        self._decisions = Decisions.of(prepared.config)
        self._taught = [name for name, skill in prepared.skills.items() if skill.role == "taught"]

    async def probe(self, pupil: Pupil, cycle: int) -> None:
        """Find out what a student can do, before it is taught anything."""
        if cycle == 1:
            pupil.check = pupil.best = await self._sittings.sit(pupil, pupil.ref, "check", 0, self._items["check"])
            pupil.history.append(mean_score(estimate([pupil.check]), self._taught))
            pupil.traces = hear(pupil.traces, pupil.check, 0)
        probe, asked = self._items["probe"], 0
        while items := next_items(probe, pupil.traces, self._decisions):
            pupil.traces = hear(pupil.traces, await self._sittings.sit(pupil, pupil.ref, "probe", cycle, items), cycle)
            asked += len(items)
        self._note(pupil, "probe", cycle, asked, len(probe))

    def believed(self, traces: Traces) -> dict[str, Mastery]:
        """Say what may be believed of each skill from these answers."""
        return believe(traces, self._decisions)

    def believe(self, pupil: Pupil, cycle: int) -> None:
        """Write down what the evidence says after a cycle."""
        self._note(pupil, "believe", cycle, 0, 0)

    def _note(self, pupil: Pupil, name: str, cycle: int, asked: int, of: int) -> None:
        pupil.known = self.believed(pupil.traces)
        beliefs = Beliefs(pupil.config.id, cycle, tuple(pupil.known.values()), asked, of)
        self._steps.note(beliefs, name=name, student=pupil.config.id, cycle=cycle)
