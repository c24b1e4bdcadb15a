# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Create from a tar, push, and install what was pushed."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest

from plugind import errors
from plugind.engine import lookup
from plugind.engine.plugin import create, push, remove
from plugind.model import reference
from support import content, invariants
from support.engine import World


async def test_a_tar_becomes_a_plugin(world: World) -> None:
    plugin = await world.create("toy:v1", content.context(content.config(), {"etc": b"x"}))
    assert (plugin.name, plugin.enabled) == ("toy:v1", False)
    rootfs = world.layout.rootfs(plugin.id)
    assert sorted(path.name for path in rootfs.iterdir()) == ["etc", "plugin"]
    assert (rootfs / "plugin").stat().st_mode & 0o777 == 0o755
    invariants.check(world.layout.root)
    assert await world.actions() == ["plugin create"]


async def test_a_compressed_tar_does_too(world: World) -> None:
    body = gzip.compress(content.context(content.config()))
    plugin = await world.create("toy", body)
    assert (world.layout.rootfs(plugin.id) / "plugin").exists()


async def test_identical_content_can_be_created_twice(world: World) -> None:
    body = content.context(content.config())
    one, two = await world.create("one", body), await world.create("two", body)
    assert one.layers == two.layers
    await remove.remove(world.engine, "one", force=False)
    await world.swept()
    invariants.check(world.layout.root)


async def test_a_name_that_is_taken_is_a_conflict(world: World) -> None:
    body = content.context(content.config())
    await world.create("toy", body)
    with pytest.raises(errors.Conflict, match=r"^plugin toy:latest already exists$"):
        await world.create("docker.io/library/toy:latest", body)
    invariants.check(world.layout.root)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (content.context(None), "^config not found$"),
        (b"not a tar at all" * 100, "^failed to read from tar: "),
        (content.context(content.config())[:700], "^failed to read from tar: "),
        (gzip.compress(content.context(content.config()))[:-20], "^failed to read from tar: "),
        (content.context(b"{"), "^failed to parse config: "),
        (content.context(content.config(entrypoint=None)), "'entrypoint' is a required"),
        (content.context(content.config(entrypoint="sh")), r"\.entrypoint: "),
        (content.context(content.config(), {"../../x": b""}), r"^failed to read from tar: .*x"),
        (b"", "config not found|failed to read from tar"),
    ],
)
async def test_what_is_no_plugin_leaves_nothing(world: World, body: bytes, message: str) -> None:
    with pytest.raises(errors.PlugindError, match=message):
        await world.create("toy", body)
    invariants.check_empty(world.layout.root)
    assert lookup.list_plugins(world.engine) == []


async def test_a_tar_without_rootfs_is_accepted_as_by_docker(world: World) -> None:
    plugin = await world.create("toy", content.context(content.config(), rootfs=False))
    assert list(world.layout.rootfs(plugin.id).iterdir()) == []


async def test_a_digest_is_not_a_name(world: World) -> None:
    name = reference.parse("toy@sha256:" + "0" * 64)
    with pytest.raises(errors.InvalidParameter, match="canonical references are not permitted"):
        await create.create(world.engine, name, nothing())


async def nothing() -> AsyncIterator[bytes]:
    for chunk in ():
        yield chunk


async def test_a_client_that_stops_sending_and_goes_away_leaves_nothing(world: World) -> None:
    body = content.context(content.config(), {"ballast": b"x" * 300_000})
    waiting = asyncio.Event()

    async def half() -> AsyncIterator[bytes]:
        yield body[:150_000]
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(create.create(world.engine, reference.parse("toy"), half()))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    invariants.check_empty(world.layout.root)


async def test_a_body_that_breaks_off_leaves_nothing(world: World) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield content.context(content.config())[:5000]
        raise ConnectionResetError("the client is gone")

    with pytest.raises((ConnectionResetError, errors.PlugindError), match="gone"):
        await create.create(world.engine, reference.parse("toy"), broken())
    invariants.check_empty(world.layout.root)


async def test_nothing_is_collected_while_a_plugin_is_being_created(world: World) -> None:
    await world.create("old", content.context(content.config(description="old")))
    body = content.context(content.config(), {"ballast": b"x" * 300_000})
    waiting, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield body[:150_000]
        waiting.set()
        await go_on.wait()
        yield body[150_000:]

    task = asyncio.create_task(create.create(world.engine, reference.parse("toy"), slowly()))
    await waiting.wait()
    await remove.remove(world.engine, "old", force=False)
    go_on.set()
    await task
    await world.swept()
    invariants.check(world.layout.root)


async def test_what_is_pushed_can_be_installed_and_is_the_same(world: World) -> None:
    name = f"{world.registry.host}/test/mine:v1"
    created = await world.create(name, content.context(content.config(), {"data": b"y"}))
    digest = await push.push(world.engine, name, credentials=None, progress=world.lines.append)
    assert digest == created.manifest_digest
    last = world.lines[-1]
    size = len(world.engine.content.read(digest))
    assert last == {
        "progressDetail": {},
        "aux": {"Tag": "v1", "Digest": str(digest), "Size": size},
    }
    assert world.statuses()[:3] == [
        f"The push refers to repository [{world.registry.host}/test/mine]",
        "Preparing",
        "Uploading",
    ]
    await remove.remove(world.engine, name, force=False)
    await world.swept()
    invariants.check_empty(world.layout.root)
    pulled = await world.install(world.ref("mine", "v1"), "again")
    assert pulled.manifest_digest == digest
    assert (world.layout.rootfs(pulled.id) / "data").read_bytes() == b"y"
    assert (await world.actions())[1] == "plugin push"


async def test_a_pulled_plugin_can_be_pushed_after_another_was_removed(world: World) -> None:
    await world.install(world.publish("one", description="one"), "one")
    other = f"{world.registry.host}/test/other"
    await world.install(world.publish("two", description="two"), other)
    await remove.remove(world.engine, "one", force=False)
    digest = await push.push(world.engine, other, credentials=None, progress=world.lines.append)
    assert world.registry.manifest("test/other", "latest").digest == digest
    assert world.registry.manifest("test/other", "latest").layers


async def test_a_push_that_the_registry_refuses_says_so(world: World) -> None:
    name = f"{world.registry.host}/test/mine"
    await world.create(name, content.context(content.config()))
    world.registry.faults.status = 403
    with pytest.raises(errors.Forbidden, match="says: 403 Forbidden"):
        await push.push(world.engine, name, credentials=None, progress=world.lines.append)
    assert "plugin push" not in await world.actions()


async def test_only_what_is_installed_can_be_pushed(world: World) -> None:
    with pytest.raises(errors.NotFound, match=r'^plugin "nobody" not found$'):
        await push.push(world.engine, "nobody", credentials=None, progress=world.lines.append)
