# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Processes by descriptor: opened, signalled, awaited."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess

from plugind.host import pidfd


def test_start_time_names_a_process() -> None:
    mine = pidfd.start_time(os.getpid())
    assert mine is not None
    assert mine == pidfd.start_time(os.getpid())
    assert pidfd.start_time(2**22 + 1) is None


def test_what_does_not_exist_cannot_be_opened() -> None:
    for pid in (2**22 + 1, 0, -1):
        assert pidfd.open_pidfd(pid) is None


def sleeping() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "1000"])


async def test_the_end_of_a_process_is_an_event() -> None:
    child = sleeping()
    fd = pidfd.open_pidfd(child.pid)
    assert fd is not None
    waiting = asyncio.ensure_future(pidfd.wait(fd))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert pidfd.send_signal(fd, signal.SIGTERM)
    await waiting
    assert child.wait() == -signal.SIGTERM
    assert not pidfd.send_signal(fd, signal.SIGTERM)
    os.close(fd)


async def test_giving_up_leaves_nothing_on_the_loop() -> None:
    fd = pidfd.open_pidfd(os.getpid())
    assert fd is not None
    waiting = asyncio.ensure_future(pidfd.wait(fd))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert not asyncio.get_running_loop().remove_reader(fd)
    os.close(fd)
