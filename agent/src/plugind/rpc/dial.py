# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Getting hold of a plugin's socket: naming it safely, and knowing when somebody listens.

The plugin owns the directory of its socket, so a name in it may be anything. It is opened without
following links and must be a socket; connecting goes through /proc/self/fd, which also lifts the
limit of 107 bytes on a socket's path.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import Awaitable, Iterator
from pathlib import Path

from plugind import errors, log
from plugind.host import inotify

_SHORTEST = 0.001
_LONGEST = 0.1


@contextlib.contextmanager
def address(path: Path) -> Iterator[str]:
    """Yield an address for connect(2) that means the socket at `path` and nothing else."""
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise ConnectionRefusedError(111, "is not a socket", str(path))
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


async def wait_listening(path: Path, deadline: float, *, exited: Awaitable[int | None]) -> None:
    """Return once `path` accepts a connection; nothing is sent.

    Unavailable if it does not within `deadline` seconds, or as soon as `exited` is done.
    """
    gone = asyncio.ensure_future(exited)
    listening = asyncio.ensure_future(_until_listening(path))
    try:
        await asyncio.wait((gone, listening), timeout=deadline, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise errors.Unavailable(f'cannot connect to "{path}": its process has ended')
        if listening.done():
            return listening.result()
        reason = probe(path) or "it answered too late"
        raise errors.Unavailable(f'cannot connect to "{path}" within {deadline:g} s: {reason}')
    finally:
        await _cancel(listening)
        if gone is not exited:  # we made it out of a coroutine
            await _cancel(gone)


def probe(path: Path) -> str | None:
    """Return None if somebody listens on `path`, otherwise why a connection fails."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as attempt:
        try:
            with address(path) as name:
                attempt.connect(name)
        except BlockingIOError:
            return None  # the queue of connections is full: somebody listens, and is busy
        except OSError as exc:
            return (exc.strerror or str(exc)).lower()
    return None


async def _until_listening(path: Path) -> None:
    """Wait for the name to appear (an event), then for listen(2), of which no event tells."""
    delay = _SHORTEST
    while probe(path) is not None:
        if _is_absent(path) and await _appears(path):
            delay = _SHORTEST
        else:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST)


async def _appears(path: Path) -> bool:
    """Wait until the name appears, but not for long: a restart replaces the whole directory.

    False if its directory cannot be watched.
    """
    with _watch(path.parent) as changes:
        if changes is None:
            return False
        if _is_absent(path):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LONGEST):
                    await changes.wait_for(path.name)
        return True


def _is_absent(path: Path) -> bool:
    return not os.path.lexists(path)


@contextlib.contextmanager
def _watch(directory: Path) -> Iterator[inotify.Watch | None]:
    """Watch `directory`; None if it does not exist yet, or the host has no watches left."""
    with contextlib.ExitStack() as stack:
        try:
            changes = stack.enter_context(inotify.watch(directory))
        except OSError as exc:
            log.debug("cannot watch, polling instead", directory=directory, cause=exc)
            yield None
        else:
            yield changes


async def _cancel(task: asyncio.Future[None] | asyncio.Future[int | None]) -> None:
    task.cancel()
    await asyncio.wait((task,))
