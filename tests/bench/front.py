# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a front costs: a call through it and one at the plugin's own socket, in turn, in one run.

    python tests/bench/front.py [--calls N]

One JSON object a line: `ours` is the median through the front, `peer` that of the plugin's own socket,
in milliseconds, over `n` calls each. `new` makes a connection for each call, as dockerd and Podman do;
`kept` uses one for all.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from benchlib.cli import run
from benchlib.figures import Figure, figure, timed

from support import daemon

Call = Callable[[], None]
METHODS = {"get": ("Get", {"Name": "v"}), "list": ("List", {})}


def measure(*, calls: int = 2000) -> Iterator[Figure]:
    """Measure two methods in two ways."""
    daemon.require("runc", "conmon")
    with tempfile.TemporaryDirectory(prefix="bench-") as parent:
        place = Path(parent)
        plugin = daemon.build_plugin("localdir", place / "plugin")
        with daemon.run(place) as agent:
            agent.cli("plugin", "create", "bench", str(plugin))
            agent.cli("plugin", "enable", "bench")
            agent.cli("volume", "create", "--driver", "bench", "v")
            status = agent.plugin("bench")["Status"]
            sockets = Path(status["Front"]), Path(status["Socket"])
            for name, (method, body) in METHODS.items():
                for kind, connection in (("new", new), ("kept", kept)):
                    ours, peer = times(connection, sockets, request(method, body), calls)
                    yield figure(f"front_{name}_{kind}", ours, peer)


def request(method: str, body: object) -> bytes:
    """One call of the plugin."""
    content = json.dumps(body).encode() + b"\n"
    head = f"POST /VolumeDriver.{method} HTTP/1.1\r\nHost: plugin\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def times(
    connection: Callable[[Path, bytes], contextlib.AbstractContextManager[Call]],
    sockets: tuple[Path, Path],
    content: bytes,
    count: int,
) -> tuple[list[float], list[float]]:
    """Time both sockets in turn."""
    spent: tuple[list[float], list[float]] = ([], [])
    with contextlib.ExitStack() as stack:
        calls = [stack.enter_context(connection(path, content)) for path in sockets]
        for number in range(count + count // 10):
            for side in (0, 1) if number % 2 else (1, 0):
                milliseconds = timed(calls[side])
                if number >= count // 10:  # the first ones warm both up
                    spent[side].append(milliseconds)
    return spent


@contextlib.contextmanager
def new(path: Path, request: bytes) -> Iterator[Call]:
    """Give a call on a connection of its own."""

    def call() -> None:
        with connected(path) as connection:
            exchange(connection, request)

    yield call


@contextlib.contextmanager
def kept(path: Path, request: bytes) -> Iterator[Call]:
    """Give a call on one connection for all."""
    with connected(path) as connection:
        yield lambda: exchange(connection, request)


def connected(path: Path) -> socket.socket:
    """Connect to a socket."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(str(path))
    return connection


def exchange(connection: socket.socket, request: bytes) -> None:
    """Send a request and receive the whole answer."""
    connection.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise SystemExit(f"not an answer: {received!r}")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)


if __name__ == "__main__":
    sys.exit(run(measure))
