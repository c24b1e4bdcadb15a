# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers of a `World`: made of the image `box`, which `add_image` puts there."""

from __future__ import annotations

from typing import Any

from plugind.engine.container import attach, containers, run
from plugind.engine.container_entry import ContainerEntry
from plugind.engine.image import importing
from plugind.model import reference
from support import image
from support.engine import World, chunks

LAYER = image.layer({"etc/": b"", "etc/passwd": b"root:x:0:0:::\n"})
#: Fields of the body's own level; everything else goes to HostConfig.
_OWN = ("Labels", "OpenStdin", "StdinOnce", "User")


async def add_image(world: World) -> None:
    """Put the image `box` into the engine."""
    ref = reference.parse("box:latest")
    await importing.import_image(world.engine, chunks(LAYER), name=ref, config={})


async def create(world: World, *args: str, name: str = "", **body: Any) -> ContainerEntry:
    """Create a container of `box`; keyword arguments other than `name` go to its HostConfig."""
    own = {key: body.pop(key) for key in _OWN if key in body}
    document = {"Image": "box", "Cmd": list(args), "HostConfig": body, **own}
    found, _ = await containers.create_container(world.engine, document, name)
    return world.engine.containers.entries[found]


async def start(world: World, entry: ContainerEntry) -> None:
    """Start it; it must not run already."""
    assert await run.start(world.engine, entry)


async def ended(entry: ContainerEntry) -> int:
    """Wait until it does not run; return its exit code."""
    return (await attach.waiting(entry, "not-running")).exit_code


async def removed(entry: ContainerEntry) -> int:
    """Wait until it is removed; return its exit code."""
    return (await attach.waiting(entry, "removed")).exit_code


def holders(world: World, name: str) -> list[str]:
    """Return who holds a volume mounted."""
    return [ref.holder for ref in world.engine.volume_store.mounts(name)]


def nothing_is_held(world: World) -> bool:
    """True if no root file system, process or volume of a container is left."""
    machine = world.container_machine
    mounted = [name for name in world.engine.volumes if holders(world, name)]
    return not (machine.assembled or machine.processes or mounted)
