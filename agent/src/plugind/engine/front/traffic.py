# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes as their consumers see them through a front: who made what, and who has it mounted.

    Create    forwarded, then the record            Remove    forwarded, then no record
    Mount     the reference, then forwarded         Unmount   forwarded, then no reference
    Get       forwarded; answered from the record if the driver cannot say; List likewise

The references carry the consumer's own ids, so that a plugin which was restarted mounts again what
its consumers hold. Podman has one id for all its mounts of a volume and counts by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Protocol

from plugind import checkpoint, errors, log
from plugind.engine import ending, sealing
from plugind.engine.context import Engine, Front
from plugind.engine.volume import drivers, listing, mounting, volumes
from plugind.model import front as front_
from plugind.model import publishing
from plugind.model.front import Reply
from plugind.model.volume import MountRef, Volume, VolumeRequest
from plugind.rpc.volume import means_absent

#: Seconds in which a driver is to say whether a volume exists of which we have a record.
_PATIENCE = 10.0


class Forward(Protocol):
    """Sends a request to the plugin and returns its answer, rewritten for consumers."""

    def __call__(
        self, method: str, content: bytes, *, limit: float | None = None
    ) -> Awaitable[Reply]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request for one volume."""

    engine: Engine
    driver: str
    method: str
    content: bytes
    volume: front_.VolumeArguments
    process: str
    forward: Forward

    async def send(self) -> Reply:
        """Let the driver do it."""
        return await self.forward(self.method, self.content)

    @property
    def own_record(self) -> Volume | None:
        """The record of the volume, if it is this driver's."""
        record = self.engine.volumes.get(self.volume.name)
        return record if record is not None and record.driver == self.driver else None


async def answer(
    engine: Engine,
    front: Front,
    forward: Forward,
    method: str,
    content: bytes,
    process: str,
) -> Reply:
    """Answer a request of a volume driver."""
    if engine.degraded and method not in front_.READING:
        raise errors.Unavailable(engine.degraded)
    if method == _LIST:
        return await list_(engine, front, forward, content)
    if method != _GET and method not in CHANGING:
        return await forward(method, content)
    call = Call(
        engine=engine,
        driver=front.name,
        method=method,
        content=content,
        volume=front_.volume_arguments(method, content),
        process=process,
        forward=forward,
    )
    if method == _GET:
        return await get(call)
    async with engine.locks.holding(f"volume:{call.volume.name}"):
        # A consumer that goes away does not leave a change without its record.
        return await ending.to_the_end(CHANGING[method](call))


async def get(call: Call) -> Reply:
    """Ask for a volume. Only a definite "no such volume" is passed on if we have a record of it."""
    record = call.own_record
    if record is None:
        return await call.send()
    reply, cause = await _ask(call.forward, call.method, call.content)
    if reply is not None and (not cause or means_absent(cause, record.name)):
        return reply
    log.info(f"answered for volume {record.name} from its record: {cause}", driver=call.driver)
    return front_.recorded_volume(record)


async def list_(engine: Engine, front: Front, forward: Forward, content: bytes) -> Reply:
    """Ask for all volumes; for a driver that cannot say, those of which we have a record."""
    records = [v for _, v in sorted(engine.volumes.items()) if v.driver == front.name]
    if not records:
        return await forward(_LIST, content)
    reply, cause = await _ask(forward, _LIST, content)
    if reply is not None and not cause:
        return reply
    log.info(f"answered with the volumes on record: {cause}", driver=front.name)
    return front_.recorded_volumes(records)


async def _ask(forward: Forward, method: str, content: bytes) -> tuple[Reply | None, str]:
    """Return the answer, None if there is none, and what went wrong, "" if nothing did."""
    try:
        reply = await forward(method, content, limit=_PATIENCE)
    except errors.PlugindError as exc:
        return None, exc.message
    return reply, front_.error_of(method, reply, front_.parse(reply.content))


async def create(call: Call) -> Reply:
    """Create a volume and record it with its options."""
    engine, name = call.engine, call.volume.name
    _require_unique(call)
    wanted = VolumeRequest(name=name, driver=call.driver, options=call.volume.options)
    sealing.admit(engine, wanted)
    # A driver may take a second Create for a success and keep the volume as it is.
    handle = await drivers.driver(engine, call.driver)
    is_kept = call.own_record is not None and await _exists(handle, name)
    scope = await handle.scope()
    reply = await call.send()
    if reply.is_success and not is_kept:
        checkpoint.checkpoint("front-create:after-driver")
        await volumes.record_volume(
            engine,
            replace(wanted, created_at=listing.rfc3339(engine.clock.now_ns()), scope=scope),
        )
        engine.events.volume("create", name, call.driver)
    return reply


