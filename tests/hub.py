"""A small hub for tests: as much of the hub's API as sending a folder takes, over HTTP."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "hf_right"


class Hub(ThreadingHTTPServer):
    """Keeps what it is sent: for each repository whether it is private, and its files."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.private: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.read_only = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: Any) -> None:
        """Keep tests quiet."""

    def do_GET(self) -> None:
        if self._is_known():
            self._say(200, {"name": "ada", "type": "user"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_known():
            return
        if self.server.read_only:
            self._say(403, {"error": "this token may only read"})
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'ada'}/{asked['name']}"
            told = {"url": f"{self.server.url}/{name}"}
            if name in self.server.files:
                self._say(409, told)
                return
            self.server.private[name] = asked.get("visibility") == "private"
            self.server.files[name] = {}
            self._say(200, told)
        elif self.path.endswith("/preupload/main"):
            paths = [it["path"] for it in json.loads(body)["files"]]
            self._say(200, {"files": [{"path": it, "uploadMode": "regular", "shouldIgnore": False} for it in paths]})
        elif self.path.endswith("/commit/main"):
            name = self.path.removeprefix("/api/models/").removesuffix("/commit/main")
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.server.files[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            self._say(200, {"commitUrl": f"{self.server.url}/{name}/commit/1", "commitOid": "1", "hookOutput": ""})
        else:
            self._say(200, {"errors": [], "warnings": []})

    def _is_known(self) -> bool:
        known = self.headers["Authorization"] == f"Bearer {TOKEN}"
        if not known:
            self._say(401, {"error": "Invalid username or password."})
        return known

    def _say(self, status: int, body: dict[str, Any]) -> None:
        told = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)


@contextmanager
def hub() -> Iterator[Hub]:
    """Run a hub."""
    with Hub() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()
