"""A live page of a run: the report card, built anew from the ledger when it has grown, on loopback.

It reads and writes nothing else. While the campaign runs, a script of the page asks every few seconds whether anything
has happened, and only then lays it out anew, with what is open and focused left so; once it has ended, it stands still.
"""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING, Any

from tft.errors import PrerequisiteError
from tft.holding import is_held
from tft.ledger import Ledger
from tft.report import build_report, render_html

if TYPE_CHECKING:
    from pathlib import Path


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
        self._state = ""
        self._report: dict[str, Any] = {}
        viewer = self

        class Handler(BaseHTTPRequestHandler):
            """Answers for this viewer."""

            def do_GET(self) -> None:
                """Send the page, or the report behind it."""
                known = {"/": viewer.page, "/report.json": viewer.json, "/state": viewer.state}
                make = known.get(self.path.partition("?")[0])
                body = b"" if make is None else make().encode()
                kind = "text/html" if make in (None, viewer.page) else "application/json"
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
        """Lay the page out; while the campaign runs, with the script that keeps it up to date."""
        running = is_held(self._folder)
        state, report = self._read()
        return render_html(report, live=state if running else None)

    def json(self) -> str:
        """Give the report as JSON."""
        return json.dumps(self._read()[1], ensure_ascii=False)

    def state(self) -> str:
        """Say whether the campaign runs, and name all that is known of it, as JSON."""
        # In this order: of a run that has ended, all is known.
        running = is_held(self._folder)
        return json.dumps({"running": running, "state": self._read()[0]})

    def _read(self) -> tuple[str, dict[str, Any]]:
        """Build the report, if anything happened since it was built."""
        with self._lock:
            ledger = Ledger(self._folder)
            try:
                state = ledger.state()
                if state != self._state:
                    self._report = build_report(ledger)
                    self._state = state
            finally:
                ledger.close()
            return self._state, self._report
