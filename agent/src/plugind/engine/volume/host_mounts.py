# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Host mounts: a volume at a path of the host, for services that know nothing of containers.

    mount    record -> the volume mounted for holder `mount:<path>` -> directory -> bind
    unmount  bind -> the volume unmounted -> record -> directories that we made

The record comes first and goes last, so whatever a crash leaves is finished at the next start: a mount
that was begun is made, an unmount that was not finished is undone. A bind of a FUSE mount dies with the
process that serves it; once its plugin runs again and has replayed its mounts, `refresh` detaches what
is dead and binds anew. Until then whoever looks there gets an error, and not the empty directory.
Only a plugin that is removed takes what it shows away with it; the record waits for its return.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from plugind import checkpoint, errors, log
from plugind.engine import ending
from plugind.engine.context import Engine
from plugind.engine.volume import drivers, mounting, references, volumes
from plugind.host import binds, places
from plugind.host.mounts import Mount, stack_at
from plugind.model import holder as holder_
from plugind.model import host_mount
from plugind.model.host_mount import COVERED, MOUNTED, STALE, HostMount, Source
from plugind.model.plugin import Plugin
from plugind.model.volume import LOCAL, MountRef
from plugind.store import host_mounts as store

#: What is mounted somewhere, and whether it is read-only.
Seen = tuple[Source, bool]


async def mount_on_host(
    engine: Engine, wanted: HostMount, *, allow_nonempty: bool = False
) -> dict[str, Any]:
    """Mount a volume at a path; what is there already, and as wanted, is left or repaired.

    Conflict says what stands in the way; nothing is left behind then.
    """
    path = wanted.path
    place = engine.layout
    own = (place.root, place.run, place.logs, place.sockets)
    host_mount.require_apart(path, map(str, own))
    async with engine.locks.holding(f"mount:{path}"):
        mount = engine.host_mounts.get(path)
        if mount is None:
            mount = await _admit(engine, wanted, allow_nonempty=allow_nonempty)
            await ending.to_the_end(_make(engine, mount))
        elif mount.shows_the_same(wanted):
            await ending.to_the_end(_ensure(engine, mount))
        else:
            raise errors.Conflict(
                f'cannot mount volume {wanted.volume} at "{path}": volume {mount.volume} is '
                f"mounted there ({'read-only' if mount.read_only else 'writable'}, "
                f"{mount.propagation})"
            )
    return await inspect_host_mount(engine, path)


async def unmount_on_host(engine: Engine, path: str, *, force: bool) -> str:
    """Undo `mount_on_host`; return what could not be done, "" if everything was.

    Conflict names who uses the mount, NotFound says that there is none. With `force` the mount is
    taken away from its users, and a driver that cannot unmount does not matter.
    """
    path = host_mount.normal_path(path)
    async with engine.locks.holding(f"mount:{path}"):
        mount = engine.host_mounts.get(path)
        if mount is None:
            raise errors.NotFound(f'no volume is mounted at "{path}"')
        left = await ending.to_the_end(_unmake(engine, mount, force=force))
    if left:
        log.warning(left, volume=mount.volume, path=path)
    return left


async def list_host_mounts(engine: Engine) -> list[dict[str, Any]]:
    """Return every host mount with its state, by path."""
    table = await asyncio.to_thread(engine.host.mount_table)
    mounts = sorted(engine.host_mounts.values(), key=lambda mount: mount.path)
    return [await _show(engine, mount, table) for mount in mounts]


async def inspect_host_mount(engine: Engine, path: str) -> dict[str, Any]:
    """Return one host mount with its state."""
    mount = engine.host_mounts.get(host_mount.normal_path(path))
    if mount is None:
        raise errors.NotFound(f'no volume is mounted at "{path}"')
    return await _show(engine, mount, await asyncio.to_thread(engine.host.mount_table))


