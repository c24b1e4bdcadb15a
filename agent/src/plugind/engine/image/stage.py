# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What pull, import and load share: a staged image, in threads, and what may become one."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace

from plugind import errors
from plugind.engine import ending
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.model import manifest
from plugind.model.images import image as image_
from plugind.model.images.image import Image
from plugind.model.manifest import Platform
from plugind.store.images import Stage

# Docker's: each layer was a mount option of its overlay.
MAX_LAYERS = 125


@contextlib.asynccontextmanager
async def staged(engine: Engine) -> AsyncIterator[Stage]:
    """Give a stage; what is not committed is removed before the context ends, cancelled or not."""
    context = engine.image_store.stage()
    stage = await asyncio.to_thread(context.__enter__)
    try:
        yield stage
    finally:
        await ending.to_the_end(asyncio.to_thread(context.__exit__, None, None, None))


async def commit(engine: Engine, stage: Stage, image: Image, *references: str) -> Image:
    """Measure and commit a staged image under these references; from here on it is carried out."""
    measured = replace(image, size=await ending.to_the_end(asyncio.to_thread(stage.measure)))

    async def add() -> Image:
        async with images.holding(engine):
            return await images.add(engine, stage, measured, *references)

    return await ending.to_the_end(add())


def parse_config(raw: bytes, what: str) -> Image:
    """Return the image of a config blob; System says what is wrong with what was published."""
    try:
        image = image_.parse(raw)
    except errors.InvalidParameter as exc:
        raise errors.System(f"cannot use {what}: {exc}") from exc
    if image.os != "linux":
        raise errors.System(
            f'cannot use {what}: operating system "{image.os}" is not supported, only linux is'
        )
    if len(image.layers) > MAX_LAYERS:
        raise errors.System(f"cannot use {what}: max depth exceeded: {len(image.layers)} layers")
    return image


def host_platform() -> Platform:
    """Return the platform of this host."""
    return manifest.platform_of(os.uname().machine)
