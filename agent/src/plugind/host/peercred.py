# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who is at the other end of a unix socket, as the kernel knows it."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from pathlib import Path

_UCRED = struct.Struct("3i")
_NOBODY = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerCredentials:
    """Process, user and group of the peer at the time of connect(2)."""

    pid: int
    uid: int
    gid: int


def peer_credentials(connection: socket.socket) -> PeerCredentials:
    """Return the credentials of a connected unix socket's peer."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(raw)
    # Unsigned in the kernel; -1 is "nobody there", and must not look like an ordinary user.
    return PeerCredentials(pid=pid, uid=uid & _NOBODY, gid=gid & _NOBODY)


def program_of(pid: int) -> str:
    """Return the name of a process's program; empty if the process is gone."""
    return _read(pid, "comm")


def login_of(pid: int) -> int | None:
    """Return as whom a process's user has logged in, before any sudo; None if the kernel was not told."""
    uid = int(_read(pid, "loginuid") or _NOBODY)
    return None if uid == _NOBODY else uid


def _read(pid: int, name: str) -> str:
    try:
        return (
            Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace").rstrip("\n")
        )
    except OSError:
        return ""
