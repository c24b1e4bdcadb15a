# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Seccomp and limits under runc: what the kernel answers to a plugin, and how it ends."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from plugind.model.confinement import Confinement
from plugind.model.facts import MemoryKill
from plugind.model.seccomp import Seccomp
from support import rootfs
from support.runtime_room import ID, Room, real_room

pytestmark = pytest.mark.root
EPERM, EAGAIN, ENOSYS = 1, 11, 38
#: keyctl, unshare, io_uring_setup, open_by_handle_at, clone3, mount
_CALLS = {
    "x86_64": (250, 272, 425, 304, 435, 165),
    "aarch64": (219, 97, 425, 265, 435, 40),
}
#: Make each call with arguments that do no harm; print its errno, 0 for success.
_PROBE = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    ctypes.set_errno(0)
    answer = libc.syscall(*map(ctypes.c_long, arguments))
    print(name, ctypes.get_errno() if answer == -1 else 0)
call("keyctl", {0}, 0, -3, 0)
call("unshare", {1}, 0x04000000)
call("unshare-files", {1}, 0x400)
call("io_uring_setup", {2}, 0, 0)
call("open_by_handle_at", {3}, -1, 0, 0)
call("clone3", {4}, 0, 0)
call("mount", {5}, 0, 0, 0, 0, 0)
"""
_FORKS = """
import os, signal
made = []
try:
    while len(made) < 100:
        pid = os.fork()
        if pid == 0:
            signal.pause()
        made.append(pid)
except OSError as error:
    print(len(made), error.errno)
"""
_EATS = """
eaten = []
while True:
    eaten.append(bytearray(1 << 20))
"""


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    async with real_room(tmp_path) as found:
        yield found


async def answers(
    room: Room, seccomp: str = "default", capabilities: tuple[str, ...] = ()
) -> dict[str, int]:
    """Return the errno of each call in a plugin."""
    numbers = _CALLS.get(os.uname().machine)
    if numbers is None:
        # A call's number differs from machine to machine; _CALLS has those that the agent is for.
        pytest.skip("needs a machine whose calls are numbered here")
    confinement = Confinement(seccomp=Seccomp(name=seccomp))
    script = _PROBE.format(*numbers)
    container = await room.start(
        entrypoint=(rootfs.PYTHON, "-c", script), capabilities=capabilities, confinement=confinement
    )
    assert await container.wait() == 0, room.log.read_text()
    await container.delete()
    lines = [line.split()[3:] for line in room.log.read_text().splitlines()]
    room.log.unlink()
    return {name: int(number) for name, number in lines}


async def test_what_is_denied_and_what_a_granted_capability_allows(room: Room) -> None:
    plain = await answers(room)
    unshares_files = plain.pop("unshare-files")
    assert plain.pop("clone3") == ENOSYS
    assert set(plain.values()) == {EPERM}
    assert unshares_files == 0, "it makes no namespace"
    granted = await answers(room, capabilities=("CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"))
    assert granted["io_uring_setup"] == EPERM
    assert granted["unshare"] == 0
    for name in ("keyctl", "open_by_handle_at", "clone3", "mount"):
        assert granted[name] not in (EPERM, ENOSYS), name
    free = await answers(room, seccomp="unconfined")
    assert free["keyctl"] not in (EPERM, ENOSYS)
    assert free["clone3"] != ENOSYS


async def test_a_limit_of_processes_makes_fork_fail(room: Room) -> None:
    container = await room.start(
        entrypoint=(rootfs.PYTHON, "-c", _FORKS), confinement=Confinement(pids=5)
    )
    assert await container.wait() == 0
    made, error = room.log.read_text().split()[-2:]
    assert int(made) < 5
    assert int(error) == EAGAIN
    assert container.memory_kill() is None


async def test_a_limit_of_memory_kills_and_says_so(room: Room) -> None:
    confinement = Confinement(memory=48 << 20)
    container = await room.start(entrypoint=(rootfs.PYTHON, "-c", _EATS), confinement=confinement)
    adopted = await room.another_agent().adopt(ID)
    assert await container.wait() == 137
    assert container.memory_kill() == MemoryKill(limit=48 << 20)
    if adopted is not None:  # it may have ended by then
        assert await adopted.wait() in (137, None)
        assert adopted.memory_kill() == MemoryKill(limit=48 << 20)
    await container.delete()
    assert container.memory_kill() is None


async def test_a_share_of_the_processors_is_in_the_cgroup(room: Room) -> None:
    container = await room.start(confinement=Confinement(cpus=1.5))
    await room.listening(container)
    assert await asyncio.to_thread(read_quota) == "150000"
    await container.stop(10)


def read_quota() -> str:
    """Return the microseconds that the plugin may run in each period."""
    v1 = Path(f"/sys/fs/cgroup/cpu/plugind/{ID}/cpu.cfs_quota_us")
    v2 = Path(f"/sys/fs/cgroup/plugind/{ID}/cpu.max")
    return (v1 if v1.exists() else v2).read_text().split()[0]
