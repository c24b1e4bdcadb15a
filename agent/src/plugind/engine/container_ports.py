# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What running containers needs from its adapters, besides `engine.ports`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from plugind.model.facts import Kernel
from plugind.model.mountpoint import Mountpoint
from plugind.runtime.console import Streams
from plugind.spec.container import UserIds


class Console(Protocol):
    """A container's standard streams."""

    async def read(self) -> tuple[int, bytes] | None:
        """Return the next piece of output as (1 or 2, data), None at its end."""
        ...

    async def write(self, data: bytes) -> None:
        """Pass input on; what a container no longer reads is dropped."""
        ...

    def end_input(self) -> None:
        """Say that no more input will come."""
        ...

    def resize(self, height: int, width: int) -> None:
        """Give the terminal another size, in characters."""
        ...

    def close(self) -> None:
        """Let go of the streams."""
        ...


class Process(Protocol):
    """A container's first process, created, running or ended."""

    @property
    def pid(self) -> int:
        """Process id on the host."""
        ...

    def connect(self) -> Console | None:
        """Return its standard streams; None if it has ended."""
        ...

    async def begin(self) -> None:
        """Let the program of a created container run."""
        ...

    def signal(self, number: int) -> bool:
        """Send a signal; False if it has ended."""
        ...

    async def kill(self) -> None:
        """SIGKILL everything that runs in the container."""
        ...

    async def wait(self) -> int | None:
        """Wait for the exit; return the exit status (128+n for signal n), None if unknown."""
        ...

    async def delete(self) -> None:
        """Remove what the runtime keeps of an exited container. Safe to call twice."""
        ...

    def close(self) -> None:
        """Stop watching; the process goes on."""
        ...


class ContainerRuntime(Protocol):
    """Runs containers, and finds those that still run."""

    async def create(
        self, container_id: str, spec: dict[str, Any], log_path: Path, streams: Streams, /
    ) -> Process:
        """Create the container; its program waits for its `begin`. System has the runtime's reason."""
        ...

    async def adopt(self, container_id: str, /) -> Process | None:
        """Return the running container of that id, left behind by an earlier agent, or None."""
        ...

    def exit_status(self, container_id: str, /) -> int | None:
        """Return the exit status that a container left which ended without us, None if unknown."""
        ...

    async def list_ids(self) -> list[str]:
        """Ids of every container the runtime knows, running or not."""
        ...

    async def purge(self, container_id: str, /) -> None:
        """Kill (if need be) and remove whatever the runtime has under that id."""
        ...


class Dirs(Protocol):
    """Where a container lies (`store.containers.ContainerDirs`)."""

    @property
    def root(self) -> Path: ...
    @property
    def upper(self) -> Path: ...
    @property
    def work(self) -> Path: ...
    @property
    def merged(self) -> Path: ...
    @property
    def volumes(self) -> Path: ...
    def file(self, name: str) -> Path: ...


class ContainerHost(Protocol):
    """What has to be done on the host around a container's run. Blocking."""

    def assemble(self, image: Path, dirs: Dirs) -> None:
        """Make `dirs.merged` the image's tree with the container's changes."""
        ...

    def release(self, dirs: Dirs) -> None:
        """Unmount everything below the container's directory."""
        ...

    def write_files(self, dirs: Dirs, hostname: str, *, own_network: bool) -> None:
        """Write the container's hosts, hostname and resolv.conf."""
        ...

    def resolve_user(self, rootfs: Path, text: str) -> UserIds:
        """Return who `user[:group]` is in that file system."""
        ...

    def masked_paths(self) -> tuple[str, ...]:
        """Return paths of this machine that containers must not see."""
        ...

    def kernel(self) -> Kernel:
        """Return what this machine's kernel is."""
        ...

    def prepare_source(self, path: str, *, create: bool) -> None:
        """Check that the source of a bind exists, or make it a directory."""
        ...

    def content(self, rootfs: Path, target: str) -> Path | None:
        """Return the directory of an image that `target` names, None unless it holds something."""
        ...

    def copy_up(self, content: Path, volume: Mountpoint) -> None:
        """Copy an image's directory into a volume, if that is empty."""
        ...

    def show_volume(self, volume: Mountpoint, dirs: Dirs, number: int) -> Path:
        """Show a volume at a place below `dirs.volumes`, which nobody else can change; return it."""
        ...

    def hide_volumes(self, dirs: Dirs) -> None:
        """Undo every `show_volume`: who has bound what was shown keeps it. Safe to call twice."""
        ...
