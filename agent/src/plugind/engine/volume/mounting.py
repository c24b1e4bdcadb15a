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

from plugind import checkpoint, errors
from plugind.engine import ending
from plugind.engine.context import Engine
from plugind.engine.volume import drivers, volumes
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
            adopted = volumes.adopted(found, handle, await handle.scope())
            await volumes.record_volume(engine, adopted)
        refs = await volumes.mounts(engine, name)
        held = next((ref for ref in refs if ref.holder == holder), None)
        if held is not None and held.mountpoint and handle.has_mounted(name, held):
            return held.mountpoint
        ref = held or MountRef(holder=holder, id=secrets.token_hex(32))
        path = await ending.to_the_end(_mount(engine, handle, name, ref))
    engine.events.volume("mount", name, handle.name, container=holder, destination=path)
    return path


async def mount_for_client(engine: Engine, name: str, holder: str) -> str:
    """Mount as `mount_volume` does, for somebody outside; the path that is returned has no links.

    What the driver does to it later is beyond us: whoever uses a path follows what is there then.
    """
    held = any(ref.holder == holder for ref in await volumes.mounts(engine, name))
    path = await mount_volume(engine, name, holder)
    try:
        return await locate(engine, name, path)
    except errors.System as exc:
        if not held:
            await unmount_volume(engine, name, holder, reason=exc.message)
        raise errors.System(f"cannot mount volume {name}: {exc}") from exc


async def locate(engine: Engine, name: str, path: str) -> str:
    """Return a path that the driver of a volume has answered with its links resolved."""
    source = drivers.mountpoint_of(engine, name, path)
    return str(await asyncio.to_thread(engine.host.locate, source))


async def unmount_volume(engine: Engine, name: str, holder: str, *, reason: str = "") -> None:
    """Undo `mount_volume`; NotFound if that holder has no mount of the volume.

    A `reason` says in the event why somebody else than the holder asks for it.
    """
    async with engine.locks.holding(f"volume:{name}"):
        refs = await volumes.mounts(engine, name)
        ref = next((ref for ref in refs if ref.holder == holder), None)
        if ref is None:
            raise errors.NotFound(f'volume {name} is not mounted for "{holder}"')
        handle = await drivers.driver(engine, engine.volumes[name].driver)
        await ending.to_the_end(_unmount(engine, handle, name, ref))
    attributes = {"reason": reason} if reason else {}
    engine.events.volume("unmount", name, handle.name, container=holder, **attributes)


async def mount_again(engine: Engine, handle: drivers.Driver, name: str, ref: MountRef) -> str:
    """Mount for a holder whose mount died with the plugin's process; the volume's lock is held."""
    path = await _call_mount(handle, name, ref)
    if path != ref.mountpoint:
        others = tuple(r for r in await volumes.mounts(engine, name) if r.holder != ref.holder)
        moved = (*others, replace(ref, mountpoint=path))
        await ending.to_the_end(asyncio.to_thread(engine.volume_store.save_mounts, name, moved))
    return path


async def holders(engine: Engine, name: str) -> list[dict[str, str]]:
    """Return who holds the volume mounted, and where."""
    if name not in engine.volumes:
        raise errors.NoSuchVolume(f"get {name}: no such volume")
    refs = await volumes.mounts(engine, name)
    return [{"Holder": r.holder, "ID": r.id, "Mountpoint": r.mountpoint} for r in refs]


async def _mount(engine: Engine, handle: drivers.Driver, name: str, ref: MountRef) -> str:
    before = await volumes.mounts(engine, name)
    others = tuple(r for r in before if r.holder != ref.holder)
    store = engine.volume_store
    await asyncio.to_thread(store.save_mounts, name, (*others, ref))
    checkpoint.checkpoint("mount:after-reference")
    try:
        path = await _call_mount(handle, name, ref)
    except errors.PlugindError as exc:
        # Who held it before a crash of the plugin still counts on it.
        await asyncio.to_thread(store.save_mounts, name, before)
        raise volumes.type_of(exc)(f"cannot mount volume {name}: {exc}") from exc
    checkpoint.checkpoint("mount:after-driver")
    await asyncio.to_thread(store.save_mounts, name, (*others, replace(ref, mountpoint=path)))
    return path


async def _call_mount(handle: drivers.Driver, name: str, ref: MountRef) -> str:
    path = handle.host_path(await handle.calls.mount(name, ref.id))
    if not path:
        raise errors.System("the driver answered no mountpoint")
    handle.note_mounted(name, ref)
    return path


async def _unmount(engine: Engine, handle: drivers.Driver, name: str, ref: MountRef) -> None:
    # A process that was started since has nothing mounted for this holder.
    if handle.entry is None or handle.has_mounted(name, ref):
        try:
            await handle.calls.unmount(name, ref.id)
        except errors.PlugindError as exc:
            raise volumes.type_of(exc)(f"cannot unmount volume {name}: {exc}") from exc
        checkpoint.checkpoint("unmount:after-driver")
        handle.note_unmounted(name, ref)
    await drop_reference(engine, name, ref)


async def drop_reference(engine: Engine, name: str, ref: MountRef) -> None:
    """Forget that a holder has the volume mounted; no driver is asked. The lock is held."""
    refs = tuple(r for r in await volumes.mounts(engine, name) if r.holder != ref.holder)
    await asyncio.to_thread(engine.volume_store.save_mounts, name, refs)
