# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Install: what is reported, what is refused and when, and that a failure leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from typing import Literal

import pytest

from plugind import errors
from plugind.engine import lookup, ports
from plugind.engine.plugin import install
from plugind.model import manifest as manifest_
from plugind.model import reference
from plugind.model.digest import Digest
from plugind.model.plugin import Plugin
from plugind.model.privileges import Privilege
from plugind.model.reference import Reference
from plugind.store.content import ContentStore
from plugind.store.layout import Layout
from support import content, invariants
from support.engine import World

HOST = {"network": {"type": "host"}, "linux": {"capabilities": ["CAP_SYS_ADMIN"]}}


def blob_requests(world: World) -> list[str]:
    return [path for path in world.registry.paths() if "/blobs/" in path]


async def test_it_is_installed_disabled_and_complete(world: World) -> None:
    ref = world.publish()
    plugin = await world.install(ref)
    assert (plugin.name, plugin.enabled, plugin.remote) == ("toy:latest", False, str(ref))
    rootfs = world.layout.rootfs(plugin.id)
    assert (rootfs / "plugin").read_bytes() == content.program()
    assert (rootfs / "version").read_bytes() == b"latest"
    invariants.check(world.layout.root)
    assert await world.actions() == ["plugin pull"]
    assert (await world.events())[0].id == ref.familiar


async def test_progress_is_dockers_line_by_line(world: World) -> None:
    ref = world.publish()
    plugin = await world.install(ref)
    layer = plugin.layers[0].short
    assert world.statuses() == [
        f"Pulling from {world.registry.host}/test/toy",
        f"Digest: {plugin.manifest_digest}",
        "Waiting",
        "Pulling fs layer",
        "Downloading",
        "Download complete",
        "Extracting",
        "Complete",
    ]
    assert world.lines[0]["id"] == "latest"
    assert all(line["id"] == layer for line in world.lines[2:])
    downloading = [line for line in world.lines if line["status"] == "Downloading"]
    detail = downloading[-1]["progressDetail"]
    assert detail["current"] == detail["total"] > 0


async def test_a_layer_that_is_here_is_not_fetched_again(world: World) -> None:
    layers = [content.layer()]
    await world.install(world.publish("one", layers=layers), "one")
    world.registry.requests.clear()
    world.lines.clear()
    plugin = await world.install(world.publish("two", layers=layers, description="two"), "two")
    assert "Already exists" in world.statuses()
    assert not [path for path in blob_requests(world) if str(plugin.layers[0]) in path]
    assert (world.layout.rootfs(plugin.id) / "plugin").exists()


async def test_refused_privileges_are_named_before_any_layer_is_asked_for(world: World) -> None:
    ref = world.publish(**HOST)
    granted = (Privilege(name="network", value=("host",)), Privilege(name="device", value=("/d",)))
    with pytest.raises(errors.InvalidParameter, match="incorrect privileges") as caught:
        await install.install(
            world.engine,
            ref,
            name=reference.parse_name("toy"),
            accepted=granted,
            credentials=None,
            progress=world.lines.append,
        )
    assert "not granted: capabilities: [CAP_SYS_ADMIN]" in str(caught.value)
    assert "granted but not requested: device: [/d]" in str(caught.value)
    layers = world.registry.manifest("test/toy", "latest").layers
    assert not [path for path in blob_requests(world) if str(layers[0].digest) in path]
    assert world.lines == []
    invariants.check_empty(world.layout.root)


async def test_privileges_of_a_registry_that_fails_are_an_error(world: World) -> None:
    ref = world.publish()
    world.registry.faults.status = 503
    with pytest.raises(errors.PlugindError, match="the registry is out of order"):
        await install.fetch_privileges(world.engine, ref, None)


async def test_a_name_that_is_taken_is_refused_without_asking_the_registry(world: World) -> None:
    ref = world.publish()
    await world.install(ref)
    world.registry.requests.clear()
    with pytest.raises(errors.InvalidParameter, match=r"^plugin toy:latest already exists$"):
        await install.install(
            world.engine,
            ref,
            name=reference.parse_name("docker.io/library/toy"),
            accepted=(),
            credentials=None,
            progress=world.lines.append,
        )
    assert world.registry.requests == []


