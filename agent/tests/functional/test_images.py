# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Images through the engine: pull, import, load, names, removal, and what a failure leaves."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import pytest
import zstandard

from fakes.registry import Faults
from plugind import errors
from plugind.engine.image import images, importing
from plugind.engine.image import pull as image_pull
from plugind.model import manifest, reference
from plugind.model.digest import Digest
from support import image as image_
from support import invariants, tars
from support.engine import World
from support.image_steps import check_nothing_is_left, import_, publish_and_pull, pull, ref

LOWER = image_.layer({"etc/": b"", "etc/a": b"lower", "etc/b": b"gone", "d/": b"", "d/x": b"x"})
UPPER = image_.layer({"etc/a": b"upper", "etc/.wh.b": b"", "d/.wh..wh..opq": b"", "d/y": b"y"})
LAYERS = [LOWER, UPPER]
RAW = image_.config(LAYERS, Cmd=["/bin/a"], Env=["A=1"], Labels={"l": "1"})


# -------------------------------------------------------------------------------------------- pull


async def test_pull_brings_one_tree_of_all_layers(world: World) -> None:
    digest = image_.publish(world.registry, "test/box", RAW, LAYERS)
    image = await pull(world, ref(world))
    repository = f"{world.registry.host}/test/box"
    assert image.id == Digest.of(RAW)
    assert image.names == (f"{repository}:latest",)
    assert image.digests == (f"{repository}@{digest}",)
    assert image.size == len(b"upper" + b"y")
    rootfs = world.engine.image_store.rootfs(image.id)
    assert (rootfs / "etc/a").read_bytes() == b"upper"
    assert [path.name for path in (rootfs / "etc").iterdir()] == ["a"]
    assert [path.name for path in (rootfs / "d").iterdir()] == ["y"]
    invariants.check(world.layout.root)
    assert world.statuses() == [
        "Pulling from test/box", "Pulling fs layer",
        "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete",
        "Downloading", "Verifying Checksum", "Download complete", "Extracting", "Pull complete",
        f"Digest: {digest}",
        f"Status: Downloaded newer image for {repository}:latest",
    ]  # fmt: skip
    (event,) = await world.events()
    assert (event.type, event.action, event.id) == ("image", "pull", f"{repository}:latest")
    assert event.attributes == {"l": "1", "name": repository}


async def test_a_second_pull_is_up_to_date_and_fetches_nothing(world: World) -> None:
    first = await publish_and_pull(world)
    world.registry.requests.clear()
    world.lines.clear()
    assert await pull(world, ref(world)) == first
    assert world.statuses()[-1] == f"Status: Image is up to date for {ref(world).familiar}"
    assert not [path for path in world.registry.paths() if "/blobs/" in path]


async def test_a_name_moves_when_it_is_pulled_again(world: World) -> None:
    old = await publish_and_pull(world)
    new = await publish_and_pull(world, Cmd=["/bin/new"])
    name = ref(world).familiar
    assert images.find(world.engine, name) == new
    assert world.engine.images[old.id].names == ()
    assert [one["RepoTags"] for one in images.list_images(world.engine, dangling=True)] == [[]]
    await world.reopen()
    assert images.find(world.engine, name).id == new.id
    assert images.find(world.engine, old.id.short).names == ()


async def test_one_config_under_two_names_is_one_image(world: World) -> None:
    first = await publish_and_pull(world)
    second = await publish_and_pull(world, "other", Cmd=["/bin/a"], Env=["A=1"], Labels={"l": "1"})
    assert first.id == second.id
    assert [name.rpartition("/")[2] for name in second.names] == ["box:latest", "other:latest"]


async def test_two_pulls_at_once_download_once(world: World) -> None:
    image_.publish(world.registry, "test/box", RAW, LAYERS)
    one, two = await asyncio.gather(pull(world, ref(world)), pull(world, ref(world)))
    assert one == two
    blobs = [path for path in world.registry.paths() if "/blobs/" in path]
    assert len(blobs) == len(set(blobs)) == 3


async def test_an_index_gives_the_image_of_the_platform(world: World) -> None:
    other = image_.config(LAYERS, Cmd=["/arm"])
    digests = {
        "linux/arm64": image_.publish(world.registry, "test/box", other, LAYERS, tag="arm"),
        "linux/amd64": image_.publish(world.registry, "test/box", RAW, LAYERS, tag="amd"),
    }
    index = world.registry.add_index("test/box", "latest", digests)
    image = await pull(world, ref(world))
    assert image.id == Digest.of(RAW)
    assert image.digests == (f"{world.registry.host}/test/box@{index}",)
    by_digest = reference.parse(f"{world.registry.host}/test/box@{index}")
    assert (await pull(world, by_digest)).names == image.names
    arm = await pull(world, by_digest, manifest.parse_platform("linux/arm64"))
    assert arm.id == Digest.of(other)
    with pytest.raises(errors.NotFound, match=r"no manifest of .* for linux/s390x"):
        await pull(world, ref(world), manifest.parse_platform("s390x"))


@pytest.mark.parametrize("oci", [True, False])
async def test_oci_and_docker_manifests(world: World, oci: bool) -> None:
    made = image_.make_manifest(RAW, LAYERS, oci=oci)
    for blob in (RAW, *LAYERS):
        world.registry.add_blob(blob)
    world.registry.add_manifest("test/box", "latest", made.raw, made.media_type)
    assert (await pull(world, ref(world))).id == Digest.of(RAW)


