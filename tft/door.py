"""How every command ends: with an exit code, and a message that says what to do instead of a traceback.

0 done · 1 the campaign failed · 2 the user's input is wrong · 3 the environment cannot · 130 interrupted
"""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tft.errors import TFTError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


class Door(click.Group):
    """The group of all commands; it turns what they raise into exit codes."""

    logs: Path | None = None
    """Where the traceback of the unexpected goes; None means a temporary file."""
    resumable = False
    """Whether the same command would continue what was interrupted."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: ARG002  # every call from outside ends here
        **extra: Any,
    ) -> Any:
        """Run a command and exit."""
        self.logs, self.resumable = None, False
        code = 0
        try:
            code = super().main(args, prog_name or "tft", complete_var, standalone_mode=False, **extra) or 0
        except click.ClickException as error:
            error.show()
            code = 2
        except (click.Abort, KeyboardInterrupt):
            code = self._interrupted()
        except Exception as error:  # this is where everything ends
            code = self._failed(error)
        sys.exit(code)

    def _interrupted(self) -> int:
        again = "; the same command continues it" if self.resumable else ""
        click.echo(f"\ninterrupted{again}", err=True)
        return INTERRUPTED

    def _failed(self, error: Exception) -> int:
        own = find_own(error)
        if isinstance(own, KeyboardInterrupt):
            return self._interrupted()
        if os.environ.get("TFT_TRACEBACK") == "1":
            traceback.print_exception(error)
        if own is not None:
            click.echo(str(own), err=True)
            return own.exit_code
        # It reads what is installed, which takes longer than `tft --help`.
        from tft.plugins import at_work

        path = _write_traceback(error, self.logs)
        other = at_work(error)
        theirs = f"It came through {other}, which is not tft's: look there first."
        whose = theirs if other else "This is a mistake of tft's, not yours."
        click.echo(
            f"unexpected {type(error).__name__}: {error}\n"
            f"    {whose} Its traceback lies in {path}"
            f"{'; the same command continues what was done' if self.resumable else ''}",
            err=True,
        )
        return 1


def find_own(error: BaseException) -> TFTError | KeyboardInterrupt | None:
    """Find the error that this package raised on purpose, also inside the groups that tasks make."""
    if isinstance(error, TFTError | KeyboardInterrupt):
        return error
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return next((own for own in map(find_own, inner) if own is not None), None)


def _write_traceback(error: Exception, logs: Path | None) -> Path:
    folder = logs if logs is not None and logs.parent.is_dir() else None
    if folder is not None:
        folder.mkdir(exist_ok=True)
    descriptor, name = tempfile.mkstemp(".txt", "traceback-", folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        traceback.print_exception(error, file=file)
    return Path(name)
