"""The shelf: demonstrations by skill, made once and read by every student that needs them.

A shelf grows batch by batch; ``tuition.questions`` says who asks. Left to itself under ``methods: auto``, the tutor
writes the questions of the first batch, and of others while most of them are new and its budget reaches for all
lessons at that price; then the curriculum draws them, and the tutor is paid for answers only. What stands on a shelf
does not depend on who asked first, so the students of a roster share what the tutor was paid for once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tft.config.campaign import LESSONS_A_BATCH, Price
from tft.curriculum import Purse
from tft.errors import BudgetError
from tft.lessons import DemonstrationRequest, demonstrate
from tft.records import Lesson, Offered, Usage
from tft.tutor import Allowance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from tft.preparation import Prepared
    from tft.steps import Steps

_EXHAUSTED = 0.15
"""Share of lessons in a batch below which a skill is exhausted: what is new then costs several times its price."""
_REPEATS = 0.75
"""Share of lessons in a batch below which the tutor repeats itself, and the curriculum draws the questions instead."""


@dataclass
class _Row:
    lessons: list[Lesson] = field(default_factory=list)
    batches: int = 0
    drawn: bool = False
    """Whether the curriculum draws its questions."""
    exhausted: bool = False
    price: float | None = None
    """Tokens a lesson, in the last batch that had any."""
    usual: float | None = None
    """The same, of the last whose questions were not drawn to save tokens."""


class Shelf:
    """The demonstrations of a campaign, and what the tutor has been paid.

    Args:
        prepared: the campaign.
        held_out: fingerprints that may not be taught.
        steps: runs the stages.
        out_of_time: says whether the wall clock is spent.
    """

    def __init__(
        self, prepared: Prepared, held_out: tuple[str, ...], steps: Steps, out_of_time: Callable[[], bool]
    ) -> None:
        self._prepared = prepared
        self._held_out = held_out
        self._steps = steps
        self._out_of_time = out_of_time
        tuition = prepared.config.tuition
        self._only_draws = tuition.questions == "curriculum"
        self._may_draw = tuition.questions == "auto" and tuition.methods == "auto"
        self._rows = {skill: _Row(drawn=self._only_draws) for skill in prepared.skills}
        self._seed = prepared.seed("shelf", "", 0) if prepared.inherited.digest else prepared.config.seed
        self.used = Usage()
        """What the tutor was asked for, by this shelf and by others who tell it."""
        self._critiques, self._for_critiques = 0, 0
        self.limit = ""
        """The limit that was reached, in words; empty while there is none."""

    def allowance(self) -> Allowance:
        """Give what may still be spent on the tutor."""
        budget = self._prepared.config.budget
        price = self._prepared.config.tutor.price or self._prepared.tutor_card.price or Price()
        return Allowance(budget.tutor_tokens, budget.tutor_requests, budget.money, price).after(self.used)

    def purse(self, read: Mapping[str, int]) -> Purse:
        """Give what one student may have of the tutor in its next cycle: all that is left.

        Keeping some of it for later cycles was tried, and taught less.

        Args:
            read: how far it has read each shelf.
        """
        left = self.allowance().tokens
        prices = {skill: row.price for skill, row in self._rows.items() if row.price is not None}
        return Purse(
            tokens=None if left is None else max(0, left),
            prices=prices,
            critique=self._for_critiques / self._critiques if self._critiques else None,
            scarce=self._is_scarce([row.usual for row in self._rows.values()]),
            ready={skill: max(0, len(row.lessons) - read.get(skill, 0)) for skill, row in self._rows.items()},
            spent=bool(self.limit),
        )

    def _is_scarce(self, usual: Collection[float | None]) -> bool:
        """Say whether the budget would not pay for all lessons of the campaign at what they usually cost.

        Args:
            usual: tokens of a lesson by skill, where no question is drawn to save tokens; None where there is none.
        """
        budget, tuition = self._prepared.config.budget.tutor_tokens, self._prepared.config.tuition
        prices = [it for it in usual if it is not None]
        if budget is None or not prices:
            return False
        taught = sum(skill.role == "taught" for skill in self._prepared.skills.values())
        return budget < sum(prices) / len(prices) * taught * tuition.lessons * tuition.cycles

    def pay(self, offered: Offered) -> None:
        """Take down what lessons cost that are not from this shelf."""
        self.used += offered.usage
        if critiques := sum(it.kind == "critique" for it in offered.lessons):
            self._critiques += critiques
            self._for_critiques += offered.usage.total

    async def take(self, skill: str, start: int, count: int) -> list[Lesson]:
        """Take lessons from a place on the shelf of a skill; fewer where the budget or the skill ends.

        A student that has read an exhausted shelf to its end begins again at its start.
        """
        row = self._rows[skill]
        while len(row.lessons) < start + count and not row.exhausted and not self.limit:
            await self._extend(skill, row)
        if not row.lessons:
            return []
        if start + count <= len(row.lessons) or not row.exhausted:
            return row.lessons[start : start + count]
        places = range(start, start + min(count, len(row.lessons)))
        return [row.lessons[place % len(row.lessons)] for place in places]

    def refuse_late(self) -> None:
        """Look at the clock before something new begins; what was done in time stays so, however late it is read again.

        Raises:
            BudgetError: if time is over.
        """
        if self._out_of_time():
            raise BudgetError(f"budget.hours: {self._prepared.config.budget.hours:g} hours are over")

    @contextmanager
    def within_limits(self) -> Iterator[None]:
        """Write down the limit that ends what is begun here, where one does."""
        try:
            yield
        except BudgetError as error:
            self.limit = str(error)

    async def _extend(self, skill: str, row: _Row) -> None:
        request = DemonstrationRequest(
            tutor=self._prepared.tutor,
            items_path=self._prepared.items_path,
            skill=skill,
            title=self._prepared.skills[skill].title,
            marker=self._prepared.curriculum.grader.marker,
            levels=self._prepared.skills[skill].levels,
            number=row.batches,
            size=LESSONS_A_BATCH,
            known=tuple(sorted(lesson.item.question for lesson in row.lessons)),
            held_out=self._held_out,
            seed=self._seed,
            allowance=self.allowance(),
            drawn=row.drawn,
        )
        offered: Offered | None = None
        with self.within_limits():
            offered = await self._steps.run(
                Offered, "tutor", demonstrate, request, name="teach", before=self.refuse_late
            )
        if offered is None:
            return
        row.lessons += offered.lessons
        row.batches += 1
        self.used += offered.usage
        if offered.lessons:
            row.price = offered.usage.total / len(offered.lessons)
            row.usual = row.price if self._only_draws or not request.drawn else row.usual
        if offered.cut:
            # Few lessons say nothing about the skill then.
            return
        new = len(offered.lessons) / LESSONS_A_BATCH
        if self._may_draw and not row.drawn:
            row.drawn = new < _REPEATS or self._is_scarce([row.usual])
        else:
            row.exhausted = new < _EXHAUSTED
