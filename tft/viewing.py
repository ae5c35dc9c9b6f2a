"""A live page of a run: the report card, built anew from the ledger when it has grown, on loopback.

It reads and writes nothing else. While the campaign runs, the page asks again every few seconds; once it has ended, it
stands still.
"""

from __future__ import annotations

import fcntl
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING, Any

from tft.errors import PrerequisiteError
from tft.ledger import Ledger
from tft.report import build_report, render_html

if TYPE_CHECKING:
    from pathlib import Path

EVERY = 5
"""Seconds after which the page of a campaign that runs is asked for again."""


class Viewer:
    """Serves one run on loopback.

    Args:
        folder: the run directory.
        port: where; 0 takes one that is free.

    Raises:
        PrerequisiteError: if the port is taken.
    """

    def __init__(self, folder: Path, port: int = 0) -> None:
        self._folder = folder
        self._lock = Lock()
        self._size = -1
        self._report: dict[str, Any] = {}
        viewer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers for this viewer."""

            def do_GET(self) -> None:
                """Send the page, or the report behind it."""
                known = {"/": viewer.page, "/report.json": viewer.json}
                make = known.get(self.path.partition("?")[0])
                body = b"" if make is None else make().encode()
                kind = "application/json" if self.path.startswith("/report.json") else "text/html"
                self.send_response(404 if make is None else 200)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except OSError as error:
            raise PrerequisiteError(
                f"port {port} cannot be used: {error.strerror}. Name another with --port"
            ) from error

    @property
    def address(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def serve(self) -> None:
        """Answer until ``close`` is called."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()

    def page(self) -> str:
        """Lay the page out, with the wish to be asked for again while the campaign runs."""
        page = render_html(self._read())
        if not is_running(self._folder):
            return page
        return page.replace("<head>", f'<head>\n<meta http-equiv="refresh" content="{EVERY}">', 1)

    def json(self) -> str:
        """Give the report as JSON."""
        return json.dumps(self._read(), ensure_ascii=False)

    def _read(self) -> dict[str, Any]:
        """Build the report, if anything happened since it was built."""
        with self._lock:
            events = self._folder / "events.jsonl"
            size = events.stat().st_size if events.is_file() else 0
            if size != self._size:
                ledger = Ledger(self._folder)
                try:
                    self._report = build_report(ledger)
                finally:
                    ledger.close()
                self._size = size
            return self._report


def is_running(folder: Path) -> bool:
    """Say whether a process holds a run directory."""
    lock = folder / ".lock"
    if not lock.is_file():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
