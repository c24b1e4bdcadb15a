# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Going back to the version before: its blobs stay, and no registry is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from fakes import registry
from plugind import errors
from plugind.engine import lookup
from plugind.engine.declaration import apply
from plugind.engine.plugin import enable, fetch, remove, upgrade
from plugind.model import reference
from plugind.model.plugin import Plugin
from plugind.model.reference import Reference
from support import content, invariants, upgrades
from support.engine import World


def pinned(world: World, plugin: Plugin, tag: str = "latest") -> Reference:
    """Return the version of `plugin` by digest, as an undo names it."""
    return reference.parse(f"{world.ref(tag=tag)}@{plugin.manifest_digest}")


def break_registry(world: World) -> int:
    """Let every request fail from now on; return how many there were."""
    world.registry.faults = registry.Faults(status=503)
    return len(world.registry.requests)


async def test_the_version_before_comes_back_in_place_without_a_registry(world: World) -> None:
    old = await upgrades.with_mounted_volume(world)
    await upgrades.do_upgrade(world, world.publish(tag="v2", env=upgrades.env()))
    invariants.check(world.layout.root)
    asked = break_registry(world)
    declared = {"name": "toy", "source": str(pinned(world, old))}
    done = await apply.apply(world.engine, {"plugins": [declared]}, dry_run=False)
    assert not done["failed"], done
    assert len(world.registry.requests) == asked
    back = lookup.find(world.engine, "toy")
    # The tag of before comes back as well, so that who declares it finds it.
    assert back.version == old.version
    assert back.previous_version is not None
    assert back.previous_version.remote == str(world.ref(tag="v2"))
    assert (world.layout.rootfs(old.id) / "version").read_bytes() == b"latest"
    assert [body["Name"] for body in upgrades.mount_calls(world, old)] == ["v"]
    invariants.check(world.layout.root)
    again = await apply.apply(world.engine, {"plugins": [declared]}, dry_run=False)
    assert not again["changed"]


async def test_only_one_version_before_is_kept(world: World) -> None:
    old = await world.running()
    for tag in ("v2", "v3"):
        await upgrades.do_upgrade(world, world.publish(tag=tag, description=tag))
    invariants.check(world.layout.root)
    assert not world.engine.content.has(old.manifest_digest)
    break_registry(world)
    with pytest.raises(errors.PlugindError, match="out of order"):
        await fetch.resolve(world.engine, pinned(world, old), None)


async def test_the_same_content_again_keeps_the_version_before(world: World) -> None:
    await world.running()
    v2 = await upgrades.do_upgrade(world, world.publish(tag="v2"))
    again = await upgrades.do_upgrade(world, pinned(world, v2, "v2"))
    assert again.previous_version == v2.previous_version


async def test_a_disabled_plugin_goes_back_too(world: World) -> None:
    old = await world.install(world.publish())

    async def to(ref: Reference) -> Plugin:
        return await upgrade.upgrade(
            world.engine, "toy", ref, accepted=(), credentials=None, progress=world.lines.append
        )

    assert (await to(world.publish(tag="v2"))).previous_version == old.version
    break_registry(world)
    assert (await to(pinned(world, old))).version == old.version
    await enable.enable(world.engine, "toy", timeout=0)
    invariants.check(world.layout.root)


async def test_another_tag_of_the_same_digest_is_what_was_asked_for(world: World) -> None:
    await world.running()
    await upgrades.do_upgrade(world, world.publish(tag="v2"))
    raw = world.registry.manifests["test/toy", "latest"]
    world.registry.manifests["test/toy", "v3"] = raw
    assert (await upgrades.do_upgrade(world, world.ref(tag="v3"))).remote.endswith(":v3")


@pytest.mark.parametrize("which", ["manifest", "config", "layer"])
async def test_what_is_not_complete_is_asked_for(world: World, which: str) -> None:
    old = await world.running()
    v2 = await upgrades.do_upgrade(world, world.publish(tag="v2", description="v2"))
    digests = {
        "manifest": old.manifest_digest, "config": old.config_digest, "layer": old.layers[0]
    }  # fmt: skip
    world.engine.content.delete(digests[which])
    assert (await upgrades.do_upgrade(world, pinned(world, old))).version == old.version
    break_registry(world)
    await upgrades.do_upgrade(world, pinned(world, v2, "v2"))
    invariants.check(world.layout.root)


def damage(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(bytes([raw[0] ^ 0xFF]) + raw[1:])


async def test_a_damaged_manifest_is_asked_for_a_damaged_layer_is_refused(world: World) -> None:
    old = await world.running()
    v2 = await upgrades.do_upgrade(world, world.publish(tag="v2"))
    damage(world.engine.content.path(old.layers[0]))
    with pytest.raises(errors.System, match=str(old.layers[0])):
        await upgrades.do_upgrade(world, pinned(world, old))
    assert world.entry(v2).plugin == v2
    damage(world.engine.content.path(old.manifest_digest))
    assert fetch.read_manifest(world.engine, old.manifest_digest) is None


async def test_a_removed_plugin_takes_both_versions_along(world: World) -> None:
    await world.running()
    await upgrades.do_upgrade(world, world.publish(tag="v2"))
    await remove.remove(world.engine, "toy", force=True)
    await world.swept()
    invariants.check_empty(world.layout.root)


async def test_a_version_that_does_not_start_leaves_the_one_before_as_it_was(world: World) -> None:
    await world.running()
    v2 = await upgrades.do_upgrade(world, world.publish(tag="v2"))
    bad = world.publish(tag="v3", env=[content.env("PLUGIN_BEHAVIOUR", "exit=1")])
    with pytest.raises(errors.System, match="runs again"):
        await upgrades.do_upgrade(world, bad)
    assert world.entry(v2).plugin == v2
    assert v2.previous_version is not None
    assert world.engine.content.has(v2.previous_version.manifest_digest)
    invariants.check(world.layout.root)
