# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The ContainerRuntime and Process ports: the fake one, and runc under conmon."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fakes.container import FakeContainerMachine, FakeContainerRuntime
from plugind import errors
from plugind.engine import container_ports as ports
from plugind.runtime import OciRuntime
from plugind.runtime.console import Streams
from plugind.spec import defaults
from support import rootfs

ID = "c0ffee" + "1" * 58
#: What the fake calls a program, as a shell does it.
REAL = {
    "echo": ["echo", "hello"],
    "fail": ["sh", "-c", "echo failing >&2; exit 7"],
    "cat": ["cat"],
    "wait": ["sh", "-c", "trap 'exit 143' TERM; echo ready; while :; do sleep 0.05; done"],
    "missing": ["missing"],
}
FAKE = {"echo": ["echo", "hello"], "fail": ["fail", "7"]}


@dataclasses.dataclass
class Room:
    """One container's directories below `base`, and a runtime."""

    base: Path
    runtime: ports.ContainerRuntime
    real: bool

    @property
    def log(self) -> Path:
        return self.base / "logs" / f"{ID}.log"

    def spec(self, *args: str, tty: bool = False) -> dict[str, Any]:
        usr = {"destination": "/usr", "type": "bind", "source": "/usr", "options": ["rbind", "ro"]}
        return {
            "ociVersion": defaults.OCI_VERSION,
            "process": {
                "terminal": tty,
                "user": {"uid": 0, "gid": 0},
                "args": list(args),
                "env": [defaults.PATH],
                "cwd": "/",
            },
            "root": {"path": str(self.base / "rootfs"), "readonly": False},
            "mounts": [*defaults.mounts(), usr],
            "linux": {
                "cgroupsPath": f"/plugind/test-{self.base.name}",
                "namespaces": [{"type": name} for name in defaults.NAMESPACES],
                "resources": {"devices": defaults.device_rules()},
            },
        }

    async def start(self, program: str, streams: Streams | None = None) -> ports.Process:
        args = (REAL if self.real else FAKE).get(program, [program])
        spec = self.spec(*args)
        made = await self.runtime.create(ID, spec, self.log, streams or Streams())
        console = made.connect()
        assert console is not None
        await made.begin()
        if self.real and program == "wait":
            # The kernel keeps from a namespace's first process the signals that it does not catch yet.
            assert await console.read() == (1, b"ready\n")
        return made


@contextlib.asynccontextmanager
async def real_room(base: Path) -> AsyncIterator[Room]:
    """Run containers with runc below `base`."""
    if rootfs.REASON:
        pytest.skip(rootfs.REASON)
    rootfs.make_rootfs(base / "rootfs")
    runtime = OciRuntime(root=base / "runc", run=base / "run")
    yield Room(base, runtime, real=True)
    await runtime.purge(ID)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.root)])
async def room(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Room]:
    (tmp_path / "logs").mkdir()
    if request.param == "fake":
        yield Room(tmp_path, FakeContainerRuntime(FakeContainerMachine()), real=False)
        return
    async with real_room(tmp_path) as made:
        yield made


async def read_all(process: ports.Process) -> list[tuple[int, bytes]]:
    console = process.connect()
    assert console is not None
    pieces = []
    while (piece := await console.read()) is not None:
        pieces.append(piece)
    return pieces


async def finish(process: ports.Process) -> None:
    await process.delete()
    process.close()


async def test_output_and_exit_status(room: Room) -> None:
    process = await room.start("echo")
    assert await read_all(process) == [(1, b"hello\n")]
    assert await process.wait() == 0
    assert b"stdout F hello\n" in room.log.read_bytes()
    assert process.connect() is not None  # the same, once found
    await finish(process)
    process = await room.start("fail")
    assert await read_all(process) == [(2, b"failing\n")]
    assert await process.wait() == 7
    assert room.runtime.exit_status(ID) == 7
    await finish(process)
    assert await room.runtime.list_ids() == []
    assert room.runtime.exit_status(ID) is None


async def test_input_to_its_end(room: Room) -> None:
    process = await room.start("cat", Streams(stdin=True, stdin_once=True))
    console = process.connect()
    assert console is not None
    await console.write(b"one\n")
    console.end_input()
    assert b"".join(data for _, data in await read_all(process)) == b"one\n"
    assert await process.wait() == 0
    await finish(process)


async def test_signals(room: Room) -> None:
    process = await room.start("wait")
    assert process.signal(signal.SIGTERM)
    assert await process.wait() == 143
    await finish(process)
    process = await room.start("wait")
    await process.kill()
    assert await process.wait() == 137
    await finish(process)


async def test_a_program_that_is_not_there(room: Room) -> None:
    with pytest.raises(errors.System, match="executable file not found in"):
        await room.start("missing")
    await room.runtime.purge(ID)
    assert await room.runtime.list_ids() == []


async def test_adopting(room: Room) -> None:
    process = await room.start("wait")
    again = await room.runtime.adopt(ID)
    assert again is not None
    assert again.pid == process.pid
    assert again.connect() is not None
    waiting = asyncio.create_task(again.wait())
    again.signal(signal.SIGTERM)
    assert await waiting == await process.wait() == 143
    assert await room.runtime.adopt(ID) is None
    again.close()
    await finish(process)


# ------------------------------------------------------------------------- what only the real has


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Room]:
    (tmp_path / "logs").mkdir()
    async with real_room(tmp_path) as made:
        yield made


async def run(
    room: Room, script: str, streams: Streams, said: bytes = b""
) -> tuple[int | None, bytes]:
    """Run a script to its end; return its status and output."""
    spec = room.spec("sh", "-c", script, tty=streams.terminal)
    process = await room.runtime.create(ID, spec, room.log, streams)
    console = process.connect()
    assert console is not None
    console.resize(33, 77)
    await process.begin()

    async def say() -> None:
        await console.write(said)
        console.end_input()

    saying = asyncio.create_task(say()) if said else None
    output = b"".join(data for _, data in await read_all(process))
    if saying is not None:
        await saying
    status = await process.wait()
    await finish(process)
    return status, output


@pytest.mark.root
async def test_nothing_of_a_lot_is_lost(real: Room) -> None:
    """Neither way, though everything on the way holds less."""
    once = Streams(stdin=True, stdin_once=True)
    assert await run(real, "head -c 3000000 /dev/zero", Streams()) == (0, bytes(3_000_000))
    assert await run(real, "wc -c", once, b"x" * 3_000_000) == (0, b"3000000\n")


@pytest.mark.root
async def test_input_that_nobody_reads_is_dropped(real: Room) -> None:
    once = Streams(stdin=True, stdin_once=True)
    assert await run(real, "echo done", once, b"x" * 40_000) == (0, b"done\n")


@pytest.mark.root
async def test_a_terminal(real: Room) -> None:
    terminal = Streams(terminal=True, stdin=True)
    # conmon sets the size on its own time, as Docker does.
    script = "until stty size | grep -v '^0'; do sleep 0.05; done; test -t 0 -a -t 1"
    assert await run(real, script, terminal) == (0, b"33 77\r\n")


@pytest.mark.root
async def test_without_input_it_is_empty(real: Room) -> None:
    assert await run(real, "cat; echo end", Streams()) == (0, b"end\n")
