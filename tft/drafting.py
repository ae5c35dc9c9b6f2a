"""Drafts the campaign that teaches again what has drifted of a deployed student.

It is the campaign of the run, which it continues, with another name, one student and the skills that drifted. Left out
on purpose: material, because what the student read of it is in its lessons and rehearsed with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tft.config import CampaignConfig
from tft.config._base import Frozen
from tft.earlier import Earlier
from tft.errors import Problem, UserError
from tft.library import Kind, Library, expand, is_there, shipped

_LONGEST_NAME = 63
_AGAIN = "-next"


def draft_campaign(found: dict[str, Any], run: Path, path: Path) -> Path:
    """Write the campaign that teaches again what has drifted.

    Args:
        found: what ``watch`` found.
        run: the run directory.
        path: of the config; it may not exist yet.

    Raises:
        UserError: if nothing has drifted, the file is there already, or what the run's config names is gone.
    """
    if not found["drifted"]:
        raise UserError(Problem("nothing has drifted: there is nothing to draft", key="--draft", value=str(path)))
    if path.exists():
        raise UserError(Problem("is there already", key="--draft", value=str(path), remedy="name another file"))
    earlier = Earlier(run, key="RUN")
    config = CampaignConfig.model_validate(earlier.setting["config"])
    reasons = [
        f"# {row['skill']}: {row['score']:.0%} of {row['n']} logged prompts are answered right, "
        f"{row['examined']:.0%} were in the exam"
        for row in found["skills"]
        if row["drifted"]
    ]
    if config.material:
        reasons.append(f"# Left out: the material of {found['run']}, which is rehearsed with its lessons.")
    library = Library(earlier.beside)
    model = next(it.model for it in config.students if it.id == found["student"])
    student = {"id": found["student"], "model": _find_model(library, model)}
    values = {
        **_written(config),
        "campaign": f"{found['run'][: _LONGEST_NAME - len(_AGAIN)]}{_AGAIN}",
        "continue_from": str(run.resolve()),
        "students": [student if student["model"] != model else {"id": found["student"]}],
        "skills": found["drifted"],
    }
    _find_names(values, library)
    ordered = {key: values[key] for key in CampaignConfig.model_fields if key in values and key != "material"}
    head = [f"# tft run {path}", f"# Drafted from {found['rows']} logged answers of {found['student']}.", *reasons]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(head) + "\n" + yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True), "utf-8")
    return path


def _written(value: Any) -> Any:
    """Give a config in plain values, without what is as it would be anyway."""
    if isinstance(value, Frozen):
        return {
            name: _written(getattr(value, name))
            for name, info in type(value).model_fields.items()
            if name == "type" or getattr(value, name) != info.get_default(call_default_factory=True)
        }
    if isinstance(value, tuple | list):
        return [_written(it) for it in value]
    return value


def _find_names(values: dict[str, Any], library: Library) -> None:
    """Name by their whole path what lies beside the run's own config, because the draft may lie elsewhere."""
    values["curriculum"] = _find_card(library, "curricula", values["curriculum"])
    tutor, exams = values["tutor"], values.get("exams", {})
    tutor["use"] = _find_card(library, "tutors", tutor["use"])
    if "whole" in exams:
        exams["whole"] = [_find_suite(library, name) for name in exams["whole"]]
    practice = values.get("training", {}).get("objectives", {}).get("practice", {})
    for named in (tutor, exams.get("examiner"), practice.get("reward")):
        if named is not None and "model" in named:
            named["model"] = _find_model(library, named["model"])


def _find_card(library: Library, kind: Kind, name: str) -> str:
    path = library.find(kind, name).resolve()
    return name if path.is_relative_to(shipped().resolve()) else str(path)


def _find_suite(library: Library, name: str) -> str:
    prefix, colon, bare = name.rpartition(":")
    place = (library.beside or Path()) / expand(bare)
    if is_there(place):
        return f"{prefix}{colon}{place.resolve()}"
    return _find_card(library, "evals", name) if name in library.names("evals") else name


def _find_model(library: Library, name: str) -> str:
    place = (library.beside or Path()) / expand(name.removeprefix("path:"))
    return str(place.resolve()) if is_there(place) and library.model(name).kind == "path" else name
