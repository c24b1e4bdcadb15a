# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mounting a volume for a named holder, and unmounting it.

The reference is written before VolumeDriver.Mount and removed after VolumeDriver.Unmount
succeeded, so that a crash can only leave a reference too many, never one too few.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace

from plugind import errors
from plugind.engine import drivers, ending, volumes
from plugind.engine.context import Engine
from plugind.model.volume import MountRef


async def mount_volume(engine: Engine, name: str, holder: str) -> str:
    """Mount volume `name` for `holder` and return its path on the host.

    Mounting again for the same holder returns the same mount.
    """
    if not holder:
        raise errors.InvalidParameter(f"cannot mount volume {name}: no holder was named")
    async with engine.locks.holding(f"volume:{name}"):
        record, handle, found = await volumes.find(engine, name)
        if record is None:
            record = volumes.adopted(found, handle, await handle.scope())
            await asyncio.to_thread(engine.volume_store.save, record)
            engine.volumes[name] = record
        refs = await volumes.mounts(engine, name)
        held = next((ref for ref in refs if ref.holder == holder), None)
        if held is not None and held.mountpoint:
            return held.mountpoint
        ref = held or MountRef(holder=holder, id=secrets.token_hex(32))
        path = await ending.to_the_end(_mount(engine, handle, name, ref))
    engine.events.volume("mount", name, handle.name, container=holder, destination=path)
    return path


async def unmount_volume(engine: Engine, name: str, holder: str) -> None:
    """Undo `mount_volume`; NotFound if that holder has no mount of the volume."""
    async with engine.locks.holding(f"volume:{name}"):
        refs = await volumes.mounts(engine, name)
        ref = next((ref for ref in refs if ref.holder == holder), None)
        if ref is None:
            raise errors.NotFound(f'volume {name} is not mounted for "{holder}"')
        handle = await drivers.driver(engine, engine.volumes[name].driver)
        await ending.to_the_end(_unmount(engine, handle, name, ref))
    engine.events.volume("unmount", name, handle.name, container=holder)


async def mount_again(engine: Engine, handle: drivers.Driver, name: str, ref: MountRef) -> str:
    """Mount for a holder whose mount died with the plugin's process; the volume's lock is held."""
    path = handle.host_path(await handle.calls.mount(name, ref.id))
    if not path:
        raise errors.System("the driver answered no mountpoint")
    if path != ref.mountpoint:
        others = tuple(r for r in await volumes.mounts(engine, name) if r.holder != ref.holder)
        moved = (*others, replace(ref, mountpoint=path))
        await asyncio.to_thread(engine.volume_store.save_mounts, name, moved)
    return path


async def holders(engine: Engine, name: str) -> list[dict[str, str]]:
    """Return who holds the volume mounted, and where."""
    if name not in engine.volumes:
        raise errors.NoSuchVolume(f"get {name}: no such volume")
    refs = await volumes.mounts(engine, name)
    return [{"Holder": r.holder, "ID": r.id, "Mountpoint": r.mountpoint} for r in refs]


async def _mount(engine: Engine, handle: drivers.Driver, name: str, ref: MountRef) -> str:
    others = tuple(r for r in await volumes.mounts(engine, name) if r.holder != ref.holder)
    store = engine.volume_store
    await asyncio.to_thread(store.save_mounts, name, (*others, ref))
    try:
        path = handle.host_path(await handle.calls.mount(name, ref.id))
        if not path:
            raise errors.System("the driver answered no mountpoint")
    except errors.PlugindError as exc:
        await asyncio.to_thread(store.save_mounts, name, others)
        raise volumes.type_of(exc)(f"cannot mount volume {name}: {exc}") from exc
    await asyncio.to_thread(store.save_mounts, name, (*others, replace(ref, mountpoint=path)))
    return path


async def _unmount(engine: Engine, handle: drivers.Driver, name: str, ref: MountRef) -> None:
    try:
        await handle.calls.unmount(name, ref.id)
    except errors.PlugindError as exc:
        raise volumes.type_of(exc)(f"cannot unmount volume {name}: {exc}") from exc
    refs = tuple(r for r in await volumes.mounts(engine, name) if r.holder != ref.holder)
    await asyncio.to_thread(engine.volume_store.save_mounts, name, refs)
