# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Processes that are not our children, by file descriptor: no polling, no reuse of numbers.

A pidfd becomes readable when its process has ended, and never means another process.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from pathlib import Path


def open_pidfd(pid: int) -> int | None:
    """Return a descriptor of the process, or None if there is none of that number."""
    try:
        return os.pidfd_open(pid)
    except OSError as exc:
        # EINVAL, ENOENT: no number of a process, or by now that of somebody's thread.
        if exc.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):
            return None
        raise


def start_time(pid: int) -> int | None:
    """Return when the process was started, in ticks since boot, or None if it is gone.

    A number and its start time name a process for good; compare them after opening the pidfd.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name of the program stands in parentheses and may hold anything; field 22 counts from 1.
    return int(text.rpartition(")")[2].split()[19])


def send_signal(fd: int, number: int) -> bool:
    """Signal the process; False if it has ended already."""
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    return True


async def wait(fd: int) -> None:
    """Wait until the process has ended. One waiter a descriptor."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, note)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