async def test_two_installs_of_one_name_at_once_end_with_one_plugin(world: World) -> None:
    ref = world.publish()
    results = await asyncio.gather(world.install(ref), world.install(ref), return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["InvalidParameter", "Plugin"]
    assert len(lookup.list_plugins(world.engine)) == 1
    invariants.check(world.layout.root)


class HoldTheRest(asyncio.Event):
    """Lets the first request for a blob pass, and holds the one that resumes it."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = asyncio.Event()
        self.requests = 0

    async def wait(self) -> Literal[True]:
        self.requests += 1
        if self.requests == 1:
            return True
        self.reached.set()
        return await super().wait()


async def begin(world: World, ref: Reference, progress: ports.Progress) -> asyncio.Task[Plugin]:
    """Begin to install a plugin as `toy`, with all that it asks for."""
    accepted = await install.fetch_privileges(world.engine, ref, None)
    name = reference.parse_name("toy")
    return asyncio.create_task(
        install.install(
            world.engine, ref, name=name, accepted=accepted, credentials=None, progress=progress
        )
    )


async def test_a_client_that_goes_away_while_a_layer_comes_leaves_nothing(world: World) -> None:
    ref = world.publish(layers=[content.layer(size=400_000)])
    hold = HoldTheRest()

    def progress(line: dict[str, object]) -> None:
        world.lines.append(line)
        if line["status"] == "Pulling fs layer":
            world.registry.faults.disconnect_after = [100_000]
            world.registry.faults.hold_blobs = hold

    task = await begin(world, ref, progress)
    await hold.reached.wait()
    assert "Downloading" in world.statuses()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    invariants.check_empty(world.layout.root)
    assert await world.actions() == []


class HeldStore(ContentStore):
    """Does not put anything until told to."""

    def __init__(self, place: Layout) -> None:
        super().__init__(place)
        self.go = threading.Event()

    def put(self, data: bytes) -> Digest:
        assert self.go.wait(30)
        return super().put(data)


async def test_a_client_that_goes_away_after_the_layers_leaves_nothing(world: World) -> None:
    ref = world.publish()
    store = world.engine.content = HeldStore(world.layout)
    complete = asyncio.Event()

    def progress(line: dict[str, object]) -> None:
        if line["status"] == "Complete":
            complete.set()

    task = await begin(world, ref, progress)
    await complete.wait()
    task.cancel()
    store.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    invariants.check_empty(world.layout.root)


async def test_an_index_is_resolved_to_this_platform(world: World) -> None:
    world.publish("toy", "x86", description="for amd64")
    world.publish("toy", "arm", description="for arm64")
    digests = {
        platform: world.registry.manifest("test/toy", tag).digest
        for platform, tag in (("linux/arm64", "arm"), ("linux/amd64", "x86"))
    }
    world.registry.add_index("test/toy", "multi", digests)
    plugin = await world.install(world.ref("toy", "multi"))
    assert plugin.config.description == "for amd64"
    assert plugin.manifest_digest == digests["linux/amd64"]


async def test_an_index_without_this_platform_is_refused(world: World) -> None:
    world.publish("toy", "arm")
    world.registry.add_index(
        "test/toy",
        "multi",
        {"linux/arm64": world.registry.manifest("test/toy", "arm").digest},
    )
    with pytest.raises(errors.PlugindError, match="linux/amd64"):
        await world.install(world.ref("toy", "multi"))


@pytest.mark.parametrize("compression", ["none", "gzip", "zstd"])
async def test_layers_come_compressed_or_not(world: World, compression: str) -> None:
    plugin = await world.install(world.publish(compression=compression))
    assert (world.layout.rootfs(plugin.id) / "plugin").read_bytes() == content.program()


async def test_an_image_is_not_a_plugin(world: World) -> None:
    world.registry.add_plugin(
        "test/image",
        "latest",
        content.config(),
        [content.layer()],
        config_type="application/vnd.docker.container.image.v1+json",
    )
    with pytest.raises(errors.System, match="did not find plugin config for specified reference"):
        await world.install(world.ref("image"))


@pytest.mark.parametrize(
    "fault",
    ["truncate_blobs", "truncate_quietly", "lengthen_blobs", "corrupt_blobs", "missing_blobs"],
)
async def test_a_blob_that_is_not_what_it_should_be_leaves_nothing(
    world: World, fault: str
) -> None:
    ref = world.publish(layers=[content.layer(size=50_000)])
    accepted = await install.fetch_privileges(world.engine, ref, None)

    def progress(line: dict[str, object]) -> None:
        setattr(world.registry.faults, fault, True)  # the config was good, layers are not

    with pytest.raises(errors.PlugindError) as caught:
        await install.install(
            world.engine,
            ref,
            name=reference.parse_name("toy"),
            accepted=accepted,
            credentials=None,
            progress=progress,
        )
    layer = world.registry.manifest("test/toy", "latest").layers[0]
    assert str(layer.digest) in str(caught.value)
    invariants.check_empty(world.layout.root)


async def test_content_that_is_not_its_diff_id_leaves_nothing(world: World) -> None:
    wrong = {"type": "layers", "diff_ids": ["sha256:" + "0" * 64]}
    with pytest.raises(errors.DigestMismatch, match="diff_id"):
        await world.install(world.publish(rootfs=wrong))
    invariants.check_empty(world.layout.root)


async def test_a_layer_that_climbs_out_of_its_root_leaves_nothing(world: World) -> None:
    hostile = content.layer({"../../escaped": b"x"})
    with pytest.raises(errors.HostileArchive, match="escaped"):
        await world.install(world.publish(layers=[content.layer(), hostile]))
    assert not list(world.layout.root.rglob("escaped"))
    invariants.check_empty(world.layout.root)


async def test_a_failed_install_keeps_the_blobs_that_others_need(world: World) -> None:
    layers = [content.layer()]
    await world.install(world.publish("one", layers=layers), "one")
    world.publish("two", layers=[*layers, content.layer({"../x": b""})])
    with pytest.raises(errors.HostileArchive):
        await world.install(world.ref("two"), "two")
    invariants.check(world.layout.root)


async def test_a_reference_with_a_digest_is_installed_by_it(world: World) -> None:
    world.publish()
    digest = world.registry.manifest("test/toy", "latest").digest
    ref = reference.parse(f"{world.registry.host}/test/toy@{digest}")
    plugin = await world.install(ref, "pinned")
    assert (plugin.manifest_digest, plugin.remote) == (digest, str(ref))


async def test_the_manifest_keeps_its_media_type_for_a_push(world: World) -> None:
    raw = world.registry.manifests[
        "test/toy", str(world.registry.add_plugin("test/toy", "v1", content.config(), []))
    ][1]
    assert manifest_.DOCKER_MANIFEST.encode() in raw
    plugin = await world.install(world.ref("toy", "v1"))
    assert world.engine.content.read(plugin.manifest_digest) == raw
