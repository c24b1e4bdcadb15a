# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""As much of an engine's API as `plugind run` uses, on a unix socket, with commands in Python.

    with container_engine.serve(path) as engine:
        ...                     # {"image": "app:1", "command": ["echo", "hello"]}
    engine.calls                # [("POST", "/containers/create"), ...]

A command is the first word of Cmd: one of `COMMANDS`, which gets the container and writes to it.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import struct
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


class Container:
    """A container from its creation to its end."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.body = body
        self.args: list[str] = body["Cmd"][1:]
        self.handler: Any = None
        self.attached = threading.Event()
        self.started = threading.Event()
        self.ended = threading.Event()
        self.killed = threading.Event()
        self.output_read = threading.Event()
        self.status = 0

    def write(self, data: bytes, stream: int = 1) -> None:
        """Write a frame."""
        self.raw(struct.pack(">BxxxL", stream, len(data)) + data)

    def raw(self, data: bytes) -> None:
        """Write bytes; nobody has to read them."""
        with contextlib.suppress(OSError):
            self.handler.wfile.write(data)

    def read(self) -> bytes:
        """Read the input to its end."""
        found: bytes = self.handler.rfile.read()
        return found


def _echo(container: Container) -> None:
    container.write(" ".join(container.args).encode())
    container.write(b"on the side", 2)


def _cat(container: Container) -> None:
    container.write(container.read())


def _exit(container: Container) -> None:
    container.status = int(container.args[0])


def _hang(container: Container) -> None:
    container.write(b"so far")
    container.killed.wait()


def _deaf(container: Container) -> None:
    """Close the output, and go on."""
    container.write(b"so far")
    container.handler.connection.shutdown(2)
    container.killed.wait()


def _flood(container: Container) -> None:
    while not container.killed.is_set():
        container.write(b"x" * 65536)


def _half(container: Container) -> None:
    container.raw(struct.pack(">BxxxL", 1, 100) + b"only this")
    container.handler.connection.shutdown(2)
    container.killed.wait()


def _terminal(container: Container) -> None:
    container.raw(b"no frames at all")
    container.killed.wait()


def _system(container: Container) -> None:
    container.write(b"disk full", 3)
    container.killed.wait()


def _bytes(container: Container) -> None:
    container.write(b"\xff\xfe")


COMMANDS: dict[str, Callable[[Container], None]] = {
    "echo": _echo, "cat": _cat, "exit": _exit, "hang": _hang, "deaf": _deaf, "flood": _flood,
    "half": _half, "terminal": _terminal, "system": _system, "bytes": _bytes,
}  # fmt: skip
ID = "c" * 64


class Engine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """One engine with at most one container."""

    daemon_threads = False

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.url = f"unix://{path}"
        self.images = {"app:1"}
        self.registry: set[str] = set()
        self.container: Container | None = None
        self.removed = False
        self.calls: list[tuple[str, str]] = []
        self.credentials = ""
        #: (method, last word of the path) -> (status, message), instead of what it would do
        self.refusals: dict[tuple[str, str], tuple[int, str]] = {}
        self.on_start: Callable[[], None] = lambda: None
        self.dead = False
        self.removal_error = ""

    def die(self) -> None:
        """Break off what goes on and refuse connections."""
        assert self.container is not None
        self.dead = True
        self.container.killed.set()
        self.container.ended.set()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Engine
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        """A test has no use for a log."""

    def _dispatch(self) -> None:
        path, _, query = self.path.partition("?")
        self.server.calls.append((self.command, path))
        if self.server.dead:
            self.close_connection = True
            return
        verb = path.rpartition("/")[2]
        refusal = self.server.refusals.get((self.command, verb))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if refusal:
            self._json(refusal[0], {"message": refusal[1]})
        elif self.command == "DELETE":
            self._remove()
        elif path.startswith("/images/"):
            self._image(path, dict(urllib.parse.parse_qsl(query)))
        elif verb == "create":
            self.server.container = Container(json.loads(body))
            self._json(201, {"Id": ID, "Warnings": ["no swap limit"]})
        else:
            getattr(self, f"_{verb}")()

    do_GET = do_POST = do_DELETE = _dispatch  # noqa: N815 - the base class's names

    def _json(self, status: int, document: Any) -> None:
        raw = json.dumps(document).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        # After a 204 nobody listens any more.
        if status != 204:
            self.wfile.write(raw)

    def _image(self, path: str, query: dict[str, str]) -> None:
        if self.command == "GET":
            name = path.removeprefix("/images/").removesuffix("/json")
            known = name in self.server.images
            self._json(*((200, {"Id": "sha256:1"}) if known else (404, {"message": "no image"})))
            return
        self.server.credentials = self.headers["X-Registry-Auth"]
        wanted = f"{query['fromImage']}:{query['tag']}"
        known = wanted in self.server.registry
        self.server.images |= {wanted} if known else set()
        self._json(200, {"status": "Done"} if known else {"error": "manifest unknown"})

    def _version(self) -> None:
        self._json(200, {})

    def _attach(self) -> None:
        container = self._container()
        container.handler = self
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        container.attached.set()
        self.end_headers()  # whoever reads it may start the container at once
        container.started.wait()
        COMMANDS[container.body["Cmd"][0]](container)
        container.ended.set()
        self.close_connection = True

    def _wait(self) -> None:
        container = self._container()
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.flush()
        container.ended.wait()
        self.close_connection = True
        if self.server.dead:
            return
        self.server.removed = True
        status = 137 if container.killed.is_set() else container.status
        with contextlib.suppress(OSError):
            error = {"Message": self.server.removal_error} if self.server.removal_error else None
            self.wfile.write(json.dumps({"StatusCode": status, "Error": error}).encode())

    def _start(self) -> None:
        container = self._container()
        assert container.attached.is_set(), "the output of a short command would be lost"
        assert ("POST", f"/containers/{ID}/wait") in self.server.calls
        container.started.set()
        self._json(204, None)
        self.server.on_start()

    def _kill(self) -> None:
        self._end(self._container())
        self._json(204, None)

    def _remove(self) -> None:
        self._end(self._container())
        self.server.removed = True
        self._json(204, None)

    def _end(self, container: Container) -> None:
        container.killed.set()
        container.started.set()
        container.ended.set()

    def _container(self) -> Container:
        assert self.server.container is not None
        return self.server.container


@contextlib.contextmanager
def serve(path: Path) -> Iterator[Engine]:
    """Serve for the length of the block."""
    with Engine(path) as engine:
        thread = threading.Thread(target=engine.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield engine
        finally:
            if engine.container is not None:
                engine.container.killed.set()
                engine.container.started.set()
                engine.container.ended.set()
            engine.shutdown()
            thread.join()
