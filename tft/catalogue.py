"""What the library holds, with a line for each: from the cards themselves, so that nothing is listed twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tft.config.reading import read_yaml
from tft.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from tft.library import Kind, Library

_KINDS: dict[str, tuple[Kind, str]] = {
    "tutors": ("tutors", "description"),
    "curricula": ("curricula", "description"),
    "exam suites": ("evals", "caption"),
    "configs": ("configs", ""),
}


def list_library(library: Library) -> dict[str, dict[str, str]]:
    """List names and descriptions by kind; a card that cannot be read says so."""
    return {
        title: {name: _describe(library.find(kind, name), field) for name in library.names(kind)}
        for title, (kind, field) in _KINDS.items()
    }


def _describe(path: Path, field: str) -> str:
    try:
        values = read_yaml(path)
    except UserError as error:
        return str(error.problems[0])
    text = str(values.get(field, "")) if field else _describe_campaign(values)
    return " ".join(text.split())


def _describe_campaign(values: dict[str, Any]) -> str:
    tutor = values.get("tutor")
    name = tutor.get("use") if isinstance(tutor, dict) else tutor
    students = values.get("students")
    roster = students if isinstance(students, list) else []
    ids = [str(student.get("id")) for student in roster if isinstance(student, dict)]
    return f"{name} teaches {', '.join(ids) or 'nobody'} {values.get('curriculum')}"