async def load(engine: Engine) -> None:
    """Read every record from disk."""
    loaded, broken = await asyncio.to_thread(store.load_all, engine.layout)
    for what in broken:
        log.error(f"set aside a broken record of a host mount: {what}")
    engine.host_mounts.update({mount.path: mount for mount in loaded})


async def restore(engine: Engine) -> None:
    """Make, at boot, what records say and drivers that run can do; the others follow as they come."""
    await _refresh(engine, list(engine.host_mounts.values()))


async def refresh(engine: Engine, driver: str) -> None:
    """Make the mounts of a driver's volumes anew, after it was started and has replayed its own."""
    owned = [volume.name for volume in engine.volumes.values() if volume.driver == driver]
    await _refresh(engine, [m for m in engine.host_mounts.values() if m.volume in owned])


async def detach_all(engine: Engine, plugin: Plugin) -> None:
    """Take away what a plugin that is stopped and on its way out shows; the records stay.

    What something else covers cannot be taken away: it is logged, and known for ours later.
    """
    owned = [volume.name for volume in references.volumes_of(engine, plugin)]
    table = await asyncio.to_thread(engine.host.mount_table)
    directory = binds.source_of(engine.layout.plugin_dir(plugin.id), table)
    for mount in list(engine.host_mounts.values()):
        if mount.volume in owned or host_mount.lies_in(mount, directory):
            async with engine.locks.holding(f"mount:{mount.path}"):
                await _detach(engine, mount.path, reason=f"plugin {plugin.name} is removed")


async def _detach(engine: Engine, path: str, *, reason: str) -> None:
    mount = engine.host_mounts.get(path)
    if mount is None:
        return
    table = await asyncio.to_thread(engine.host.mount_table)
    own = _own(engine, table)
    stack = _stack(Path(path), table)
    state = host_mount.state(mount, stack, None, own)
    try:
        if state == STALE:
            await asyncio.to_thread(engine.host.unbind, Path(path), detach=True)
            checkpoint.checkpoint("host-mount:after-detach")
            # The kernel gives numbers of devices again: what comes next is not known for ours.
            await _save(engine, replace(mount, bound=None))
            _tell(engine, "detach", mount, reason=reason)
        elif any(host_mount.is_own(mount, source, own) for source, _ in stack):
            log.warning(
                f'cannot unmount "{path}", something else is mounted over it', volume=mount.volume
            )
    except (errors.PlugindError, OSError) as exc:
        log.error(f'cannot unmount "{path}": {exc}', volume=mount.volume)


async def _refresh(engine: Engine, mounts: list[HostMount]) -> None:
    await asyncio.gather(*(_refresh_one(engine, mount.path) for mount in mounts))


async def _refresh_one(engine: Engine, path: str) -> None:
    async with engine.locks.holding(f"mount:{path}"):
        mount = engine.host_mounts.get(path)
        if mount is None:
            return
        try:
            if await _why_not_ready(engine, mount):
                return
            await ending.to_the_end(_ensure(engine, mount, replayed=True))
        except (errors.PlugindError, OSError) as exc:
            engine.host_mount_errors[path] = str(exc)
            log.error(f'cannot mount volume {mount.volume} at "{path}": {exc}')


async def _why_not_ready(engine: Engine, mount: HostMount) -> str:
    """Return why the driver cannot be asked yet, "" if it can: its start will come back to it."""
    record = engine.volumes.get(mount.volume)
    if record is None or record.driver == LOCAL:
        return ""
    entry = drivers.lookup_entry(engine, record.driver)
    if entry is None:
        return f'plugin "{record.driver}" not found'
    if not entry.shown().enabled:
        return f"plugin {record.driver} found but disabled"
    if entry.socket is None:
        return f"plugin {record.driver} is {entry.state.value}"
    ref = await _reference(engine, mount)
    if ref is not None and (mount.volume, ref.holder) not in entry.mounted:
        return f"plugin {record.driver} has not mounted volume {mount.volume} again"
    return ""


