# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the engine tells of its plugins when it is asked: more than Docker's objects have words for."""

from __future__ import annotations

from plugind.engine.declaration import apply
from plugind.engine.plugin import enable
from support.engine import World


async def test_a_plugin_comes_with_its_running_state(world: World) -> None:
    plugin = await world.running()
    answer = await apply.query(world.engine, {"plugins": None, "volumes": []})
    (shown,) = answer["plugins"]
    assert (shown["Status"]["State"], shown["Status"]["Restarts"]) == ("running", 0)
    assert shown["Status"]["ManifestDigest"] == str(plugin.manifest_digest)
    assert answer["info"]["Version"] == world.engine.options.version
    await enable.disable(world.engine, plugin.name, force=False)
    (shown,) = (await apply.query(world.engine, {"plugins": None, "volumes": []}))["plugins"]
    assert (shown["Enabled"], shown["Status"]["State"]) == (False, "disabled")
