# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A proxy on a unix socket that keeps every byte that was answered.

with recorder.run(tmp_path / "proxy.sock", agent.socket) as recorded:
    ...                                   # clients connect to the proxy
    recorded.answered                     # what the other side sent, of all connections
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path


class Recorder:
    """Forwards connections from `path` to `target`."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path = path
        self._target = target
        self._pieces: list[bytes] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()

    @property
    def answered(self) -> bytes:
        """Every byte that clients were sent."""
        return b"".join(self._pieces)

    def serve(self) -> None:
        """Accept until the listener is shut down."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._open += [client, server]
            server.connect(str(self._target))
            for source, sink, keeps in ((client, server, False), (server, client, True)):
                thread = threading.Thread(target=self._copy, args=(source, sink, keeps))
                self._threads.append(thread)
                thread.start()

    def close(self) -> None:
        """Cut what is still open, and wait for every thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in self._open:
            end.close()

    def _copy(self, source: socket.socket, sink: socket.socket, keeps: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if keeps:
                    self._pieces.append(piece)
                sink.sendall(piece)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def run(path: Path, target: Path) -> Iterator[Recorder]:
    """Run a recorder for the length of the block."""
    recorder = Recorder(path, target)
    thread = threading.Thread(target=recorder.serve)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.close()
        thread.join()