async def _admit(engine: Engine, wanted: HostMount, *, allow_nonempty: bool) -> HostMount:
    """Return the record of a new mount, or raise what stands in its way."""
    path = Path(wanted.path)
    if wanted.volume not in engine.volumes:
        await volumes.find(
            engine, wanted.volume
        )  # a driver may know it; else it says what is wrong
    stack = stack_at(path, await asyncio.to_thread(engine.host.mount_table))
    if stack:
        raise errors.Conflict(
            f'cannot mount at "{path}": it is a mount point already ({stack[-1].fstype} from '
            f'"{stack[-1].source}")'
        )
    await asyncio.to_thread(places.require_owner, wanted.owner, wanted.group)
    made = await asyncio.to_thread(places.require_usable, path, allow_nonempty=allow_nonempty)
    return replace(wanted, created=made)


async def _make(engine: Engine, mount: HostMount) -> None:
    """Record and mount; if it cannot be mounted, nothing stays."""
    await _save(engine, mount)
    try:
        await _ensure(engine, mount)
    except BaseException:
        current = engine.host_mounts[mount.path]
        left = await _release(engine, current, force=True)
        if left:
            log.warning(left, volume=mount.volume, path=mount.path)
        await _forget(engine, current)
        raise


async def _ensure(engine: Engine, mount: HostMount, *, replayed: bool = False) -> None:
    """Bring volume, directory and bind to what the record says."""
    path = Path(mount.path)
    answer = await mounting.mount_volume(engine, mount.volume, holder_.of_mount(mount.path))
    checkpoint.checkpoint("host-mount:after-volume")
    source = drivers.mountpoint_of(engine, mount.volume, answer)
    located = await asyncio.to_thread(engine.host.locate, source)
    table = await asyncio.to_thread(engine.host.mount_table)
    shown = binds.source_of(located, table)
    state = host_mount.state(mount, _stack(path, table), shown, _own(engine, table))
    if state == COVERED:
        top = stack_at(path, table)[-1]
        raise errors.Conflict(
            f'cannot mount volume {mount.volume} at "{path}": {top.fstype} from "{top.source}" '
            "is mounted there"
        )
    if state == STALE:
        await asyncio.to_thread(engine.host.unbind, path, detach=True)
        _tell(engine, "detach", mount, reason="its driver's mount is gone")
    if state != MOUNTED:
        await asyncio.to_thread(
            places.make, path, mode=mount.mode, owner=mount.owner, group=mount.group
        )
        # Before the bind, so that whatever is found there later is known to be ours.
        await _save(engine, replace(mount, bound=shown))
        checkpoint.checkpoint("host-mount:before-bind")
        await asyncio.to_thread(
            engine.host.bind,
            source,
            path,
            located=located,
            read_only=mount.read_only,
            propagation=mount.propagation,
        )
        checkpoint.checkpoint("host-mount:after-bind")
        attributes = {"replayed": "true"} if replayed else {}
        _tell(engine, "attach", mount, source=str(located), **attributes)
    engine.host_mount_errors.pop(mount.path, None)


async def _unmake(engine: Engine, mount: HostMount, *, force: bool) -> str:
    path = Path(mount.path)
    table = await asyncio.to_thread(engine.host.mount_table)
    stack = _stack(path, table)
    own = _own(engine, table)
    state = host_mount.state(mount, stack, await _shown(engine, mount, stack, table), own)
    if state == COVERED and any(host_mount.is_own(mount, source, own) for source, _ in stack):
        top = stack_at(path, table)[-1]
        raise errors.Conflict(
            f'cannot unmount "{path}": {top.fstype} from "{top.source}" is mounted over it'
        )
    if state in (MOUNTED, STALE):
        # Nobody can finish anything in a mount that is dead.
        await asyncio.to_thread(engine.host.unbind, path, detach=force or state == STALE)
        checkpoint.checkpoint("host-unmount:after-bind")
    left = await _release(engine, mount, force=force)
    checkpoint.checkpoint("host-unmount:after-volume")
    await _forget(engine, mount)
    _tell(engine, "detach", mount)
    return left


