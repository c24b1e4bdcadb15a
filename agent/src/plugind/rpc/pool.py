# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Connections to one plugin's socket that are kept from one call to the next.

A kept connection may be closed by the plugin just when a request goes out, and then nobody could
tell whether the request was carried out. So one is used again only within a second, which is less
than any server's own limit, and only if it shows neither an end nor bytes that nobody asked for.

Many plugins serve one connection at a time: such a plugin sits on a kept connection while another
call waits to be let in. So nothing is kept while a connection is waiting for its first answer.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from plugind.rpc import connection as connection_
from plugind.rpc.connection import Connection

#: Seconds. gunicorn closes after 2, uvicorn and Node after 5, Go never.
IDLE = 1.0
_MAX_IDLE = 4


class Pool:
    """The connections to the socket at `path`; the idle ones, and who waits for an answer."""

    def __init__(self, path: Path, *, idle: float = IDLE) -> None:
        self._path = path
        self._limit = idle
        self._idle: list[tuple[Connection, asyncio.TimerHandle]] = []
        self._busy: set[Connection] = set()
        self._closed = False

    async def take(self) -> Connection:
        """Return a kept connection, the latest first, or a new one (`connection.connect`)."""
        while self._idle:
            kept, timer = self._idle.pop()
            timer.cancel()
            if kept.is_quiet():
                self._busy.add(kept)
                return kept
            kept.close()
        made = await connection_.connect(self._path)
        self._busy.add(made)
        return made

    def give(self, connection: Connection) -> None:
        """Take a connection back: keep it if it can be used again, close it otherwise."""
        self._busy.discard(connection)
        if (
            self._closed
            or not connection.reusable
            or len(self._idle) >= _MAX_IDLE
            or not all(other.answered for other in self._busy)
        ):
            connection.close()
            return
        timer = asyncio.get_running_loop().call_later(self._limit, self._expire, connection)
        self._idle.append((connection, timer))

    def drop_idle(self) -> None:
        """Close what is kept, so that the next connection is a new one."""
        while self._idle:
            kept, timer = self._idle.pop()
            timer.cancel()
            kept.close()

    def close(self) -> None:
        """Close what is kept, and keep nothing from now on. Calls under way go on."""
        self._closed = True
        self.drop_idle()

    def _expire(self, connection: Connection) -> None:
        self._idle = [(kept, timer) for kept, timer in self._idle if kept is not connection]
        connection.close()
