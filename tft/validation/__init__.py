"""A config against the library, the machine and the purse: everything that is wrong with it, at once.

It loads no torch, so that the answer comes in well under two seconds; it reads, and changes nothing.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tft.errors import Problem
from tft.library import Library
from tft.placement import gpus_here, share_out
from tft.validation.architectures import check_architectures, warn_of_classroom
from tft.validation.content import Content, check_content, engine_of
from tft.validation.draft import Draft, collect, read_draft
from tft.validation.heads import check_heads
from tft.validation.idle import warn_of_idle
from tft.validation.intervals import tell_intervals
from tft.validation.lengths import warn_of_length
from tft.validation.models import Use, check_models
from tft.validation.purse import estimate
from tft.validation.tokens import check_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Validation", "validate"]


@dataclass(frozen=True, slots=True)
class Validation:
    """What came out."""

    problems: tuple[Problem, ...]
    resolved: dict[str, Any]
    """What each name became."""
    estimate: dict[str, Any]
    """What the campaign will need at most."""
    warnings: tuple[Problem, ...] = ()
    """What may go wrong, and is run all the same."""

    def as_record(self) -> dict[str, Any]:
        """Give it in the form ``tft validate --json`` prints."""
        errors, warnings = ([asdict(it) for it in found] for found in (self.problems, self.warnings))
        return {"errors": errors, "warnings": warnings, "resolved": self.resolved, "estimate": self.estimate}


def validate(path: Path, overrides: Sequence[str] = (), out: Path | None = None) -> Validation:
    """Find everything that is wrong with a config.

    Args:
        path: the config file.
        overrides: ``a.b=c`` settings that replace values.
        out: the run directory; None means ``runs/<campaign>`` under the current folder.
    """
    problems: list[Problem] = []
    draft = read_draft(path, overrides, problems)
    if draft is None:
        return Validation(tuple(problems), {}, {})
    library = Library(path.resolve().parent)
    content = check_content(draft, library, problems)
    uses = check_models(draft, library, content, problems)
    check_architectures(draft, content, uses, problems)
    check_heads(draft, library, content, problems)
    check_tokens(draft, library, content, uses, problems)
    folder = out or Path("runs") / draft.config.campaign
    _check_folder(folder, "--out" if out is not None else "runs", problems)
    placement, share = _placement(draft, content, problems)
    warnings: list[Problem] = []
    needed = estimate(draft, content, uses, share, problems, warnings)
    warn_of_classroom(draft, uses, warnings)
    warn_of_length(draft, content, warnings)
    warn_of_idle(draft, content, warnings)
    resolved = {
        "config": str(path),
        **_resolved(draft, content, uses),
        "intervals": tell_intervals(draft, warnings),
        "placement": placement,
        "run_directory": str(folder.absolute()),
    }
    return Validation(tuple(dict.fromkeys(problems)), resolved, needed, tuple(warnings))


def _check_folder(folder: Path, key: str, problems: list[Problem]) -> None:
    """Find out whether a run directory can be made, without making it."""
    place = folder.absolute()
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        what = "may not be written" if place.is_dir() else "is not a folder"
        remedy = "name another folder with --out, or mend the permissions of this one"
        problems.append(Problem(f"the run directory cannot be made: {place} {what}", None, key, str(folder), remedy))


def _placement(draft: Draft, content: Content, problems: list[Problem]) -> tuple[str | None, float]:
    """Say who gets which GPU of this machine, and what each student has; a cluster that is joined is asked later."""
    cluster, engine = draft.config.cluster, engine_of(draft, content)
    if cluster.type == "inline":
        return "all in one process, on its first GPU where it sees one", float(gpus_here() > 0)
    if cluster.address is not None:
        return f"worked out when the cluster at {cluster.address} is joined", 0.0
    if engine is None:
        return None, 0.0
    students, workers = len(draft.config.students), draft.config.training.workers
    placed = collect(problems, lambda: share_out(cluster, engine, students, [gpus_here()], workers))
    return (placed.told(students), placed.student) if placed is not None else (None, 0.0)


def _resolved(draft: Draft, content: Content, uses: list[Use]) -> dict[str, Any]:
    models = {use.who: _model(use) for use in uses}
    curriculum = None
    if content.curriculum_path is not None:
        skills = {name: card.role for name, card in content.skills.items()}
        items = str(content.items_path) if content.items_path is not None else None
        curriculum = {"card": str(content.curriculum_path), "items": items, "skills": skills}
    engine = engine_of(draft, content)
    earlier = {} if content.earlier is None else {"continue_from": str(content.earlier.folder)}
    return {
        **earlier,
        "tutor": {
            "card": str(content.tutor_path) if content.tutor_path is not None else None,
            "model": models.get("tutor"),
            "engine": engine.type if engine is not None else None,
        },
        "students": {student: models.get(named.key) for student, named in draft.students},
        "curriculum": curriculum,
        "examiner": models.get("examiner"),
        "judges": {use.named.file: _model(use) for use in uses if use.who.startswith("judge ")},
        "suites": content.suites,
        "material": content.material,
    }


def _model(use: Use) -> dict[str, Any]:
    found = use.model
    return {
        "name": use.named.name,
        "kind": found.kind if found is not None else None,
        "address": found.address if found is not None else None,
        "reached": found is not None and use.trouble is None,
    }