async def remove(call: Call) -> Reply:
    """Remove a volume and its record; refused while another consumer has it mounted."""
    engine, name = call.engine, call.volume.name
    record = call.own_record
    if record is not None:
        process = call.process
        containers = engine.containers.using_volume(name)
        refs = await volumes.mounts(engine, name)
        # A consumer that removes a volume has no use for it: its own references are left over.
        others = {r.holder for r in refs if publishing.holder_process(r.holder) != process}
        if others or containers:
            shown = ", ".join(sorted(others.union(containers)))
            raise errors.Conflict(f"remove {name}: volume is in use - [{shown}]")
    reply = await call.send()
    cause = front_.error_of(call.method, reply, front_.parse(reply.content))
    if record is not None and (reply.is_success or means_absent(cause, name)):
        checkpoint.checkpoint("front-remove:after-driver")
        await volumes.forget_volume(engine, name)
        engine.events.volume("destroy", name, call.driver)
    return reply


async def mount(call: Call) -> Reply:
    """Mount a volume for the consumer's id; the reference is written before."""
    engine, name = call.engine, call.volume.name
    _require_unique(call)
    handle = await drivers.driver(engine, call.driver)
    if call.own_record is None:
        found = await handle.calls.get(name)
        await volumes.record_volume(engine, volumes.adopted(found, handle, await handle.scope()))
    before = await volumes.mounts(engine, name)
    holder = publishing.holder(call.process, call.volume.id)
    ref = next((r for r in before if r.holder == holder), None)
    ref = ref or MountRef(holder=holder, id=call.volume.id)
    others = tuple(r for r in before if r.holder != holder)
    await _save(call, (*others, ref))
    checkpoint.checkpoint("front-mount:after-reference")
    try:
        reply = await call.send()
        path = front_.mountpoint_of(reply)
        if reply.is_success and not path:
            raise errors.System("the driver answered no mountpoint")
        if reply.is_success:
            reply = front_.with_mountpoint(reply, await _locate(call, handle, path))
    except errors.PlugindError:
        await _save(call, before)
        raise
    if not reply.is_success:
        await _save(call, before)
        return reply
    handle.note_mounted(name, ref)
    checkpoint.checkpoint("front-mount:after-driver")
    await _save(call, (*others, replace(ref, mountpoint=path)))
    engine.events.volume("mount", name, call.driver, container=holder, destination=path)
    return reply


async def _locate(call: Call, handle: drivers.Driver, path: str) -> str:
    """Return the path without links; if that cannot be, the driver is told to unmount."""
    try:
        return await mounting.locate(call.engine, call.volume.name, path)
    except errors.System as exc:
        try:
            await handle.calls.unmount(call.volume.name, call.volume.id)
        except errors.PlugindError as left:
            raise errors.System(f"{exc}; and it is left mounted: {left}") from exc
        raise


async def unmount(call: Call) -> Reply:
    """Undo a mount; the reference goes after the driver's success."""
    engine, name = call.engine, call.volume.name
    refs = await volumes.mounts(engine, name) if call.own_record is not None else ()
    ref = _ref_of(refs, publishing.holder(call.process, call.volume.id), call.volume.id)
    if ref is None:
        return await call.send()
    handle = await drivers.driver(engine, call.driver)
    # A process that was started since has nothing mounted for this consumer.
    is_there = handle.has_mounted(name, ref)
    reply = await call.send() if is_there else front_.document({"Err": ""})
    if not reply.is_success:
        return reply
    checkpoint.checkpoint("front-unmount:after-driver")
    handle.note_unmounted(name, ref)
    await _save(call, tuple(r for r in refs if r != ref))
    engine.events.volume("unmount", name, call.driver, container=ref.holder)
    return reply


_GET, _LIST = f"{front_.VOLUME}.Get", f"{front_.VOLUME}.List"
#: The methods after which something else is on record.
CHANGING: dict[str, Callable[[Call], Coroutine[Any, Any, Reply]]] = {
    f"{front_.VOLUME}.{name}": do
    for name, do in (("Create", create), ("Remove", remove), ("Mount", mount), ("Unmount", unmount))
}


def _ref_of(refs: tuple[MountRef, ...], holder: str, mount_id: str) -> MountRef | None:
    """Return the reference that an unmount ends: its own, or another process's with the same id."""
    own = [ref for ref in refs if ref.holder == holder]
    return next(iter(own + [ref for ref in refs if ref.id == mount_id]), None)


def _require_unique(call: Call) -> None:
    """Raise Conflict if the name is that of another driver's volume: it is one name for everybody."""
    name = call.volume.name
    record = call.engine.volumes.get(name)
    if record is not None and call.own_record is None:
        raise errors.Conflict(
            f"create {name}: driver '{record.driver}' already has volume '{name}': "
            "volume name must be unique"
        )


async def _exists(handle: drivers.Driver, name: str) -> bool:
    """Ask whether the driver has the volume; one that cannot say does, as our record says."""
    try:
        await handle.calls.get(name)
    except errors.NoSuchVolume:
        return False
    except errors.PlugindError:
        return True
    return True


async def _save(call: Call, refs: tuple[MountRef, ...]) -> None:
    store = call.engine.volume_store
    await asyncio.to_thread(store.save_mounts, call.volume.name, refs)
