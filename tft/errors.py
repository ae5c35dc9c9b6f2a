"""One tree of errors, all of which survive pickling, so that they can cross from a Ray worker to the driver.

    TFTError
    ├── UserError           what the user wrote is wrong            exit 2
    ├── PrerequisiteError   the environment cannot do it            exit 3
    ├── StageError          the campaign itself failed              exit 1
    │   ├── BudgetError     a hard limit was reached in mid-stage
    │   └── RefusedError    an engine cannot answer this, however often it is asked
    └── EngineLostError     an engine fell over in its process      exit 1

Bad output of a model is not an error: it is a record with a reason (see ``records.Rejection``).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with what a user wrote, in the form ``tft validate --json`` prints it."""

    message: str
    """What is wrong, in one sentence."""
    file: str | None = None
    """The file it stands in, as the user named it."""
    key: str | None = None
    """The key, dotted: ``students.0.model``."""
    value: str | None = None
    """The offending value, as text."""
    remedy: str | None = None
    """What to do about it, or what would be right."""

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.file, self.key) if part)
        value = f" (got {self.value})" if self.value is not None else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{place + ': ' if place else ''}{self.message}{value}{remedy}"


class TFTError(Exception):
    """Anything this package raises on purpose."""

    exit_code = 1


class UserError(TFTError):
    """What the user wrote is wrong; carries every problem that was found, not only the first."""

    exit_code = 2

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(Problem(item) if isinstance(item, str) else item for item in problems)
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class PrerequisiteError(TFTError):
    """The environment lacks something; the message says what, and the command that mends it."""

    exit_code = 3


class StageError(TFTError):
    """A stage of a campaign failed; what was done before it is in the ledger."""


class BudgetError(StageError):
    """A hard limit was reached before a batch was begun."""


class RefusedError(StageError):
    """A request that an engine cannot answer, however often it is asked."""


class EngineLostError(TFTError):
    """An engine fell over and will answer nothing any more; in another process it may."""
