# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the engine needs from its adapters: small Protocols, declared by the consumer.

Each has a contract test suite that the real adapter and the fake both pass (`tests/contract`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from plugind.host.mounts import Mount
from plugind.model.credentials import Credentials
from plugind.model.digest import Digest
from plugind.model.facts import HostFacts, MemoryKill, PluginDirs
from plugind.model.manifest import Descriptor, Kind, Manifest, Platform
from plugind.model.mountpoint import Mountpoint
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference


class Progress(Protocol):
    """Receives the progress lines of pull, upgrade and push, in Docker's shape, without blocking.

    For example `{"status": "Downloading", "id": "1f2e...", "progressDetail": {"current": 1,
    "total": 9}}`.
    """

    def __call__(self, line: dict[str, Any], /) -> None: ...


class Registry(Protocol):
    """A registry that holds plugins and images."""

    async def resolve(
        self,
        ref: Reference,
        credentials: Credentials | None,
        *,
        kind: Kind = Kind.PLUGIN,
        platform: Platform | None = None,
    ) -> Manifest:
        """Return the manifest of `ref` for the platform (None: this host's), its digest verified.

        `kind` is what the caller expects, for the words of NotFound; the caller checks that it is.

        NotFound, Unauthorized, Unavailable or System name the reference and the registry.
        """
        ...

    async def fetch_bytes(
        self, ref: Reference, descriptor: Descriptor, credentials: Credentials | None
    ) -> bytes:
        """Return a small blob (a config), its size and digest verified."""
        ...

    def open_blob(
        self, ref: Reference, descriptor: Descriptor, credentials: Credentials | None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream a blob's bytes. Sizes are enforced; the digest is the reader's to verify."""
        ...

    async def push_blob(
        self,
        ref: Reference,
        descriptor: Descriptor,
        open_content: Callable[[], BinaryIO],
        credentials: Credentials | None,
        on_bytes: Callable[[int], None],
    ) -> bool:
        """Upload a blob unless the registry has it; True if bytes were sent."""
        ...

    async def push_manifest(
        self, ref: Reference, manifest: Manifest, credentials: Credentials | None
    ) -> Digest:
        """Upload the manifest under the tag of `ref`; return the digest the registry gave it."""
        ...

    async def log_in(self, domain: str, credentials: Credentials | None) -> None:
        """Return if the registry accepts the credentials now; Unauthorized has its words."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Container(Protocol):
    """A plugin's process, started or adopted."""

    @property
    def pid(self) -> int:
        """Process id on the host of the container's first process."""
        ...

    async def wait(self) -> int | None:
        """Wait for the exit; return the exit status (128+n for signal n), None if unknown."""
        ...

    async def stop(self, grace: float) -> int | None:
        """SIGTERM, `grace` seconds, SIGKILL; wait; return the exit status. Safe to call twice."""
        ...

    def memory_kill(self) -> MemoryKill | None:
        """Return whether one of its processes was killed for want of memory; until `delete`."""
        ...

    async def delete(self) -> None:
        """Remove what the runtime keeps of an exited container. Safe to call twice."""
        ...


class Runtime(Protocol):
    """Launches plugins, and finds those that still run."""

    async def start(self, plugin_id: str, spec: dict[str, Any], log_path: Path) -> Container:
        """Write the bundle, launch it, return once the process runs; PluginFailed says why not.

        Output is appended to `log_path` in CRI format (`<rfc3339nano> stdout|stderr F|P <text>`).
        """
        ...

    async def adopt(self, plugin_id: str) -> Container | None:
        """Return the running container of that id, left behind by an earlier agent, or None."""
        ...

    async def list_ids(self) -> list[str]:
        """Ids of every container the runtime knows, running or not."""
        ...

    async def purge(self, plugin_id: str) -> None:
        """Kill (if need be) and remove whatever the runtime has under that id."""
        ...

    async def reopen_log(self, plugin_id: str) -> None:
        """Make the plugin's output go to a new file at its log path, after a rename."""
        ...


class Host(Protocol):
    """What has to be done on the host around a plugin's run. Blocking."""

    def prepare(self, plugin: Plugin, dirs: PluginDirs) -> HostFacts:
        """Check the entrypoint, lay the directories and mounts that the spec relies on."""
        ...

    def offer_metrics(self, dirs: PluginDirs) -> None:
        """Show the socket that the engine's metrics have now to a collector that runs."""
        ...

    def release(self, dirs: PluginDirs) -> None:
        """Unmount everything beneath the plugin's directory, dead FUSE mounts included."""
        ...

    def mount_table(self) -> list[Mount]:
        """Return the mounts of this host, later ones lie on earlier ones."""
        ...

    def locate(self, source: Mountpoint) -> Path:
        """Return the path of a directory without links, as it is now; System if it is none."""
        ...

    def bind(
        self, source: Mountpoint, target: Path, *, located: Path, read_only: bool, propagation: str
    ) -> None:
        """Show `source` at the directory `target` too: all at once, or not at all.

        System if it is not at `located` any more.
        """
        ...

    def unbind(self, target: Path, *, detach: bool) -> None:
        """Undo `bind`. Conflict names who uses it; `detach` takes it away from them, too."""
        ...

    def boot_id(self) -> str:
        """Return the random id that the kernel gave this boot."""
        ...

    def mount_local(self, options: dict[str, str], target: Path) -> bool:
        """Mount a `local` volume that has options (`type`, `o`, `device`) at `target`.

        False if something was mounted there already.
        """
        ...

    def unmount(self, target: Path) -> None:
        """Unmount `target` if something is mounted there."""
        ...


class PluginSocket(Protocol):
    """A connection factory for one plugin's socket.

    `patience` is how long a call waits for somebody to listen, in seconds, if it was not sent or if
    it is harmless to send it again.
    """

    patience: float

    async def call(self, method: str, body: dict[str, Any] | None, *, timeout: float) -> Any:
        """POST `/<Interface>.<Method>`; return the decoded answer.

        An `Err` in the answer and any non-200 status raise System with the driver's own text;
        transport faults raise Unavailable; an answer that is not a JSON object raises System.
        """
        ...

    async def forward(
        self, method: str, content: bytes, *, timeout: float
    ) -> tuple[int, str, bytes]:
        """POST `content` as it is; return the answer's status, content type ("": none) and body.

        Whatever the plugin answers is an answer; only transport faults raise (Unavailable).
        """
        ...

    def stream(
        self, method: str, content: bytes, *, timeout: float
    ) -> AbstractAsyncContextManager[tuple[int, str, AsyncIterator[bytes]]]:
        """The same with the body as it comes; `timeout` bounds the wait for the answer's head."""
        ...

    async def drain(self, timeout: float) -> bool:
        """Let the calls under way end, for `timeout` seconds at most; False if some have not.

        Streams do not count. Those that come later wait for `resume`, and then for whoever listens
        at the same path next.
        """
        ...

    def resume(self) -> None:
        """Let calls go on after `drain`: nobody listens any more, or somebody else does."""
        ...

    async def close(self) -> None:
        """Close kept-alive connections."""
        ...


class Dialer(Protocol):
    """Reaches plugins' sockets."""

    async def wait_listening(
        self, path: Path, deadline: float, *, exited: asyncio.Future[int | None]
    ) -> None:
        """Return once `path` accepts a connection.

        Unavailable if it does not within `deadline` seconds, or as soon as `exited` is done.
        """
        ...

    def connect(self, path: Path) -> PluginSocket:
        """Return a client of the socket at `path`; nothing is sent yet."""
        ...


class Clock(Protocol):
    """Time, injected so that tests never sleep."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        ...


class SystemClock:
    """The real clock."""

    def now_ns(self) -> int:
        """Unix time in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the event loop."""
        await asyncio.sleep(seconds)
