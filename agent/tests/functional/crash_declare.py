# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Operations of `crash_child` that are declarations: verified, undone, and gone back from.

What they do to `used` lives in several processes of the plugin, one after the other, so what its
backend has is on disk (`Backend`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from plugind.engine.declaration import apply, probe, rollback
from plugind.model.verify import Verify
from support import content
from support.engine import World, until


class Backend(dict[str, dict[str, Any]]):
    """The volumes that the plugin `used` has, on disk before it answers."""

    def __init__(self, path: Path) -> None:
        known = {"free": {}, "kept": {}, "seen": {}}
        super().__init__(json.loads(path.read_text()) if path.exists() else known)
        self._path = path

    def setdefault(self, name: str, options: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        found = super().setdefault(name, options)
        self._save()
        return found

    def __delitem__(self, name: str) -> None:
        super().__delitem__(name)
        self._save()

    def _save(self) -> None:
        self._path.write_text(json.dumps(self))


async def try_out(world: World) -> None:
    await probe.probe(world.engine, "used", Verify(volume={}, timeout=60))


async def _finish(world: World, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Carry it out; what is tried again has its time over at once."""
    carrying = asyncio.ensure_future(work)

    def is_done() -> bool:
        if world.clock.is_slept_on:
            world.clock.advance(60)
        return carrying.done()

    await until(is_done)
    return await carrying


async def _declare(world: World, tag: str, behaviour: str) -> dict[str, Any]:
    """Upgrade `used`, make a volume and mount it at a path, and verify that the plugin serves."""
    settings = {"DEBUG": "1", "PLUGIN_OUTPUT": "", "PLUGIN_BEHAVIOUR": behaviour}
    ref = world.publish("used", tag, env=[content.env(*pair) for pair in settings.items()])
    path = world.layout.root.parent / "mnt" / "new"
    document = {
        "plugins": [{"name": "used", "source": str(ref), "verify": {"volume": {}}}],
        "volumes": [{"name": "made", "driver": "used"}],
        "mounts": [{"path": str(path), "volume": "made"}],
    }
    return await _finish(world, apply.apply(world.engine, document, dry_run=False))


async def declare_badly(world: World) -> None:
    """A version that runs and does not pass its verification: everything is undone."""
    result = await _declare(world, "unfit", "refuse=plugind-verify")
    assert result["failed"], result
    assert result["rolled_back"], result


async def declare_and_go_back(world: World) -> None:
    """A good version, from which an operator goes back; or what is left to do of that."""
    if not world.layout.undo.exists():
        result = await _declare(world, "v2", "")
        assert not result["failed"], result
    result = await _finish(
        world, rollback.roll_back(world.engine, None, dry_run=False, remove_volumes=True)
    )
    assert not result["failed"], result


OPERATIONS = {
    "probe": try_out,
    "declare-badly": declare_badly,
    "declare-and-go-back": declare_and_go_back,
}