async def _release(engine: Engine, mount: HostMount, *, force: bool) -> str:
    """Give the volume back; a driver that is gone has nothing mounted, so it need not be asked."""
    ref = await _reference(engine, mount)
    record = engine.volumes.get(mount.volume)
    if ref is None or record is None:
        return ""
    left = ""
    if not await drivers.is_gone(engine, record.driver):
        try:
            await mounting.unmount_volume(engine, mount.volume, ref.holder)
        except errors.PlugindError as exc:
            if not force:
                raise
            left = f'dropped the reference of "{mount.path}", but {exc}'
        else:
            return ""
    async with engine.locks.holding(f"volume:{mount.volume}"):
        await mounting.drop_reference(engine, mount.volume, ref)
    attributes = {"reason": left or "its driver is gone"}
    engine.events.volume("unmount", mount.volume, record.driver, container=ref.holder, **attributes)
    return left


async def _reference(engine: Engine, mount: HostMount) -> MountRef | None:
    if mount.volume not in engine.volumes:
        return None
    holder = holder_.of_mount(mount.path)
    refs = await volumes.mounts(engine, mount.volume)
    return next((ref for ref in refs if ref.holder == holder), None)


async def _save(engine: Engine, mount: HostMount) -> None:
    await asyncio.to_thread(store.save, engine.layout, mount)
    engine.host_mounts[mount.path] = mount


async def _forget(engine: Engine, mount: HostMount) -> None:
    await asyncio.to_thread(places.remove, mount.created)
    checkpoint.checkpoint("host-unmount:before-commit")
    await asyncio.to_thread(store.delete, engine.layout, mount.path)  # the commit point
    checkpoint.checkpoint("host-unmount:after-commit")
    engine.host_mounts.pop(mount.path, None)
    engine.host_mount_errors.pop(mount.path, None)


async def _shown(
    engine: Engine, mount: HostMount, stack: list[Seen], table: list[Mount]
) -> Source | None:
    """Return what should be seen at the path, None if the driver has nothing mounted now."""
    ref = await _reference(engine, mount)
    if ref is None or not ref.mountpoint or await _why_not_ready(engine, mount):
        return None
    shown = binds.source_of(Path(ref.mountpoint), table)
    if not stack or stack[-1][0] == shown:
        return shown
    # It may be a symbolic link. Only now, because opening it can take a file system's time.
    source = drivers.mountpoint_of(engine, mount.volume, ref.mountpoint)
    try:
        return binds.source_of(await asyncio.to_thread(engine.host.locate, source), table)
    except errors.System:
        return None


async def _show(engine: Engine, mount: HostMount, table: list[Mount]) -> dict[str, Any]:
    stack = _stack(Path(mount.path), table)
    try:
        shown = await _shown(engine, mount, stack, table)
        why = await _why_not_ready(engine, mount)
    except errors.PlugindError as exc:
        shown, why = None, str(exc)
    state = host_mount.state(mount, stack, shown, _own(engine, table))
    error = ""
    if state != MOUNTED:
        known = engine.host_mount_errors.get(mount.path, "")
        gone = "" if mount.volume in engine.volumes else f"get {mount.volume}: no such volume"
        error = gone or why or known
    return mount.to_json(state=state, error=error)


def _stack(path: Path, table: list[Mount]) -> list[Seen]:
    return [
        (Source(device=m.device, root=m.root), "ro" in m.options) for m in stack_at(path, table)
    ]


def _own(engine: Engine, table: list[Mount]) -> Source:
    """Return the agent's data root as the kernel names it."""
    return binds.source_of(engine.layout.root, table)


def _tell(engine: Engine, action: str, mount: HostMount, **attributes: str) -> None:
    record = engine.volumes.get(mount.volume)
    driver = record.driver if record is not None else ""
    engine.events.volume(action, mount.volume, driver, destination=mount.path, **attributes)
