# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers without root: their programs are coroutines of the test's own process.

    machine = FakeContainerMachine()                outlives an agent, as the kernel does
    runtime = FakeContainerRuntime(machine)         another one on it adopts what runs
    machine.processes[id].end(3)                    the program ends by itself

`args` choose the program:

    echo WORDS      prints the words and ends
    fail N          ends with status N
    cat             copies its input to its output until that ends
    wait            runs until it is killed; SIGTERM ends it with 143
    stubborn        the same, but for SIGTERM
    missing         is not there
"""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import signal
from pathlib import Path
from typing import Any

from plugind import errors
from plugind.engine.container_ports import Dirs
from plugind.model.facts import Kernel
from plugind.model.mountpoint import Mountpoint
from plugind.runtime.console import Streams
from plugind.spec.container import UserIds


class FakeProcess:
    """One run of a program."""

    def __init__(self, machine: FakeContainerMachine, spec: dict[str, Any], log: Path) -> None:
        self.pid = next(machine.pids)
        self.spec = spec
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.output: asyncio.Queue[tuple[int, bytes] | None] = asyncio.Queue()
        self.input: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.size: tuple[int, int] | None = None
        self._log = log
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.create_task(self._run(self.spec["process"]["args"]))

    def say(self, data: bytes, stream: int = 1) -> None:
        """Print, into the log as well; whole lines only."""
        self.output.put_nowait((stream, data))
        now = dt.datetime.now(dt.UTC).isoformat()
        name = "stdout" if stream == 1 else "stderr"
        with self._log.open("ab") as file:
            for line in data.splitlines():
                file.write(f"{now} {name} F ".encode() + line + b"\n")

    def end(self, status: int) -> None:
        if not self.exited.done():
            self.output.put_nowait(None)
            self.exited.set_result(status)
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()

    def receive(self, number: int) -> None:
        stubborn = self.spec["process"]["args"][0] == "stubborn"
        if number == signal.SIGKILL or not stubborn:
            self.end(128 + number)

    async def _run(self, args: list[str]) -> None:
        if args[0] == "echo":
            self.say(" ".join(args[1:]).encode() + b"\n")
            self.end(0)
        elif args[0] == "fail":
            self.say(b"failing\n", 2)
            self.end(int(args[1]))
        elif args[0] == "cat":
            while (data := await self.input.get()) is not None:
                self.say(data)
            self.end(0)


class FakeContainerMachine:
    """Implements `engine.container_ports.ContainerHost`, and remembers what runs."""

    def __init__(self) -> None:
        self.pids = itertools.count(4_300_001)  # above the kernel's largest
        self.processes: dict[str, FakeProcess] = {}
        self.ended: dict[str, int] = {}
        self.assembled: set[Path] = set()
        self.copied: list[tuple[Path, Path]] = []
        self.shown: dict[Path, Path] = {}
        self.sources: set[str] = {"/host"}
        self.specs: dict[str, dict[str, Any]] = {}

    def assemble(self, image: Path, dirs: Dirs) -> None:
        assert image.is_dir()
        self.assembled.add(dirs.root)

    def release(self, dirs: Dirs) -> None:
        self.assembled.discard(dirs.root)

    def write_files(self, dirs: Dirs, hostname: str, *, own_network: bool) -> None:
        dirs.file("hostname").write_text(f"{hostname}\n")

    def resolve_user(self, rootfs: Path, text: str) -> UserIds:
        if text == "nobody-knows":
            raise errors.InvalidParameter(f"unable to find user {text}: no matching entries")
        return UserIds(uid=int(text or 0))

    def masked_paths(self) -> tuple[str, ...]:
        return ()

    def kernel(self) -> Kernel:
        return Kernel(machine="x86_64", version=(6, 1))

    def prepare_source(self, path: str, *, create: bool) -> None:
        if path not in self.sources and not create:
            raise errors.InvalidParameter(f"bind source path does not exist: {path}")
        self.sources.add(path)

    def content(self, rootfs: Path, target: str) -> Path | None:
        found = rootfs / target.lstrip("/")
        return found if found.is_dir() and any(found.iterdir()) else None

    def copy_up(self, content: Path, volume: Mountpoint) -> None:
        self.copied.append((content, Path(str(volume))))

    def show_volume(self, volume: Mountpoint, dirs: Dirs, number: int) -> Path:
        place = dirs.volumes / str(number)
        self.shown[place] = Path(str(volume))
        return place

    def hide_volumes(self, dirs: Dirs) -> None:
        self.shown = {at: what for at, what in self.shown.items() if dirs.volumes != at.parent}


class FakeConsole:
    """Implements `engine.container_ports.Console`."""

    def __init__(self, process: FakeProcess) -> None:
        self._process = process

    async def read(self) -> tuple[int, bytes] | None:
        return await self._process.output.get()

    async def write(self, data: bytes) -> None:
        await self._process.input.put(data)

    def end_input(self) -> None:
        self._process.input.put_nowait(None)

    def resize(self, height: int, width: int) -> None:
        self._process.size = (height, width)

    def close(self) -> None:
        return None


class FakeContainer:
    """Implements `engine.container_ports.Process`."""

    def __init__(self, machine: FakeContainerMachine, id: str, process: FakeProcess) -> None:
        self._machine = machine
        self._id = id
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def connect(self) -> FakeConsole:
        return FakeConsole(self._process)

    async def begin(self) -> None:
        self._process.begin()

    def signal(self, number: int) -> bool:
        self._process.receive(number)
        return True

    async def kill(self) -> None:
        self._process.receive(signal.SIGKILL)

    async def wait(self) -> int | None:
        return await asyncio.shield(self._process.exited)

    async def delete(self) -> None:
        if self._machine.processes.get(self._id) is self._process:
            del self._machine.processes[self._id]

    def close(self) -> None:
        return None


class FakeContainerRuntime:
    """Implements `engine.container_ports.ContainerRuntime`."""

    def __init__(self, machine: FakeContainerMachine) -> None:
        self._machine = machine

    async def create(
        self, container_id: str, spec: dict[str, Any], log_path: Path, streams: Streams
    ) -> FakeContainer:
        program = spec["process"]["args"][0]
        if program == "missing":
            raise errors.System(
                "runc create failed: unable to start container process: "
                f'exec: "{program}": executable file not found in $PATH'
            )
        self._machine.specs[container_id] = spec
        process = FakeProcess(self._machine, spec, log_path)
        self._machine.processes[container_id] = process
        return FakeContainer(self._machine, container_id, process)

    async def adopt(self, container_id: str) -> FakeContainer | None:
        process = self._machine.processes.get(container_id)
        if process is None or process.exited.done():
            return None
        return FakeContainer(self._machine, container_id, process)

    def exit_status(self, container_id: str) -> int | None:
        process = self._machine.processes.get(container_id)
        return process.exited.result() if process is not None and process.exited.done() else None

    async def list_ids(self) -> list[str]:
        return sorted(self._machine.processes)

    async def purge(self, container_id: str) -> None:
        if container_id in self._machine.processes:
            self._machine.processes.pop(container_id).end(128 + signal.SIGKILL)
