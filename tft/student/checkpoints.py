"""Checkpoint folders: written aside, listed in a manifest with sha256, and renamed into place.

A folder that has its final name is whole; one whose bytes do not match its manifest is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING

from tft.errors import StageError
from tft.records import digest_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "manifest.json"


def write_checkpoint(folder: Path, save: Callable[[Path], None]) -> str:
    """Write a checkpoint folder all or nothing.

    Args:
        folder: its final place; one that is already there is replaced.
        save: writes the files into the folder it is given.

    Returns:
        The sha256 of the manifest.

    Raises:
        StageError: if the files cannot be written.
    """
    aside = folder.with_name(f".{folder.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        aside.mkdir(parents=True)
        save(aside)
        manifest = {path.name: digest_file(path) for path in sorted(aside.iterdir())}
        text = json.dumps(manifest, indent=1).encode()
        (aside / MANIFEST).write_bytes(text)
        for path in aside.iterdir():
            _flush(path)
        if folder.exists():
            shutil.rmtree(folder)
        aside.rename(folder)
        _flush(folder.parent)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise StageError(f"the checkpoint {folder} cannot be written: {error}") from error
    return hashlib.sha256(text).hexdigest()


def read_checkpoint(folder: Path, digest: str) -> Path:
    """Verify a checkpoint folder, byte by byte, and give it back.

    Raises:
        StageError: if it is missing or any file of it differs from what was written.
    """
    try:
        manifest = (folder / MANIFEST).read_bytes()
        damaged = [] if hashlib.sha256(manifest).hexdigest() == digest else [MANIFEST]
        for name, expected in json.loads(manifest).items() if not damaged else ():
            if not (folder / name).is_file() or digest_file(folder / name) != expected:
                damaged.append(name)
    except OSError as error:
        raise StageError(f"the checkpoint {folder} cannot be read: {error}") from error
    if damaged:
        raise StageError(f"the checkpoint {folder} is damaged: {', '.join(damaged)} differs from its manifest")
    return folder


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
