# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Whoever reads what a verb prints may end before it does: `plugind logs -f x | head -1`."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator

from plugind.ctl import wire


@contextlib.contextmanager
def followed(connection: http.client.HTTPConnection) -> Iterator[None]:
    """Print what comes over a connection until it ends, or nobody can read standard output any more.

    A write would find that out, but there may be nothing to write for months: so it is looked for
    beside it, and the connection is shut down. Neither is an error of the block's then.
    """
    gone = threading.Event()
    with _watched(connection.sock, gone):
        try:
            yield
        except BrokenPipeError:
            # What is still buffered must not be an error again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except wire.Unreachable:
            if not gone.is_set():
                raise


@contextlib.contextmanager
def _watched(opened: socket.socket, gone: threading.Event) -> Iterator[None]:
    over, over_too = os.pipe()
    poll = select.poll()
    if sys.stdout is not None:  # closed from the start (`>&-`): nobody ever reads
        poll.register(sys.stdout.fileno(), 0)  # an error and a hang-up are always reported
    poll.register(over, 0)

    def watch() -> None:
        if any(fd != over for fd, _ in poll.poll()):
            gone.set()
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=watch, name="reader of standard output", daemon=True)
    thread.start()
    try:
        yield
    finally:
        os.close(over_too)
        thread.join()
        os.close(over)
