"""A taught student, to be used without this package: a merged model, or its adapter as PEFT keeps it.

A head becomes a sequence classifier of transformers, where there is one like it.

The card that its campaign wrote goes with it. Left out on purpose: pushing it anywhere.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tft.errors import Problem, UserError
from tft.examination import find_student
from tft.report.files import CARD
from tft.student import write_checkpoint
from tft.student.saved import HEAD

if TYPE_CHECKING:
    from pathlib import Path

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
        remedy = "serve it with this package" if student.adapter.type == "bottleneck" else "export it with --adapter"
        raise UserError(Problem(f"{merged}, and cannot be merged", key="STUDENT", remedy=remedy))
    model, tokenizer = merged

    def save(aside: Path) -> None:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)

    write_checkpoint(folder, save)
