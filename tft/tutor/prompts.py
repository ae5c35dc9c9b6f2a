"""The prompts of a tutor: where they lie, and how they are read. Templates render in Jinja's sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jinja2 import StrictUndefined
from jinja2.sandbox import SandboxedEnvironment

from tft.errors import PrerequisiteError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from jinja2 import Template

_SANDBOX = SandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=False)


def find_prompt(folders: Sequence[Path], name: str) -> Path:
    """Find the file of a prompt: in the folder of the card, or else of a card that it extends."""
    paths = [folder / "prompts" / name for folder in folders]
    return next((path for path in paths if path.is_file()), paths[0])


def read_prompt(folders: Sequence[Path], name: str) -> str:
    """Read the text of a prompt.

    Raises:
        PrerequisiteError: if it cannot be read.
    """
    path = find_prompt(folders, name)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PrerequisiteError(f"the prompt {path} of this tutor cannot be read: {error}") from error


def compile_prompt(source: str) -> Template:
    """Make a template of a prompt's text; a value that it names and is not given is an error.

    Raises:
        TemplateError: if it is not one.
    """
    return _SANDBOX.from_string(source)
