# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volume drivers by name: `local`, or an enabled plugin with a `docker.volumedriver` type."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from plugind import errors
from plugind.engine import lookup
from plugind.engine.context import Engine, Entry
from plugind.engine.ports import PluginSocket
from plugind.engine.volume.guarded import GuardedDriver
from plugind.engine.volume.local import LocalDriver
from plugind.model import mountpoint as mountpoint_
from plugind.model import volume as volume_
from plugind.model.lifecycle import PluginState
from plugind.model.mountpoint import Mountpoint
from plugind.model.volume import LOCAL, DriverVolume, MountRef
from plugind.rpc.volume import VolumeDriver

CAPABILITY = "volumedriver"


class Calls(Protocol):
    """What a driver can be asked; mountpoints are the driver's own paths."""

    async def create(self, name: str, options: Mapping[str, str] | None) -> None: ...
    async def get(self, name: str) -> DriverVolume: ...
    async def list(self) -> tuple[DriverVolume, ...]: ...
    async def remove(self, name: str) -> None: ...
    async def path(self, name: str) -> str: ...
    async def mount(self, name: str, mount_id: str) -> str: ...
    async def unmount(self, name: str, mount_id: str) -> None: ...
    async def capabilities(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """A driver that answers now. `name` is canonical; `prefix` scopes its paths to the host."""

    name: str
    calls: Calls
    entry: Entry | None = None
    socket: PluginSocket | None = None
    root: PurePosixPath | None = None

    def has_mounted(self, name: str, ref: MountRef) -> bool:
        """True if the plugin's process that runs now has mounted this; `local` is asked always."""
        return self.entry is not None and (name, ref.holder) in self.entry.mounted

    def note_mounted(self, name: str, ref: MountRef) -> None:
        """Take down that this process has mounted it, unless it died meanwhile."""
        if self.entry is not None and self.entry.socket is self.socket:
            self.entry.mounted.add((name, ref.holder))

    def note_unmounted(self, name: str, ref: MountRef) -> None:
        """Take down that this process has it mounted no more."""
        if self.entry is not None:
            self.entry.mounted.discard((name, ref.holder))

    def host_path(self, mountpoint: str) -> str:
        """Return a path of the driver's as a path on the host."""
        if self.entry is None or self.root is None:
            return mountpoint
        return volume_.host_path(
            mountpoint,
            plugin_root=str(self.root),
            propagated_mount=self.entry.plugin.config.propagated_mount,
        )

    async def scope(self) -> str:
        """Return `local` or `global`; asked once per run of the plugin."""
        if self.entry is None:
            return "local"
        if self.entry.scope is None:
            self.entry.scope = await self.calls.capabilities()
        return self.entry.scope


async def driver(engine: Engine, name: str) -> Driver:
    """Return the driver that `name` means, in any spelling; waits while it (re)starts.

    Conflict if its plugin is disabled, NotFound if there is none: at once, in both cases.
    """
    if name in ("", LOCAL):
        return Driver(name=LOCAL, calls=LocalDriver(engine))
    entry = lookup_entry(engine, name)
    if entry is None:
        raise errors.NotFound(f'plugin "{name}" not found')
    if not entry.shown().enabled:
        raise errors.Conflict(f"plugin {name} found but disabled")
    await entry.wait_settled(engine.patience(entry))
    if entry.state is not PluginState.RUNNING or entry.socket is None:
        raise errors.Unavailable(f"plugin {name} is {entry.state.value}: {entry.last_error}")
    return of_entry(engine, entry)


def of_entry(engine: Engine, entry: Entry) -> Driver:
    """Return the driver of a running plugin."""
    if entry.socket is None:
        raise errors.Unavailable(f"plugin {entry.plugin.name} is {entry.state.value}")
    return Driver(
        name=entry.plugin.name,
        calls=GuardedDriver(
            engine, VolumeDriver(entry.socket, enable_timeout=engine.options.driver_timeout)
        ),
        entry=entry,
        socket=entry.socket,
        root=PurePosixPath(engine.layout.plugin_dir(entry.plugin.id)),
    )


def mountpoint_of(engine: Engine, name: str, path: str) -> Mountpoint:
    """Return a path on the host that the driver of volume `name` has answered, to be opened."""
    driver = engine.volumes[name].driver
    if driver == LOCAL:
        return Mountpoint(root=path)
    entry = lookup_entry(engine, driver)
    if entry is None:
        raise errors.NotFound(f'plugin "{driver}" not found')
    return mountpoint_.of_plugin(
        path,
        plugin_root=str(engine.layout.plugin_dir(entry.plugin.id)),
        propagated_mount=entry.plugin.config.propagated_mount,
        mounts=entry.plugin.settings.mounts,
    )


def lookup_entry(engine: Engine, name: str) -> Entry | None:
    """Return the plugin that serves volumes under `name` (name, id or id prefix), or None."""
    try:
        entry = lookup.entry(engine, name)
    except errors.PlugindError:
        return None
    return entry if entry.plugin.serves(CAPABILITY) else None


def running(engine: Engine) -> list[Driver]:
    """Return `local` and every volume driver that runs now."""
    found = [Driver(name=LOCAL, calls=LocalDriver(engine))]
    found += [
        of_entry(engine, entry)
        for entry in engine.entries.values()
        if entry.plugin.serves(CAPABILITY) and entry.state is PluginState.RUNNING
    ]
    return found


async def wait_for_held(engine: Engine) -> None:
    """Wait for volume drivers that are being replaced, so that a search does not miss them."""
    for entry in list(engine.entries.values()):
        if entry.holds and entry.plugin.serves(CAPABILITY):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(engine.patience(entry)):
                    await entry.wait_held()


async def is_gone(engine: Engine, name: str) -> bool:
    """True if the driver has nobody to ask: not installed, disabled, given up on, or not back yet.

    One that is being started is waited for, as long as starting may take.
    """
    if name == LOCAL:
        return False
    entry = lookup_entry(engine, name)
    if entry is None or not entry.shown().enabled:
        return True
    try:
        await entry.wait_settled(engine.patience(entry))
    except errors.Unavailable:
        return True
    return entry.state is not PluginState.RUNNING


def canonical(engine: Engine, name: str) -> str:
    """Return the canonical name of a driver, also of one that is not installed."""
    if name in ("", LOCAL):
        return LOCAL
    entry = lookup_entry(engine, name)
    return entry.plugin.name if entry is not None else name
