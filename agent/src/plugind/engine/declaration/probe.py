# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Does an enabled plugin serve? One try, with nothing left of it.

    activate   its socket answers: VolumeDriver.List of a volume driver, any HTTP of the others
    volume     a volume is created, mounted, written to, read, unmounted and removed

The probe volume goes the ways of every other volume, so its options are masked, its mount has a
reference, and whoever disables the plugin meanwhile is told of it. Whatever fails, also that the
caller gives up, it is removed in the background: a driver that hangs is not waited for, and the error
says what is left. What a kill leaves is on record, and goes at the next boot; if the driver alone knows
of it, at the next probe of that plugin. Its name begins with this host's own mark, because volumes of
a driver may be those of many hosts.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping

from plugind import checkpoint, errors, log
from plugind.engine import ending, lookup
from plugind.engine.context import Engine, Entry
from plugind.engine.volume import drivers, mounting, volumes
from plugind.host import roundtrip
from plugind.model import front
from plugind.model import secrets as secrets_
from plugind.model.lifecycle import PluginState
from plugind.model.verify import PROBE_VOLUME, Verify
from plugind.model.volume import DriverVolume, MountRef

HOLDER = "plugind-verify"


async def probe(engine: Engine, name: str, verify: Verify) -> None:
    """Try once; an error says what did not work, and what could not be cleared away.

    It takes `verify.timeout` seconds at most, and after a failure `clearing_timeout` more.
    """
    entry = lookup.entry(engine, name)
    _require_running(entry)
    loop = asyncio.get_running_loop()
    end = loop.time() + verify.timeout
    if verify.activate:
        try:
            async with asyncio.timeout(verify.timeout):
                await _require_answer(engine, entry, verify.timeout)
        except TimeoutError:
            raise errors.Unavailable(f"no answer within {verify.timeout:g} s") from None
    if verify.volume is not None:
        if not entry.plugin.serves(drivers.CAPABILITY):
            raise errors.Unsupported(f"plugin {entry.plugin.name} serves no volumes")
        await _try_volume(engine, entry, verify, max(0.0, end - loop.time()))


async def clear_left(engine: Engine) -> None:
    """Remove, after a boot, the probe volumes that are on record."""
    for name in [name for name in engine.volumes if name.startswith(PROBE_VOLUME)]:
        left = await _clear(engine, name)
        log.warning(left or "removed a probe volume of before the restart", volume=name)


def _require_running(entry: Entry) -> None:
    if entry.state is not PluginState.RUNNING or entry.socket is None:
        exited = "" if entry.last_exit is None else f"it exited with status {entry.last_exit}"
        why = entry.last_error or exited
        raise errors.Unavailable(
            f"plugin {entry.plugin.name} is {entry.state.value}" + (f": {why}" if why else "")
        )


async def _require_answer(engine: Engine, entry: Entry, timeout: float) -> None:
    """Raise unless the plugin answers, in whatever protocol it speaks."""
    socket, interface = entry.socket, entry.plugin.config.interface
    if socket is None:
        raise errors.Unavailable(f"plugin {entry.plugin.name} is {entry.state.value}")
    if entry.plugin.serves(drivers.CAPABILITY):
        listed = await drivers.of_entry(engine, entry).calls.list()
        await _clear_unrecorded(engine, entry, listed)
    elif not front.is_raw(interface):
        # What it says is no matter: real plugins answer Plugin.Activate wrongly, or not at all.
        await socket.forward("Plugin.Activate", b"", timeout=timeout)
    else:
        never: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        path = engine.socket_path(entry.plugin)
        await engine.dialer.wait_listening(path, timeout, exited=never)


