# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Container images: finding, listing, showing and naming them.

`engine.image.images` is what the records on disk say. Whoever changes it, or makes a record that names an
image (a container's), does so inside `holding`, so that nothing is removed while it comes into use.
"""

from __future__ import annotations

import asyncio
import datetime
import fnmatch
import re
from contextlib import AbstractAsyncContextManager
from typing import Any

from plugind import errors, log
from plugind.engine import ending
from plugind.engine.context import Engine
from plugind.model import reference
from plugind.model.digest import Digest
from plugind.model.images import image as image_
from plugind.model.images.image import Image, ImageUser
from plugind.model.reference import Reference
from plugind.store import images as store

_FULL_ID = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.ASCII)
_PREFIX = re.compile(r"(?:sha256:)?([0-9a-f]{1,63})", re.ASCII)


def holding(engine: Engine) -> AbstractAsyncContextManager[None]:
    """Hold the lock under which images appear, change names and go."""
    return engine.locks.holding("images")


def find(engine: Engine, text: str) -> Image:
    """Return the image that `text` means: an id, a reference, or the start of an id.

    NotFound in Docker's words; InvalidParameter if it can be neither.
    """
    full = _FULL_ID.fullmatch(text)
    if full:
        found = engine.images.get(Digest(full[1]))
        if found is None:
            raise errors.NotFound(f"No such image: sha256:{full[1]}")
        return found
    ref = reference.parse(text).with_default_tag()
    named = by_reference(engine, ref)
    if named is not None:
        return named
    prefix = _PREFIX.fullmatch(text)
    if prefix:
        fitting = [one for one in engine.images.values() if one.id.hex.startswith(prefix[1])]
        if len(fitting) == 1:
            return fitting[0]
    raise errors.NotFound(f"No such image: {ref.familiar}")


def by_reference(engine: Engine, ref: Reference) -> Image | None:
    """Return the image with that name, or with that repository digest if `ref` has a digest."""
    wanted = stored_form(ref)
    return next((one for one in engine.images.values() if wanted in one.references), None)


def stored_form(ref: Reference) -> str:
    """Return a reference as records keep it: `name:tag`, or `name@digest` without the tag."""
    return (ref.without_tag() if ref.digest else ref.tagged()).familiar


def users(engine: Engine, image: Image) -> list[ImageUser]:
    """Return the containers that are made of the image, running ones first."""
    found = [user for ask in engine.image_users for user in ask(image.id)]
    return sorted(found, key=lambda user: (not user.running, user.id))


def list_images(
    engine: Engine,
    *,
    references: frozenset[str] = frozenset(),
    labels: frozenset[str] = frozenset(),
    dangling: bool | None = None,
    usage: bool = False,
) -> list[dict[str, Any]]:
    """Return the summaries of the images that pass the filters, the newest first.

    With `usage` each says how many containers it has.
    """
    shown = []
    for image in engine.images.values():
        if dangling is not None and dangling is bool(image.names):
            continue
        if not has_labels(image, labels):
            continue
        if references:
            image = _only_matching(image, references)
            if not image.references:
                continue
        shown.append(image_.summary(image, containers=len(users(engine, image)) if usage else None))
    return sorted(shown, key=lambda one: (-one["Created"], one["Id"]))


def inspect_image(engine: Engine, text: str) -> dict[str, Any]:
    """Return the Engine API's object for one image."""
    image = find(engine, text)
    return image_.inspect(image, rootfs=str(engine.image_store.rootfs(image.id)))


async def tag_image(engine: Engine, text: str, ref: Reference) -> Image:
    """Give the image another name, taking that from whichever image has it."""
    async with holding(engine):
        image = find(engine, text)
        image = await ending.to_the_end(claim(engine, image, ref.tagged().familiar))
    engine.events.image("tag", image, name=ref.tagged().familiar)
    return image


async def claim_present(engine: Engine, image_id: Digest, *references: str) -> Image | None:
    """Give references to an image if it is there; None if it is not."""

    async def claim_it() -> Image | None:
        async with holding(engine):
            present = engine.images.get(image_id)
            return present and await claim(engine, present, *references)

    return await ending.to_the_end(claim_it())


# ------------------------------------------------------------------- names; all inside `holding`


async def add(engine: Engine, stage: store.Stage, image: Image, *references: str) -> Image:
    """Commit a staged image under these references; an image that is there gets the references."""
    if image.id in engine.images:
        return await claim(engine, engine.images[image.id], *references)
    image = _named(engine, image, *references)
    await asyncio.to_thread(stage.commit, image)
    engine.images[image.id] = image
    await _take_from_others(engine, image, references)
    return image


async def claim(engine: Engine, image: Image, *references: str) -> Image:
    """Give an image references, on disk first, and take them from others."""
    if set(references) <= set(image.references):
        return image
    image = _named(engine, image, *references)
    await asyncio.to_thread(engine.image_store.save, image)
    engine.images[image.id] = image
    await _take_from_others(engine, image, references)
    return image


async def _take_from_others(engine: Engine, image: Image, references: tuple[str, ...]) -> None:
    for other in list(engine.images.values()):
        if other is image or not set(references) & set(other.references):
            continue
        engine.images[other.id] = less = other.without(*references)
        try:
            await asyncio.to_thread(engine.image_store.save, less)
        except errors.PlugindError as exc:
            # The higher serial has the name already; the next boot takes it from this record.
            log.warning(f"cannot take a name from an image: {exc}", image=less.id)


def _named(engine: Engine, image: Image, *references: str) -> Image:
    serial = 1 + max((one.serial for one in engine.images.values()), default=0)
    return image.named(*references, serial=serial, tagged_at=now(engine))


def now(engine: Engine) -> str:
    """Return the time as RFC 3339 with nine digits, in UTC."""
    seconds, nanoseconds = divmod(engine.clock.now_ns(), 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


# ------------------------------------------------------------------------------------------ filters


def has_labels(image: Image, wanted: frozenset[str]) -> bool:
    """True if the image has every `key` or `key=value`."""
    for label in wanted:
        key, equals, value = label.partition("=")
        if key not in image.config.labels or (equals and image.config.labels[key] != value):
            return False
    return True


def _only_matching(image: Image, patterns: frozenset[str]) -> Image:
    """Return the image with only the references that a pattern of the `reference` filter fits."""
    return image.without(
        *(one for one in image.references if not any(_fits(pattern, one) for pattern in patterns))
    )


def _fits(pattern: str, text: str) -> bool:
    """True if a pattern fits, as Docker's reference.FamiliarMatch: `*` does not cross a slash."""
    familiar = reference.parse(text)
    for candidate in (familiar.familiar, familiar.familiar_repository, str(familiar)):
        parts, wanted = candidate.split("/"), pattern.split("/")
        if len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted)):
            return True
    return False
