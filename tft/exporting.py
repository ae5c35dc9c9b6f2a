"""A taught student, to be used without this package: a merged model, or its adapter as PEFT keeps it.

A head becomes a sequence classifier of transformers, where there is one like it.

The card that its campaign wrote goes with it. What was exported is sent to the hub only where that is asked for.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tft.errors import PrerequisiteError, Problem, UserError
from tft.examination import find_student
from tft.report.files import CARD
from tft.student import write_checkpoint
from tft.student.saved import HEAD

if TYPE_CHECKING:
    from pathlib import Path

    from huggingface_hub import HfApi

    from tft.library import Library


def export_student(library: Library, run: Path, student: str, folder: Path, *, adapter: bool) -> Path:
    """Write a student of a run to a folder.

    Args:
        library: where names are looked up.
        run: the run directory.
        student: its id.
        folder: where to; it may not exist yet.
        adapter: write its adapter alone, for PEFT; otherwise a model with everything merged, and its tokenizer.

    Raises:
        UserError: if there is no such student, it was never promoted, or it cannot be exported that way.
    """
    final = run / "students" / student / "final"
    if not final.is_dir():
        known = sorted(path.parent.name for path in run.glob("students/*/final"))
        remedy = f"students with a final checkpoint: {', '.join(known) or 'none'}"
        raise UserError(Problem("has no promoted checkpoint in this run", key="STUDENT", value=student, remedy=remedy))
    if folder.exists():
        remedy = "name a folder that is not there yet"
        raise UserError(Problem("is there already", key="--out", value=str(folder), remedy=remedy))
    merged = (final / "config.json").is_file()
    headed = (final / HEAD).is_file()
    if adapter:
        if headed or not (final / "adapter_config.json").is_file():
            remedy = "leave --adapter out"
            raise UserError(Problem("has no adapter that PEFT knows", key="STUDENT", value=student, remedy=remedy))
        shutil.copytree(final, folder)
    elif headed:
        _write_classifier(library, final, folder)
    elif merged:
        shutil.copytree(final, folder)
    else:
        _merge(library, final, folder)
    if (final.parent / CARD).is_file():
        shutil.copyfile(final.parent / CARD, folder / CARD)
    return folder


def check_hub(hub: HfApi, repository: str) -> None:
    """Find out whether something may be sent to the hub, before it takes minutes to make it.

    Raises:
        UserError: if the repository can have no such name.
        PrerequisiteError: if the hub cannot be reached, or knows nobody by this token.
    """
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        remedy = "write owner/name"
        raise UserError(Problem("is no name of a repository", key="--push", value=repository, remedy=remedy)) from error
    try:
        hub.whoami()
    except LocalTokenNotFoundError as error:
        raise PrerequisiteError(
            "--push: there is no token for the hub. Run `hf auth login`, or set HF_TOKEN"
        ) from error
    except Exception as error:  # the hub fails in many ways
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
            message = "--push: the hub does not accept this token. Run `hf auth login`, or set HF_TOKEN to another"
            raise PrerequisiteError(message) from error
        message = f"--push: the hub at {hub.endpoint} cannot be reached ({type(error).__name__}). Check the network"
        raise PrerequisiteError(message) from error


def push_student(hub: HfApi, folder: Path, repository: str) -> str:
    """Send an exported student to the hub: as a new private repository, or a commit in one that is there.

    Returns:
        The address of the repository.

    Raises:
        PrerequisiteError: if the hub does not take it; what was exported stays where it is.
    """
    try:
        made = hub.create_repo(repository, private=True, exist_ok=True)
        hub.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Export a student of TFT")
    except Exception as error:  # the hub fails in many ways
        raise PrerequisiteError(
            f"--push: the hub did not take {folder} as {repository}: {error}. The folder is complete: send it again "
            f"with `hf upload {repository} {folder}`"
        ) from error
    return str(made)


def _write_classifier(library: Library, final: Path, folder: Path) -> None:
    # Torch takes seconds.
    from tft.student.classifiers import as_classifier

    model, tokenizer = as_classifier(find_student(library, str(final)))

    def save(aside: Path) -> None:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)

    write_checkpoint(folder, save)


def _merge(library: Library, final: Path, folder: Path) -> None:
    # PEFT and torch take seconds.
    from tft.student.models import merge

    student = find_student(library, str(final))
    merged = merge(student)
    if isinstance(merged, str):
        only_here = f"it runs with this package alone: `tft examine {final}`, or open_student (docs/training.md)"
        remedy = only_here if student.adapter.type == "bottleneck" else "export it with --adapter"
        raise UserError(Problem(f"{merged}, and cannot be merged", key="STUDENT", remedy=remedy))
    model, tokenizer = merged

    def save(aside: Path) -> None:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)

    write_checkpoint(folder, save)
