# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Does a plugin of a Docker Engine serve? One try, over the plugin's own socket.

A Docker Engine mounts volumes for containers only, so it is not asked: the plugin is. This needs the
host of the engine, and root; the places are those of the documentation:

    /run/docker/plugins/<id>/<socket>
    <DockerRootDir>/plugins/<id>/{rootfs,propagated-mount}
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugind import errors
from plugind.host import roundtrip
from plugind.model import mountpoint as mountpoint_
from plugind.model import volume as volume_
from plugind.model.config import CapabilityID, Interface
from plugind.model.front import is_raw
from plugind.model.verify import PROBE_VOLUME, Verify
from plugind.rpc import dial
from plugind.rpc.client import PluginSocket
from plugind.rpc.volume import VolumeDriver

SOCKETS = Path("/run/docker/plugins")
#: Seconds that a driver has for each call with which a probe that failed is cleared away.
_CLEARING = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An enabled plugin on this host. `root` has its rootfs and its propagated mount."""

    name: str
    interface: Interface
    propagated_mount: str
    socket: Path
    root: Path


def locate(document: Mapping[str, Any], docker_root: str, sockets: Path = SOCKETS) -> Place:
    """Return where the plugin of an Engine API object is; Unavailable if it is not enabled."""
    name, plugin_id = str(document["Name"]), str(document["Id"])
    if not document.get("Enabled"):
        raise errors.Unavailable(f"plugin {name} is disabled")
    shown = document["Config"]["Interface"]
    interface = Interface(
        types=tuple(CapabilityID.parse(kind) for kind in shown.get("Types") or ()),
        socket=(shown.get("Socket") or "").lstrip("/"),
        protocol_scheme=shown.get("ProtocolScheme") or "",
    )
    if not interface.socket or ".." in interface.socket.split("/"):
        raise errors.InvalidParameter(
            f'plugin {name} has no usable socket: interface.socket is "{interface.socket}"'
        )
    return Place(
        name=name,
        interface=interface,
        propagated_mount=document["Config"].get("PropagatedMount") or "",
        socket=sockets / plugin_id / interface.socket,
        root=Path(docker_root, "plugins", plugin_id),
    )


async def probe(place: Place, verify: Verify) -> None:
    """Try once; an error says what did not work, and what could not be cleared away.

    It takes `verify.timeout` seconds at most, and clearing away after a failure some more.
    """
    if verify.volume is not None and not place.interface.serves("volumedriver"):
        raise errors.Unsupported(f"plugin {place.name} serves no volumes")
    socket = PluginSocket(place.socket)
    loop = asyncio.get_running_loop()
    end = loop.time() + verify.timeout
    try:
        if verify.activate:
            try:
                async with asyncio.timeout_at(end):
                    await _require_answer(place, socket, verify.timeout)
            except TimeoutError:
                raise errors.Unavailable(_late(verify)) from None
        if verify.volume is not None:
            await _try_volume(place, VolumeDriver(socket), verify, max(0.0, end - loop.time()))
    finally:
        await socket.close()


async def _require_answer(place: Place, socket: PluginSocket, timeout: float) -> None:
    if place.interface.serves("volumedriver"):
        await VolumeDriver(socket).list()
    elif not is_raw(place.interface):
        # What it says is no matter: real plugins answer Plugin.Activate wrongly, or not at all.
        await socket.forward("Plugin.Activate", b"", timeout=timeout)
    elif (why := await asyncio.to_thread(dial.probe, place.socket)) is not None:
        raise errors.Unavailable(f'cannot connect to "{place.socket}": {why}')


async def _try_volume(place: Place, driver: VolumeDriver, verify: Verify, timeout: float) -> None:
    """Use a volume from its creation to its removal; whatever fails, it is undone."""
    name, holder = f"{PROBE_VOLUME}{secrets.token_hex(8)}", secrets.token_hex(32)
    undo: list[Callable[[], Awaitable[None]]] = []

    async def use() -> None:
        undo.append(lambda: driver.remove(name))
        await driver.create(name, verify.volume)
        undo.append(lambda: driver.unmount(name, holder))
        mountpoint = volume_.host_path(
            await driver.mount(name, holder),
            plugin_root=str(place.root),
            propagated_mount=place.propagated_mount,
        )
        found = mountpoint_.of_plugin(
            mountpoint, plugin_root=str(place.root), propagated_mount=place.propagated_mount
        )
        await roundtrip.try_out(found, timeout=timeout)
        await driver.unmount(name, holder)
        undo.pop()
        await driver.remove(name)

    try:
        async with asyncio.timeout(timeout):
            await use()
    except TimeoutError:
        failure: errors.PlugindError = errors.Unavailable(_late(verify))
    except errors.PlugindError as exc:
        failure = exc
    except BaseException:
        await _clear(undo)
        raise
    else:
        return
    kind = errors.Unavailable if isinstance(failure, errors.Unavailable) else errors.System
    words = "; ".join([f"probe volume: {failure}", *await _clear(undo)])
    raise kind(words) from failure


async def _clear(undo: list[Callable[[], Awaitable[None]]]) -> list[str]:
    """Undo the calls of a probe, the last one first; return what could not be."""
    left = []
    for call in reversed(undo):
        try:
            async with asyncio.timeout(_CLEARING):
                await call()
        except errors.NoSuchVolume:
            continue
        except TimeoutError:
            left.append(f"its volume is left: no answer within {_CLEARING:g} s")
        except errors.PlugindError as exc:
            left.append(f"its volume is left: {exc}")
    return left


def _late(verify: Verify) -> str:
    return f"it was not done within {verify.timeout:g} s"
