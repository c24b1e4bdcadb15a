# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""An HTTP server on a unix socket with canned answers, for tests of the operator's client.

    with unixhttp.serve(path, {("GET", "/plugins"): (200, [])}) as requests:
        ...
    requests[0].path, requests[0].body

An answer is (status, document); a document that is bytes is sent as it is. A list of answers is
used up in order. Paths are matched without their query.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Answer = tuple[int, Any]


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = False
    answers: dict[tuple[str, str], Any]
    requests: list[Request]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        """A test has no use for a log."""

    def _answer(self) -> None:
        self.server.requests.append(
            Request(self.command, self.path, dict(self.headers.items()), self._body())
        )
        key = (self.command, self.path.partition("?")[0])
        answer = self.server.answers.get(key, (404, {"message": f"no {key}"}))
        status, document = answer.pop(0) if isinstance(answer, list) else answer
        raw = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        if status != 204:
            self.wfile.write(raw)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        whole = b""
        while size := int(self.rfile.readline(), 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815 - the base class's names


@contextlib.contextmanager
def serve(path: Path, answers: dict[tuple[str, str], Any]) -> Iterator[list[Request]]:
    """Serve for the length of the block; yield the requests, as they come."""
    with _Server(str(path), _Handler) as server:
        server.answers = answers
        server.requests = []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.requests
        finally:
            server.shutdown()
            thread.join()
