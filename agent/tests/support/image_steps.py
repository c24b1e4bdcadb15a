# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Steps that tests of images share: publish, pull, import."""

from __future__ import annotations

from plugind.engine.image import importing
from plugind.engine.image import pull as image_pull
from plugind.model import reference
from plugind.model.images.image import Image
from plugind.model.manifest import Platform
from plugind.model.reference import Reference
from support import image as image_
from support import invariants
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


async def import_(world: World, tar: bytes, name: str | None = "made:1", **config: object) -> Image:
    return await importing.import_image(
        world.engine,
        chunks(tar),
        name=reference.parse(name) if name else None,
        config=config,
        message="by a test",
    )
