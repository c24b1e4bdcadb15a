# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Images loaded from archives, their names and their removal."""

from __future__ import annotations

import dataclasses
import gzip
import json

import pytest

from plugind import errors
from plugind.engine.image import images, remove
from plugind.engine.image import load as image_load
from plugind.model import reference
from plugind.model.digest import Digest
from plugind.model.images.image import Image, ImageUser
from support import content, invariants, tars
from support import image as image_
from support.engine import World, chunks
from support.image_steps import check_nothing_is_left, import_, publish_and_pull

LOWER = image_.layer({"etc/": b"", "etc/a": b"lower", "etc/b": b"gone", "d/": b"", "d/x": b"x"})
UPPER = image_.layer({"etc/a": b"upper", "etc/.wh.b": b"", "d/.wh..wh..opq": b"", "d/y": b"y"})
LAYERS = [LOWER, UPPER]
RAW = image_.config(LAYERS, Cmd=["/bin/a"], Env=["A=1"], Labels={"l": "1"})


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
    done = await remove.remove_image(world.engine, text, force=force)
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
    prune = remove.prune_images(
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
        done, freed = await remove.prune_images(
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