async def test_a_plugin_is_no_image_and_an_image_no_plugin(world: World) -> None:
    plugin = world.publish("toy")
    with pytest.raises(errors.System) as caught:
        await pull(world, plugin)
    assert str(caught.value) == (
        'Encountered remote "application/vnd.docker.plugin.v1+json"(plugin) when fetching'
    )
    image_.publish(world.registry, "test/box", RAW, LAYERS)
    with pytest.raises(errors.System, match="did not find plugin config"):
        await world.install(ref(world))
    check_nothing_is_left(world)


async def test_no_such_image_in_the_registry(world: World) -> None:
    with pytest.raises(errors.NotFound) as caught:
        await pull(world, ref(world, "none"))
    name = ref(world, "none").familiar
    assert str(caught.value) == (
        f"manifest for {name} not found: manifest unknown: manifest unknown"
    )


BROKEN_CONFIG = {
    "no JSON": (b"{", "no JSON"),
    "windows": (json.dumps(json.loads(RAW) | {"os": "windows"}).encode(), "windows"),
    "no layers": (json.dumps(json.loads(RAW) | {"rootfs": {}}).encode(), "rootfs.type"),
    "fewer layers": (image_.config([LOWER]), "1 layers, its manifest 2"),
    "other layers": (image_.config([UPPER, LOWER]), "cannot verify layer"),
    "too many layers": (image_.config([LOWER] * 126), "max depth exceeded"),
}


@pytest.mark.parametrize("case", list(BROKEN_CONFIG))
async def test_a_bad_config_is_refused_and_nothing_stays(world: World, case: str) -> None:
    raw, why = BROKEN_CONFIG[case]
    image_.publish(world.registry, "test/box", raw, LAYERS)
    with pytest.raises(errors.System, match=why):
        await pull(world, ref(world))
    check_nothing_is_left(world)


BROKEN_LAYER = {
    "climbs": (tars.file(b"../evil", b"x") + tars.END, "climbs"),
    "no tar": (b"nonsense" * 100, "cannot read archive"),
    "overlay whiteout": (tars.header(b"dev", b"3") + tars.END, "overlayfs whiteout"),
}


@pytest.mark.parametrize("case", list(BROKEN_LAYER))
async def test_a_bad_layer_is_refused_and_nothing_stays(world: World, case: str) -> None:
    tar, why = BROKEN_LAYER[case]
    image_.publish(world.registry, "test/box", image_.config([LOWER, tar]), [LOWER, tar])
    with pytest.raises(errors.System, match=why) as caught:
        await pull(world, ref(world))
    assert "failed to register layer sha256:" in str(caught.value)
    check_nothing_is_left(world)


async def test_corrupt_content_is_refused(world: World) -> None:
    image_.publish(world.registry, "test/box", RAW, LAYERS)
    world.registry.faults = Faults(corrupt_blobs=True)
    with pytest.raises(errors.DigestMismatch):
        await pull(world, ref(world))
    check_nothing_is_left(world)


async def test_a_client_that_goes_away_leaves_nothing(world: World) -> None:
    image_.publish(world.registry, "test/box", RAW, LAYERS)
    config = world.registry.manifest("test/box", "latest").config.digest
    await pull_config_only(world, config)
    check_nothing_is_left(world)
    world.registry.faults = Faults()
    assert (await pull(world, ref(world))).id == Digest.of(RAW)


async def pull_config_only(world: World, config: Digest) -> None:
    """Pull, and go away once the first layer is being waited for."""
    waiting = asyncio.Event()

    def progress(line: dict[str, object]) -> None:
        if line["status"] == "Pulling fs layer":
            world.registry.faults = Faults(hold_blobs=asyncio.Event())
            waiting.set()

    task = asyncio.create_task(
        image_pull.pull_image(world.engine, ref(world), credentials=None, progress=progress)
    )
    await waiting.wait()
    await world.registry.held.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert world.registry.faults.hold_blobs is not None
    world.registry.faults.hold_blobs.set()


# ------------------------------------------------------------------------------------------ import


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress])
async def test_import_makes_an_image_of_a_tar(world: World, pack: type[bytes]) -> None:
    image = await import_(world, pack(LOWER), Cmd=["/x"], WorkingDir="/w")
    assert image.names == ("made:1",)
    assert image.layers == (Digest.of(LOWER),)
    assert (image.config.cmd, image.config.working_dir) == (("/x",), "/w")
    rootfs = world.engine.image_store.rootfs(image.id)
    assert (rootfs / "etc/a").read_bytes() == b"lower"
    shown = images.inspect_image(world.engine, "made:1")
    assert shown["Comment"] == "by a test"
    assert shown["Id"] == str(Digest.of(image.raw))
    assert await world.actions() == ["image import"]
    await world.reopen()
    assert world.engine.images == {image.id: image}


async def test_import_without_a_name(world: World) -> None:
    image = await import_(world, LOWER, None)
    assert image.references == ()
    assert images.find(world.engine, str(image.id)) == image


async def test_an_import_that_fails_leaves_nothing(world: World) -> None:
    for tar in (LOWER[:1000], gzip.compress(LOWER)[:100], tars.file(b"/../x") + tars.END):
        with pytest.raises(errors.System):
            await import_(world, tar)
        check_nothing_is_left(world)


async def test_an_import_whose_client_goes_away_leaves_nothing(world: World) -> None:
    reading = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield LOWER[:1024]
        reading.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(importing.import_image(world.engine, body(), name=None, config={}))
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    check_nothing_is_left(world)
