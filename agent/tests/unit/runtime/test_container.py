# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container is two processes to watch; here both are ordinary children."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.runtime import bundle, container, oci


class Room:
    """A plugin and its conmon, played by two sleeping processes; a runtime that cannot kill."""

    def __init__(self, base: Path, plugin: str = "exec sleep 1000") -> None:
        self.box = bundle.Bundle(run=base, id="abc")
        self.box.write({})
        self.tools = oci.Oci(binary="/bin/false", root=base / "state")
        self.plugin = subprocess.Popen(["/bin/sh", "-c", plugin], stdout=subprocess.PIPE)
        self.conmon = subprocess.Popen(["/bin/sleep", "1000"])

    def container(self, *, with_conmon: bool = True) -> container.OciContainer:
        fd = os.pidfd_open(self.plugin.pid)
        conmon_fd = os.pidfd_open(self.conmon.pid) if with_conmon else None
        return container.OciContainer(self.box, self.tools, self.plugin.pid, fd, conmon_fd)

    def end_conmon(self, status: str | None) -> None:
        if status is not None:
            (self.box.exits / "abc").write_text(status)
        self.conmon.kill()

    def close(self) -> None:
        for process in (self.plugin, self.conmon):
            process.kill()
            process.wait()
        assert self.plugin.stdout is not None
        self.plugin.stdout.close()


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    made = Room(tmp_path)
    yield made
    made.close()


async def test_the_exit_status_is_conmons_last_word(room: Room) -> None:
    found = room.container()
    assert found.pid == room.plugin.pid
    waiting = asyncio.ensure_future(found.wait())
    room.plugin.kill()
    room.plugin.wait()
    done, _ = await asyncio.wait((waiting,), timeout=0.05)
    assert not done, "the plugin has ended, but conmon still has its status to write"
    room.end_conmon("137")
    assert await waiting == 137


async def test_without_an_exit_file_the_status_is_unknown(room: Room) -> None:
    found = room.container()
    room.end_conmon(None)
    room.plugin.kill()
    assert await found.wait() is None


async def test_without_conmon_the_plugins_end_is_enough(room: Room) -> None:
    found = room.container(with_conmon=False)
    (room.box.exits / "abc").write_text("1")
    room.plugin.kill()
    assert await found.wait() == 1
    assert await found.stop(1) == 1


async def test_kill_does_not_depend_on_the_runtime(tmp_path: Path) -> None:
    room = Room(tmp_path, "trap '' TERM; echo ready; while :; do sleep 1000; done")
    try:
        assert room.plugin.stdout is not None
        await asyncio.to_thread(room.plugin.stdout.readline)
        room.end_conmon("137")
        assert await room.container().stop(0.05) == 137
        assert room.plugin.wait() == -signal.SIGKILL
    finally:
        subprocess_children_end(room)
        room.close()


def subprocess_children_end(room: Room) -> None:
    """The shell's own sleep has lost its parent."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            link = os.readlink(entry / "fd" / "1")
            mine = os.readlink(f"/proc/self/fd/{room.plugin.stdout.fileno()}")  # type: ignore[union-attr]
        except OSError:
            continue
        if link == mine and entry.name != str(os.getpid()):
            os.kill(int(entry.name), signal.SIGKILL)


async def test_close_leaves_the_process_alone(room: Room) -> None:
    found = room.container()
    waiting = asyncio.ensure_future(found.wait())
    await asyncio.sleep(0)
    found.close()
    found.close()
    await asyncio.wait((waiting,))
    assert waiting.cancelled()
    assert room.plugin.poll() is None


async def test_delete_removes_the_bundle(room: Room) -> None:
    found = room.container()
    room.end_conmon("0")
    room.plugin.kill()
    await found.wait()
    await found.delete()
    await found.delete()
    assert not room.box.path.exists()
