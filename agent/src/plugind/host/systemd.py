# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The service manager's two protocols: readiness (sd_notify) and sockets handed over.

Both are a few lines of environment; without a service manager they do nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from plugind import errors

READY = "READY=1"
STOPPING = "STOPPING=1"
_FIRST_FD = 3


def notify(*lines: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send lines such as READY to the service manager; False if there is none."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto("\n".join(lines).encode(), address)
    except OSError as exc:
        raise errors.System(f"cannot notify the service manager: {exc.strerror}") from exc
    return True


def listen_sockets(
    environ: Mapping[str, str] = os.environ, *, first_fd: int = _FIRST_FD
) -> list[socket.socket]:
    """Return the sockets that the service manager opened for this process, in its order."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    try:
        count = int(environ.get("LISTEN_FDS", ""))
    except ValueError:
        raise errors.System(
            f"cannot take over sockets: LISTEN_FDS is {environ.get('LISTEN_FDS')!r}"
        ) from None
    sockets = []
    for fd in range(first_fd, first_fd + count):
        os.set_inheritable(fd, False)
        sockets.append(socket.socket(fileno=fd))
    return sockets
