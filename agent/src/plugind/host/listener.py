# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A unix socket that listens before its name is there, and takes the place of an older one."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
from pathlib import Path


def listen_at(path: Path, *, backlog: int) -> socket.socket:
    """Return a socket, for its owner alone, that listens at `path`; the name appears by one rename.

    The directory exists. OSError says why not.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    staged = f".{secrets.token_hex(8)}"
    try:
        # By a descriptor: this name may be longer than the final one, which just fits.
        fd = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            listener.bind(f"/proc/self/fd/{fd}/{staged}")
            os.chmod(staged, 0o600, dir_fd=fd)
            listener.listen(backlog)
            os.rename(staged, path.name, src_dir_fd=fd, dst_dir_fd=fd)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=fd)
            os.close(fd)
    except BaseException:
        listener.close()
        raise
    return listener
