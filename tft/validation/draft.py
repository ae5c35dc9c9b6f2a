"""What can be read of a config in spite of its mistakes, so that all of them are found at once.

Names are taken from what was written, with the key they stand at; everything else from the config model, with
defaults in place of what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tft.config import CampaignConfig
from tft.config.reading import diagnose, read_yaml, set_value
from tft.earlier import fill_students
from tft.errors import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Result = TypeVar("Result")

_BLANK: dict[str, Any] = {
    "campaign": "unnamed",
    "tutor": "unnamed",
    "students": [{"id": "unnamed", "model": "unnamed"}],
    "curriculum": "unnamed",
}


@dataclass(frozen=True, slots=True)
class Named:
    """A name, and where it stands."""

    file: str
    key: str
    name: str

    def problem(self, message: str, remedy: str) -> Problem:
        """Say what is wrong with it."""
        return Problem(message, self.file, self.key, self.name, remedy)


@dataclass(frozen=True, slots=True)
class Draft:
    """A config, as far as it can be read."""

    file: str
    config: CampaignConfig
    """With defaults in place of what is wrong."""
    whole: bool
    """Whether its shape is right, so that ``config`` is what was written."""
    tutor: Named | None
    tutor_model: Named | None
    curriculum: Named | None
    suites: tuple[Named, ...]
    examiner: Named | None
    students: tuple[tuple[str, Named], ...]
    """Id and model of each student that has a model."""


def collect(problems: list[Problem], call: Callable[[], Result]) -> Result | None:
    """Call, and take down the problems of what the user wrote; None where there were some."""
    try:
        return call()
    except UserError as error:
        problems += error.problems
        return None


def read_draft(path: Path, overrides: Sequence[str], problems: list[Problem]) -> Draft | None:
    """Read a config; None where there is nothing to read."""
    values = collect(problems, lambda: read_yaml(path))
    if values is None:
        return None
    for override in overrides:
        try:
            set_value(values, override)
        except UserError as error:
            problems += error.problems
    collect(problems, lambda: fill_students(values, path.resolve().parent))
    config, found = diagnose(CampaignConfig, values, str(path))
    problems += found
    problems += _same_ids(values, str(path), found)
    return _draft(values, str(path), config or _what_is_left(values), whole=not found)


def _what_is_left(values: dict[str, Any]) -> CampaignConfig:
    """Read the parts that have defaults; the others are blank."""
    config, _ = diagnose(CampaignConfig, {**values, **_BLANK}, "")
    return config or CampaignConfig.model_validate(_BLANK)


def _draft(values: dict[str, Any], file: str, config: CampaignConfig, *, whole: bool) -> Draft:
    def name(key: str, value: object) -> Named | None:
        return Named(file, key, value) if isinstance(value, str) else None

    tutor = values.get("tutor")
    use = name("tutor.use", tutor.get("use")) if isinstance(tutor, dict) else name("tutor", tutor)
    exams = values["exams"] if isinstance(values.get("exams"), dict) else {}
    examiner = exams.get("examiner")
    suites = exams.get("whole") if isinstance(exams.get("whole"), list) else []
    listed = [name(f"exams.whole.{place}", suite) for place, suite in enumerate(suites or [])]
    models = [
        (str(student.get("id")), name(f"students.{place}.model", student.get("model")))
        for place, student in _students(values)
    ]
    return Draft(
        file=file,
        config=config,
        whole=whole,
        tutor=use,
        tutor_model=name("tutor.model", tutor.get("model")) if isinstance(tutor, dict) else None,
        curriculum=name("curriculum", values.get("curriculum")),
        suites=tuple(suite for suite in listed if suite is not None),
        examiner=name("exams.examiner.model", examiner.get("model"))
        if isinstance(examiner, dict)
        else name("exams.examiner", examiner),
        students=tuple((student, model) for student, model in models if model is not None),
    )


def _students(values: dict[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    written = values.get("students")
    entries = written if isinstance(written, list) else []
    return [(place, entry) for place, entry in enumerate(entries) if isinstance(entry, dict)]


def _same_ids(values: dict[str, Any], file: str, known: list[Problem]) -> list[Problem]:
    """Find students of the same id; the config model looks for them only where all students are well-formed."""
    ids = [(place, student.get("id")) for place, student in _students(values)]
    again = [
        Named(file, f"students.{place}.id", name).problem(
            "another student has this id", "give each student an id of its own"
        )
        for index, (place, name) in enumerate(ids)
        if isinstance(name, str) and name in [earlier for _, earlier in ids[:index]]
    ]
    return [problem for problem in again if problem not in known]
