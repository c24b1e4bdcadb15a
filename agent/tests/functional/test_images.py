# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Images through the engine: pull, import, load, names, removal, and what a failure leaves."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
from collections.abc import AsyncIterator

import pytest
import zstandard

from fakes.registry import Faults
from plugind import errors
from plugind.engine import image_import, image_load, image_pull, image_remove, images
from plugind.model import manifest, reference
from plugind.model.digest import Digest
from plugind.model.image import Image, ImageUser
from plugind.model.manifest import Platform
from plugind.model.reference import Reference
from support import content, invariants, tars
from support import image as image_
from support.engine import World, chunks

LOWER = image_.layer({"etc/": b"", "etc/a": b"lower", "etc/b": b"gone", "d/": b"", "d/x": b"x"})
UPPER = image_.layer({"etc/a": b"upper", "etc/.wh.b": b"", "d/.wh..wh..opq": b"", "d/y": b"y"})
LAYERS = [LOWER, UPPER]
RAW = image_.config(LAYERS, Cmd=["/bin/a"], Env=["A=1"], Labels={"l": "1"})


def ref(world: World, name: str = "box", tag: str = "latest") -> Reference:
    return reference.parse(f"{world.registry.host}/test/{name}:{tag}")


async def pull(world: World, what: Reference, platform: Platform | None = None) -> Image:
    return await image_pull.pull_image(
        world.engine, what, platform=platform, credentials=None, progress=world.lines.append
    )


async def publish_and_pull(world: World, name: str = "box", **members: object) -> Image:
    raw = image_.config(LAYERS, **members) if members else RAW
    image_.publish(world.registry, f"test/{name}", raw, LAYERS)
    return await pull(world, ref(world, name))


def check_nothing_is_left(world: World) -> None:
    assert world.engine.images == {}
    assert not list(world.layout.images.iterdir())
    invariants.check_empty(world.layout.root)


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


async def import_(world: World, tar: bytes, name: str | None = "made:1", **config: object) -> Image:
    return await image_import.import_image(
        world.engine,
        chunks(tar),
        name=reference.parse(name) if name else None,
        config=config,
        message="by a test",
    )


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

    task = asyncio.create_task(
        image_import.import_image(world.engine, body(), name=None, config={})
    )
    await reading.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    check_nothing_is_left(world)


# -------------------------------------------------------------------------------------------- load


async def load(world: World, archive: bytes) -> list[Image]:
    return await image_load.load_images(world.engine, chunks(archive), progress=world.lines.append)


@pytest.mark.parametrize("make", [image_.archive, image_.oci_archive])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
async def test_load_reads_docker_and_oci_archives(
    world: World, make: type[bytes], pack: type[bytes]
) -> None:
    (image,) = await load(world, pack(make("docker.io/library/box:1", RAW, LAYERS)))
    assert (image.id, image.names, image.layers) == (
        Digest.of(RAW), ("box:1",), tuple(map(Digest.of, LAYERS)),
    )  # fmt: skip
    assert (world.engine.image_store.rootfs(image.id) / "d/y").read_bytes() == b"y"
    assert world.lines[-1] == {"stream": "Loaded image: box:1\n"}
    assert await world.actions() == ["image load"]
    invariants.check(world.layout.root)


@pytest.mark.parametrize("make", [image_.archive, image_.oci_archive])
async def test_an_image_without_a_name_is_loaded_by_id(world: World, make: type[bytes]) -> None:
    (image,) = await load(world, make(None, RAW, LAYERS))
    assert image.names == ()
    assert world.lines[-1] == {"stream": f"Loaded image ID: {Digest.of(RAW)}\n"}


async def test_loading_what_is_there_gives_it_the_name(world: World) -> None:
    await publish_and_pull(world)
    (image,) = await load(world, image_.archive("box:1", RAW, LAYERS))
    assert "box:1" in image.names
    assert len(image.names) == 2


async def test_layers_may_be_links_to_others(world: World) -> None:
    raw = image_.config([LOWER, LOWER])
    document = [{"Config": "c.json", "RepoTags": ["box:1"], "Layers": ["a/layer.tar", "b/l.tar"]}]
    archive = image_.layer(
        {
            "c.json": raw,
            "a/": b"",
            "a/layer.tar": LOWER,
            "b/l.tar@": b"../a/layer.tar",
            "manifest.json": json.dumps(document).encode(),
        }
    )
    (image,) = await load(world, archive)
    assert image.layers == (Digest.of(LOWER), Digest.of(LOWER))