async def _try_volume(engine: Engine, entry: Entry, verify: Verify, timeout: float) -> None:
    """Use a volume of the plugin from its creation to its removal, for `timeout` seconds."""
    name = f"{_mark(engine)}{secrets.token_hex(8)}"
    given_up = asyncio.Event()
    using = asyncio.ensure_future(_use(engine, entry, name, verify.volume or {}, timeout, given_up))
    left: list[str] = []

    async def clear() -> None:
        # A driver cannot be told to stop: what it is doing is waited for, and then undone.
        await ending.wait_done(using)
        said = await _clear(engine, name)
        if said:
            log.warning(said, volume=name)
            left.append(said)

    try:
        await asyncio.wait({using}, timeout=timeout)
    finally:
        given_up.set()
        served = using.done() and using.exception() is None
        clearing = None if served else engine.spawn(clear(), f"remove volume {name}")
    if clearing is None:
        return
    late = errors.Unavailable(f"it was not done within {verify.timeout:g} s")
    failure = using.exception() if using.done() else late
    await asyncio.wait({clearing}, timeout=engine.options.clearing_timeout)
    if not clearing.done():
        left = [f"volume {name} is removed as soon as the plugin answers"]
    if not isinstance(failure, errors.PlugindError):
        log.error("unexpected failure of a probe volume", exc=failure, volume=name)
        failure = errors.System(f"{type(failure).__name__}: {failure}")
    words = "; ".join([f"probe volume: {failure}", *left])
    raise volumes.type_of(failure)(words) from failure


async def _use(
    engine: Engine,
    entry: Entry,
    name: str,
    options: Mapping[str, str],
    timeout: float,
    given_up: asyncio.Event,
) -> None:
    await volumes.create_volume(
        engine, name=name, driver=entry.plugin.name, options=dict(options), labels=None
    )
    checkpoint.checkpoint("probe:after-create")
    if given_up.is_set():
        return
    mountpoint = await mounting.mount_volume(engine, name, HOLDER)
    checkpoint.checkpoint("probe:after-mount")
    if given_up.is_set():
        return
    await roundtrip.try_out(drivers.mountpoint_of(engine, name, mountpoint), timeout=timeout)
    await mounting.unmount_volume(engine, name, HOLDER)
    await volumes.remove_volume(engine, name, force=False)


async def _clear(engine: Engine, name: str) -> str:
    """Unmount and remove a probe volume, wherever it is; return what could not be done."""
    left = []
    for ref in await volumes.known_mounts(engine, name):
        try:
            await _release(engine, name, ref)
        except errors.PlugindError as exc:
            left.append(str(exc))
    try:
        left.append(await volumes.remove_volume(engine, name, force=True))
    except errors.NoSuchVolume:
        pass
    except errors.PlugindError as exc:
        left.append(str(exc))
    return ", ".join(filter(None, left))


async def _release(engine: Engine, name: str, ref: MountRef) -> None:
    """Unmount it; whatever the driver says, nobody counts on this mount any more."""
    driver = engine.volumes[name].driver
    try:
        if not await drivers.is_gone(engine, driver):
            await mounting.unmount_volume(engine, name, ref.holder)
    finally:
        async with engine.locks.holding(f"volume:{name}"):
            if name in engine.volumes:
                await ending.to_the_end(mounting.drop_reference(engine, name, ref))
        entry = drivers.lookup_entry(engine, driver)
        if entry is not None:
            entry.mounted.discard((name, ref.holder))


async def _clear_unrecorded(engine: Engine, entry: Entry, listed: Iterable[DriverVolume]) -> None:
    """Remove what a killed probe has left at the driver and not on record."""
    mark = _mark(engine)
    for name in [found.name for found in listed if found.name.startswith(mark)]:
        async with engine.locks.holding(f"volume:{name}"):
            if name in engine.volumes:
                continue  # somebody is at it
            try:
                await drivers.of_entry(engine, entry).calls.remove(name)
            except errors.NoSuchVolume:
                continue
            except errors.PlugindError as exc:
                log.warning(f"cannot remove a probe volume of before: {exc}", volume=name)


def _mark(engine: Engine) -> str:
    """Return what the names of this host's probe volumes begin with."""
    return f"{PROBE_VOLUME}{secrets_.key_id(engine.secret_key)}"
