# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who may use the socket: root, the agent's own user, members of its group.

The socket's mode keeps others out already; this is the second lock, for a socket that was opened
wider than it should be. Groups are those the peer had when it connected, as for the file's mode.
"""

from __future__ import annotations

import asyncio
import enum
import os
import socket
import struct
from dataclasses import dataclass

from plugind import errors
from plugind.host import peercred

# <asm-generic/socket.h>; Python has no name for it.
_SO_PEERGROUPS = 59
# getsockopt takes at most 1024 bytes in Python: 256 groups.
_MAX_GROUPS = 1024


class Access(enum.Enum):
    """What a route does to the engine's state."""

    READ = "read"
    WRITE = "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """The client's user, every group it is in, and its process (0: unknown)."""

    uid: int
    groups: frozenset[int]
    pid: int = 0


def peer_of(transport: asyncio.Transport | None) -> Peer:
    """Return who is at the other end; Forbidden if the kernel cannot say."""
    connection = transport.get_extra_info("socket") if transport else None
    if connection is None or connection.family != socket.AF_UNIX:
        raise errors.Forbidden("cannot tell who is calling: not a unix socket")
    try:
        peer = peercred.peer_credentials(connection)
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MAX_GROUPS)
    except OSError as exc:
        raise errors.Forbidden(f"cannot tell who is calling: {exc}") from exc
    groups = struct.unpack(f"{len(raw) // 4}I", raw)
    return Peer(uid=peer.uid, groups=frozenset({peer.gid, *groups}), pid=peer.pid)


def require_root(peer: Peer | None) -> None:
    """Raise Forbidden unless the peer is root: not even the group of the socket sees secrets."""
    if peer is None or peer.uid != 0:
        raise errors.Forbidden("cannot show secrets: only root may see them")


def require_member(peer: Peer, group_gid: int | None) -> None:
    """Raise Forbidden unless the peer may use the socket."""
    if peer.uid in (0, os.geteuid()):
        return
    if group_gid is None or group_gid not in peer.groups:
        raise errors.Forbidden(
            f"access denied: uid {peer.uid} is neither root nor in the group of the socket"
        )
