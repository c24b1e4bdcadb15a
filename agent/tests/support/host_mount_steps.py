# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Steps that tests of host mounts share."""

from __future__ import annotations

import re
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from plugind.engine.volume import host_mounts
from plugind.host.mounts import stack_at
from plugind.model import host_mount
from plugind.model.plugin import Plugin
from support.engine import World


async def mount(world: World, path: Path, volume: str = "v", **more: Any) -> dict[str, Any]:
    allow_nonempty = more.pop("allow_nonempty", False)
    wanted = host_mount.parse({"path": str(path), "volume": volume, **more})
    return await host_mounts.mount_on_host(world.engine, wanted, allow_nonempty=allow_nonempty)


async def unmount(world: World, path: Path, *, force: bool = False) -> str:
    return await host_mounts.unmount_on_host(world.engine, str(path), force=force)


async def state(world: World, path: Path) -> str:
    found = await host_mounts.inspect_host_mount(world.engine, str(path))
    return str(found["State"])


async def in_words(words: str, kind: type[Exception], story: Awaitable[Any]) -> None:
    with pytest.raises(kind, match=f"^{re.escape(words)}$"):
        await story


def stack(world: World, path: Path) -> list[tuple[str, str]]:
    return [(m.device, m.root) for m in stack_at(path, world.machine.table)]


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def make_directory(path: Path, mode: int = 0o755) -> None:
    path.mkdir(parents=True)
    path.chmod(mode)


def holders(world: World) -> list[str]:
    return [ref.holder for ref in world.engine.volume_store.mounts("v")]


def count(world: World, plugin: Plugin, method: str) -> int:
    return sum(name.endswith(f".{method}") for name, _ in world.host.calls(plugin.id))


def records(world: World) -> list[Path]:
    return sorted(world.layout.mounts.iterdir())


async def told(world: World) -> list[str]:
    """The volume events, as `action destination-or-holder [replayed]`."""
    return [
        " ".join(
            filter(
                None,
                [e.action, e.attributes.get("container", ""), e.attributes.get("replayed", "")],
            )
        )
        for e in await world.events()
        if e.type == "volume" and e.action != "create"
    ]
