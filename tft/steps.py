"""One stage call, remembered: looked up in the ledger, run where it belongs, written down, told to who watches.

A step's key is the content of its request. Where things lie (names that end in ``_path``) and how much may still
be spent is left out of it, so that a run can be moved, and its budget raised.
"""

from __future__ import annotations

import time
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from tft.config import Frozen
from tft.exams import MOSTLY_CUT_OFF, measure_cut_off
from tft.ledger import Ledger, Step
from tft.metrics import measure
from tft.records import (
    Beliefs,
    Checkpoint,
    Curated,
    Decision,
    Inherited,
    Offered,
    Opinion,
    Sitting,
    Syllabus,
    digest,
    dump,
    load,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tft.ports import Executor
    from tft.tracking import Trackers
    from tft.tutor import TutorRef

Result = TypeVar("Result")


class Watch(Protocol):
    """Sees a campaign pass."""

    def began(self, stage: str, student: str, cycle: int) -> None:
        """A stage begins."""

    def ended(self, stage: str, student: str, cycle: int, seconds: float, note: str) -> None:
        """A stage has ended; 0 seconds where it was in the ledger already."""


class Steps:
    """Runs stages, each once.

    Args:
        ledger: what has happened.
        executor: where stages run.
        watch: is told.
        trackers: get the metrics of what is new.
    """

    def __init__(self, ledger: Ledger, executor: Executor, watch: Watch, trackers: Trackers | None = None) -> None:
        self.ledger = ledger
        self._executor = executor
        self._watch = watch
        self._trackers = trackers
        self.waited = 0.0
        """Seconds that calls took beyond the work itself."""

    async def run(
        self,
        kind: type[Result],
        place: str,
        stage: Callable[[Any], Result],
        request: Any,
        *,
        name: str,
        student: str = "",
        cycle: int = 0,
        workers: int = 1,
        before: Callable[[], None] | None = None,
    ) -> Result:
        """Run a stage, unless the ledger knows its result.

        Args:
            kind: record the stage returns.
            place: where it runs: ``tutor`` or ``student/<id>``.
            stage: a module-level function of one request.
            request: a record.
            name: of the stage, as reports show it.
            student: whom it concerns; empty for nobody in particular.
            cycle: to which cycle it belongs; 0 before the first.
            workers: processes that run it together.
            before: called before a stage that the ledger does not know; it raises where nothing new may begin.
        """
        key = digest([name, student, cycle, content(request)])
        known = self.ledger.get(key)
        if known is not None:
            result = load(kind, known.result)
            self._watch.ended(name, student, cycle, 0.0, describe(result))
            return result
        if before is not None:
            before()
        self._watch.began(name, student, cycle)
        start = time.monotonic()
        result, seconds = await self._executor.run(place, stage, request, workers)
        self.waited += time.monotonic() - start - seconds
        self._write(Step(key, name, student, cycle, seconds, dump(result, kind)), result)
        self._watch.ended(name, student, cycle, seconds, describe(result))
        return result

    def reach(self, tutor: TutorRef) -> TutorRef:
        """Say how the stage of a student reaches the tutor."""
        reached: TutorRef = self._executor.reach(tutor)
        return reached

    def decide(
        self, kind: type[Result], basis: Any, make: Callable[[], Result], *, name: str, student: str, cycle: int
    ) -> Result:
        """Let the driver decide something, once: what was decided on the same basis stands.

        Args:
            kind: record the decision is.
            basis: what it must not change with; limits that a user may raise are no part of it.
            make: decides.
            name: of the stage.
            student: whom it concerns.
            cycle: to which cycle it belongs.
        """
        key = digest([name, student, cycle, content(basis)])
        known = self.ledger.get(key)
        result = make() if known is None else load(kind, known.result)
        if known is None:
            self._write(Step(key, name, student, cycle, 0.0, dump(result, kind)), result)
        self._watch.ended(name, student, cycle, 0.0, describe(result))
        return result

    def note(self, result: Any, *, name: str, student: str, cycle: int) -> None:
        """Write down what the driver itself decided, once."""
        key = digest([name, student, cycle, dump(result)])
        if self.ledger.get(key) is None:
            self._write(Step(key, name, student, cycle, 0.0, dump(result)), result)
        self._watch.ended(name, student, cycle, 0.0, describe(result))

    def _write(self, step: Step, result: Any) -> None:
        metrics = measure(step.stage, step.student, result)
        self.ledger.put(step, describe(result), metrics)
        if self._trackers is not None and metrics:
            self._trackers.log(metrics, step.cycle)


def content(value: Any) -> Any:
    """Dump a request without the fields that do not change its result."""
    if value is None or isinstance(value, str | int | float):
        return value
    if is_dataclass(value):
        names = [field.name for field in fields(value)]
        return {name: content(getattr(value, name)) for name in names if not _only_says_where(name)}
    if isinstance(value, Frozen):
        return value.identity()
    if isinstance(value, dict):
        return {key: content(inner) for key, inner in value.items()}
    return [content(inner) for inner in value] if isinstance(value, list | tuple) else dump(value)


def _only_says_where(field: str) -> bool:
    return field.endswith("_path") or field == "allowance"


def describe(result: Any) -> str:
    """Say in a few words what came out of a stage."""
    match result:
        case Sitting(sat=False):
            return f"{result.exam} was not sat: {result.reason}"
        case Sitting():
            right = sum(answer.verdict.passed for answer in result.answers)
            cut_off = measure_cut_off(result.answers) or 0.0
            mostly = f", {100 * cut_off:.0f} % cut off before their end" if cut_off > MOSTLY_CUT_OFF else ""
            return f"{right} of {len(result.answers)} right on {result.exam}{mostly}"
        case Beliefs():
            left = [it.skill for it in result.skills if it.undecided]
            asked = f"{result.questions} of {result.of} questions asked, " if result.of else ""
            decided = f"{len(result.skills) - len(left)} of {len(result.skills)} skills decided"
            return asked + decided + (f"; open: {', '.join(left)}" if left else "")
        case Inherited():
            return f"goes on from {result.versions[-1].run}, with {len(result.lessons)} lessons to read again"
        case Syllabus():
            taught = {line.skill: 0 for line in result.tuition if line.kind != "replay"}
            return f"teaches {', '.join(taught) or 'nothing'}; {len(result.waiting)} wait"
        case Offered():
            made = f"{len(result.lessons)} lessons, {len(result.rejections)} refused, {result.usage.total} tokens"
            row = next((it.text for it in result.rejections if it.kind == "material"), None)
            return made if row is None else f"{made}; the first refused: {row}"
        case Curated():
            return f"{len(result.kept)} lessons kept, {len(result.rejections)} refused"
        case Checkpoint():
            told = [f"{name} {first:.3f} → {last:.3f}" for name, (first, last) in result.measures.items()
                    if name.startswith("loss ") or name in ("reward", "graded")]  # fmt: skip
            return ", ".join((f"{result.trained_tokens} tokens", *told))
        case Opinion():
            return (
                f"of {result.asked} answers that the grader came to pass, the judge prefers {result.later} to those of "
                f"before, and the one of before {result.earlier} times"
            )
        case Decision():
            return "; ".join((result.reason, *result.findings))
    return ""