def without(name: str) -> bytes:
    files = {
        "c.json": RAW,
        "0": LOWER,
        "1": UPPER,
        "manifest.json": b'[{"Config": "c.json", "RepoTags": null, "Layers": ["0", "1"]}]',
    }
    return image_.layer({key: value for key, value in files.items() if key != name})


BROKEN_ARCHIVE = {
    "no manifest": (without("manifest.json"), "neither manifest.json nor index.json"),
    "no config": (without("c.json"), 'no "c.json"'),
    "no layer": (without("1"), 'no "1"'),
    "bad manifest": (image_.layer({"manifest.json": b"{}"}), "names no image|malformed"),
    "bad names": (
        image_.layer({"manifest.json": b'[{"Config": 1, "Layers": []}]'}),
        "manifest.json is malformed",
    ),
    "loop": (image_.layer({"manifest.json@": b"manifest.json"}), "neither"),
    "outside": (image_.layer({"manifest.json@": b"/etc/passwd"}), "neither"),
    "no tar": (b"x" * 600, "cannot read archive"),
    "a device": (tars.header(b"manifest.json", b"3") + tars.END, "it is no file"),
    "bad index": (image_.layer({"index.json": b'{"manifests": []}'}), "names no image"),
    "other content": (
        image_.archive("box:1", image_.config([UPPER, LOWER]), LAYERS), "cannot verify layer",
    ),
    "other count": (image_.archive("box:1", RAW, [LOWER]), "layers length mismatch"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(BROKEN_ARCHIVE))
async def test_a_bad_archive_is_refused_and_nothing_stays(world: World, case: str) -> None:
    archive, why = BROKEN_ARCHIVE[case]
    with pytest.raises((errors.InvalidParameter, errors.System), match=why):
        await load(world, archive)
    check_nothing_is_left(world)


async def test_an_archive_is_bounded(world: World) -> None:
    limits = dataclasses.replace(world.options.limits, total_bytes=4096)
    world.engine.options = dataclasses.replace(world.options, limits=limits)
    with pytest.raises(errors.HostileArchive, match="more than 4096 bytes"):
        await load(world, image_.archive("box:1", RAW, LAYERS))
    check_nothing_is_left(world)


# -------------------------------------------------------------------------------- names and removal


async def removed(world: World, text: str, *, force: bool = False) -> list[str]:
    """Return what was removed, as `Untagged x` and `Deleted x`."""
    done = await image_remove.remove_image(world.engine, text, force=force)
    return [f"{key} {value}" for record in done for key, value in record.items()]


async def test_the_last_name_takes_the_image_with_it(world: World) -> None:
    image = await publish_and_pull(world)
    name, digest = image.names[0], image.digests[0]
    assert await removed(world, name) == [
        f"Untagged {name}", f"Untagged {digest}", f"Deleted {image.id}",
    ]  # fmt: skip
    assert (await world.actions())[1:] == ["image untag", "image untag", "image delete"]
    check_nothing_is_left(world)
    with pytest.raises(errors.NotFound) as caught:
        await removed(world, name)
    assert str(caught.value) == f"No such image: {name}"


async def test_one_of_several_names_is_only_untagged(world: World) -> None:
    image = await import_(world, LOWER, "made")
    await images.tag_image(world.engine, "made", reference.parse("alias:2"))
    assert await removed(world, "alias:2") == ["Untagged alias:2"]
    await images.tag_image(world.engine, "made", reference.parse("alias:2"))
    with pytest.raises(errors.Conflict) as caught:
        await removed(world, image.id.short)
    assert str(caught.value) == (
        f"conflict: unable to delete {image.id.short} (must be forced) - "
        "image is referenced in multiple repositories"
    )
    assert (await removed(world, image.id.short, force=True))[-1] == f"Deleted {image.id}"
    check_nothing_is_left(world)


@pytest.mark.parametrize("running", [True, False])
async def test_what_a_container_uses_stays(world: World, running: bool) -> None:
    image = await import_(world, LOWER, "made")
    user = ImageUser(id="c" * 64, running=running)
    world.engine.image_users.append(lambda asked: [user] if asked == image.id else [])
    short = image.id.short
    for force in (False, True):
        with pytest.raises(errors.Conflict) as caught:
            await removed(world, short, force=force)
        state = "running" if running else "stopped"
        assert str(caught.value) == (
            f"conflict: unable to delete {short} (cannot be forced) - "
            f"image is being used by {state} container cccccccccccc"
        )
    with pytest.raises(errors.Conflict) as caught:
        await removed(world, "made")
    assert str(caught.value) == (
        'conflict: unable to remove repository reference "made" (must force) - '
        f"container cccccccccccc is using its referenced image {short}"
    )
    assert await removed(world, "made", force=True) == ["Untagged made:latest"]
    assert world.engine.images[image.id].names == ()
    prune = image_remove.prune_images(
        world.engine, dangling=True, labels=frozenset(), without_labels=frozenset()
    )
    assert await prune == ([], 0)
    (shown,) = images.list_images(world.engine, usage=True)
    assert (shown["Containers"], shown["SharedSize"]) == (1, 0)


async def test_prune(world: World) -> None:
    nameless = await import_(world, LOWER, None)
    labelled = await import_(world, LOWER, None, Labels={"keep": "1"})
    named = await import_(world, LOWER, "made", User="1")
    none: frozenset[str] = frozenset()

    async def prune(dangling: bool, without: frozenset[str] = none) -> list[object]:
        done, freed = await image_remove.prune_images(
            world.engine, dangling=dangling, labels=none, without_labels=without
        )
        deleted = [record["Deleted"] for record in done if "Deleted" in record]
        assert freed == nameless.size * len(deleted)
        return deleted

    assert await prune(True, frozenset({"keep"})) == [str(nameless.id)]
    assert await prune(True) == [str(labelled.id)]
    assert await prune(True) == []
    assert await prune(False) == [str(named.id)]
    check_nothing_is_left(world)


async def test_list_filters(world: World) -> None:
    await publish_and_pull(world)
    await import_(world, LOWER, "made:1")

    def listed(**wanted: frozenset[str]) -> list[str]:
        found = images.list_images(world.engine, **wanted)
        return sorted(name.rpartition("/")[2] for one in found for name in one["RepoTags"])

    assert listed() == ["box:latest", "made:1"]
    assert listed(references=frozenset({"made"})) == ["made:1"]
    assert listed(references=frozenset({"ma*:1", "x"})) == ["made:1"]
    assert listed(references=frozenset({"*"})) == ["made:1"]
    assert listed(references=frozenset({"*/*/box"})) == ["box:latest"]
    assert listed(labels=frozenset({"l"})) == ["box:latest"]
    assert listed(labels=frozenset({"l=2"})) == []


async def test_find(world: World) -> None:
    image = await publish_and_pull(world)
    ref_text = image.names[0]
    for text in (
        str(image.id), image.id.hex, image.id.short, f"sha256:{image.id.short}", ref_text,
        ref_text.removesuffix(":latest"), image.digests[0],
    ):  # fmt: skip
        assert images.find(world.engine, text) == image, text
    for text, said in {
        "busybox": "busybox:latest",
        "docker.io/library/busybox:1": "busybox:1",
        "0" * 64: "sha256:" + "0" * 64,
        f"busybox@sha256:{'0' * 64}": f"busybox@sha256:{'0' * 64}",
    }.items():
        with pytest.raises(errors.NotFound) as caught:
            images.find(world.engine, text)
        assert str(caught.value) == f"No such image: {said}"
    with pytest.raises(errors.InvalidParameter, match="invalid reference format"):
        images.find(world.engine, "UPPER")


async def test_plugins_blobs_are_nothing_to_images(world: World) -> None:
    """A pull of an image collects no blob of a plugin, and an installed plugin no image."""
    plugin = await world.install(world.publish("toy"))
    image = await publish_and_pull(world)
    await world.create("other", content.context(content.config()))
    await world.reopen()
    assert plugin.id in world.engine.entries
    assert image.id in world.engine.images
    invariants.check(world.layout.root)
