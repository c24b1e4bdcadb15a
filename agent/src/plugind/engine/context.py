# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The engine: everything it holds, and nothing it does.

The stories (install, enable, volumes, ...) are modules of functions that take an `Engine`. State
that changes lives here and in `Entry`; everything on disk is written by `store`.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath

from plugind import errors, log
from plugind.engine import events as events_
from plugind.engine import ports
from plugind.engine.container_entry import Containers
from plugind.model import lifecycle
from plugind.model import secrets as secrets_
from plugind.model.confinement import Policy
from plugind.model.digest import Digest
from plugind.model.facts import PluginDirs
from plugind.model.host_mount import HostMount
from plugind.model.images.image import Image, ImageUser
from plugind.model.lifecycle import PluginState, RestartPolicy
from plugind.model.plugin import Plugin
from plugind.model.publishing import Publishing
from plugind.model.secrets import SecretPolicy
from plugind.model.volume import Volume
from plugind.store import content, images, layout, limits, plugins, volumes


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Policy. Times are seconds, sizes bytes."""

    enable_timeout: float = 30.0
    stop_grace: float = 10.0
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    limits: limits.Limits = field(default_factory=limits.Limits)
    log_max_bytes: int = 10 * 1024 * 1024
    error_lines: int = 12
    #: How long a list of volumes, or a search among drivers, waits for a driver.
    list_timeout: float = 5.0
    #: If not 0, the longest that any call of a volume driver may take; else Docker's limits count.
    driver_timeout: float = 0.0
    #: How long a probe that failed waits until its volume is removed; later goes on without it.
    clearing_timeout: float = 10.0
    #: How long the start waits for a change that was interrupted to be undone.
    undo_patience: float = 5.0
    secrets: SecretPolicy = secrets_.DEFAULT
    runtime_argv: tuple[str, ...] = ("runc", "--root", "/run/plugind/runc")
    confinement: Policy = field(default_factory=Policy)
    publishing: Publishing = field(default_factory=Publishing)
    version: str = ""


@dataclass(slots=True)
class Entry:
    """One installed plugin and its running state. `plugin` is what the disk says.

    `previous` is what to go back to, as long as an upgrade or other settings are not confirmed.
    """

    plugin: Plugin
    previous: Plugin | None = None
    state: PluginState = PluginState.DISABLED
    container: ports.Container | None = None
    socket: ports.PluginSocket | None = None
    scope: str | None = None
    supervisor: asyncio.Task[None] | None = None
    output: asyncio.Task[None] | None = None
    forgetting: asyncio.Task[None] | None = None
    failures: int = 0
    restarts: int = 0
    last_exit: int | None = None
    last_error: str = ""
    started_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    #: What the process that runs now has mounted, by volume and holder; it dies with it. No ids:
    #: Podman has one for all volumes.
    mounted: set[tuple[str, str]] = field(default_factory=set)
    #: Set at the next change, and replaced by a new one: take it first, look, then wait for it.
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    holds: int = 0
    #: Not 0 while what consumers hold is being mounted again.
    replays: int = 0

    @contextlib.contextmanager
    def replaying(self) -> Iterator[None]:
        """Say that what consumers hold is not in place yet."""
        self.replays += 1
        try:
            yield
        finally:
            self.replays -= 1
            self._tell()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Let requests at the front wait although the plugin is disabled: it will be back at once."""
        self.holds += 1
        try:
            yield
        finally:
            self.holds -= 1
            self._tell()

    async def wait_held(self) -> None:
        """Wait until the plugin is there again, if it is being replaced."""
        while self.holds and self.state is not PluginState.RUNNING:
            await self.moved.wait()

    def _tell(self) -> None:
        self.moved.set()
        self.moved = asyncio.Event()

    def advance(self, trigger: lifecycle.Trigger) -> None:
        """Move along the transition table; `settled` is set while nothing is under way."""
        self.state = lifecycle.advance(self.state, trigger)
        self._tell()
        if self.state in (PluginState.STARTING, PluginState.STOPPING, PluginState.BACKOFF):
            self.settled.clear()
        else:
            self.settled.set()

    async def wait_settled(self, timeout: float) -> None:
        """Wait until the plugin is neither starting nor stopping, at most `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not self.settled.is_set():  # it may have begun to move again
                    await self.settled.wait()
        except TimeoutError:
            name, state = self.plugin.name, self.state.value
            raise errors.Unavailable(
                f"plugin {name} is {state} for more than {timeout:g} s"
                + (f": {self.last_error}" if self.last_error else "")
            ) from None

    def shown(self) -> Plugin:
        """The plugin as clients see it: one that the engine gave up on is not enabled."""
        if self.plugin.enabled and self.state is PluginState.FAILED:
            return self.plugin.with_enabled(False)
        return self.plugin


@dataclass(slots=True, kw_only=True)
class Front:
    """The listening front socket of one plugin name; `waiting` of its `requests` are held now."""

    name: str
    path: PurePath
    close: Callable[[], Awaitable[None]]
    waiting: int = 0
    requests: int = 0


class Locks:
    """Named asyncio locks that vanish when nobody holds or awaits them."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    def is_held(self, key: str) -> bool:
        """True if somebody holds the lock of `key`, or waits for it."""
        return key in self._locks

    @contextlib.asynccontextmanager
    async def holding(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of `key`."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(key)
            if users > 1:
                self._locks[key] = (lock, users - 1)


@dataclass(slots=True, kw_only=True)
class Engine:
    """Adapters, policy and the state of this host's plugins and volumes."""

    options: EngineOptions
    layout: layout.Layout
    content: content.ContentStore
    plugin_store: plugins.PluginStore
    volume_store: volumes.VolumeStore
    image_store: images.ImageStore
    containers: Containers
    registry: ports.Registry
    runtime: ports.Runtime
    dialer: ports.Dialer
    host: ports.Host
    clock: ports.Clock
    events: events_.Hub
    entries: dict[str, Entry] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    #: By path; and why one could not be mounted at last.
    host_mounts: dict[str, HostMount] = field(default_factory=dict)
    host_mount_errors: dict[str, str] = field(default_factory=dict)
    fronts: dict[str, Front] = field(default_factory=dict)
    #: Ends the serving of metrics, if it has begun.
    close_metrics: Callable[[], Awaitable[None]] | None = None
    images: dict[Digest, Image] = field(default_factory=dict)
    #: Who knows what is made of an image, by id: each is asked before an image is removed.
    image_users: list[Callable[[Digest], Iterable[ImageUser]]] = field(default_factory=list)
    #: What secrets are digested with, and those that were seen; see `sealing`.
    secret_key: bytes = field(default=b"", repr=False)
    known: secrets_.KnownValues = field(default_factory=secrets_.KnownValues, repr=False)
    locks: Locks = field(default_factory=Locks)
    pins: collections.Counter[Digest] = field(default_factory=collections.Counter)
    writers: int = 0
    keep_blobs: bool = False
    #: What going back from the last change needs.
    undo_blobs: frozenset[Digest] = frozenset()
    background: set[asyncio.Task[None]] = field(default_factory=set)
    degraded: str | None = None

    def spawn(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        """Let work that nobody waits for go on; it ends at `leave`. Its surprises are logged."""
        task = asyncio.create_task(work, name=name)
        self.background.add(task)
        task.add_done_callback(self._spawned_done)
        return task

    def _spawned_done(self, task: asyncio.Task[None]) -> None:
        self.background.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error(f"cannot {task.get_name()}", exc=task.exception())

    def dirs(self, plugin_id: str) -> PluginDirs:
        """Return the host paths of a plugin."""
        return PluginDirs(
            root=self.layout.plugin_dir(plugin_id),
            rootfs=self.layout.rootfs(plugin_id),
            propagated_mount=self.layout.propagated_mount(plugin_id),
            sockets=self.layout.socket_dir(plugin_id),
            empty=self.layout.run / "empty",
        )

    def socket_path(self, plugin: Plugin) -> Path:
        """Return where the plugin's own socket is on the host."""
        name = plugin.config.interface.socket.lstrip("/")
        if not name or name in (".", "..") or ".." in name.split("/"):
            raise errors.InvalidParameter(
                f'plugin {plugin.name} has no usable socket: interface.socket is "{name}"'
            )
        return self.layout.socket_dir(plugin.id) / name

    @property
    def fronts_dir(self) -> Path:
        """Where front sockets are: the same path for a plugin's name at all times."""
        return self.layout.run / "fronts"

    def patience(self, entry: Entry) -> float:
        """Return the seconds that a call waits for its plugin: while it starts, or is replaced.

        A replacement that fails takes a stop and a start more.
        """
        options = self.options
        if entry.holds:
            return 2 * (options.stop_grace + options.enable_timeout)
        return options.enable_timeout

    @property
    def metrics_socket(self) -> Path:
        """Where the engine's metrics are served."""
        return self.layout.run / "metrics.sock"

    def log_path(self, plugin_id: str) -> Path:
        """Return where the plugin's output is kept."""
        return self.layout.logs / f"{plugin_id}.log"

    def digest(self, volume: str, option: str, value: str) -> str:
        """Return what is kept of a volume's secret."""
        return secrets_.digest(self.secret_key, volume, option, value)

    def redact(self, text: str, cover: secrets_.Cover = secrets_.cover_with_mask) -> str:
        """Return a text of a plugin without secrets, as far as they are known or look like it."""
        return self.known.redact(self.options.secrets.mask_text(text, cover), cover)

    @contextlib.contextmanager
    def pinned(self, digests: Iterable[Digest]) -> Iterator[None]:
        """Keep blobs from being collected while an operation is between fetch and commit."""
        held = list(digests)
        self.pins.update(held)
        try:
            yield
        finally:
            self.pins.subtract(held)
            self.pins = +self.pins

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Collect nothing while blobs are written whose digests nobody knows before."""
        self.writers += 1
        try:
            yield
        finally:
            self.writers -= 1

    def update(self, entry: Entry, **changes: object) -> None:
        """Replace fields of an entry's plugin record in memory (the disk comes first)."""
        entry.plugin = replace(entry.plugin, **changes)  # type: ignore[arg-type]
