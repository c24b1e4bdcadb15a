# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Remove images, as `docker rmi` and `docker image prune` do (moby `image_delete.go`).

    a name      goes; when it was the last tag of its repository, its digests go as well; when no
                reference is left, the image goes
    an id       the image goes, if its references are of one repository, or by force

What a container is made of stays, forced or not: its files are the lower half of the container's.
Forced by name it loses the name, and is dangling until the container is gone.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from plugind import errors
from plugind.engine import ending
from plugind.engine.context import Engine
from plugind.engine.image import images
from plugind.model import reference
from plugind.model.images.image import Image

#: `{"Untagged": name}` or `{"Deleted": id}`, in the order in which it happened.
Removed = dict[Literal["Untagged", "Deleted"], str]


async def remove_image(engine: Engine, text: str, *, force: bool) -> list[Removed]:
    """Remove a name, or an image; Conflict, in Docker's words, says why it must stay."""
    async with images.holding(engine):
        image = images.find(engine, text)
        by_id = not any(text_means(text, one) for one in image.references)
        remove = _remove_by_id if by_id else _remove_by_name
        return await ending.to_the_end(remove(engine, image, text, force))


async def prune_images(
    engine: Engine,
    *,
    dangling: bool,
    labels: frozenset[str],
    without_labels: frozenset[str],
) -> tuple[list[Removed], int]:
    """Remove what no container uses: nameless images, or all. Return what went, and its bytes."""
    removed: list[Removed] = []
    freed = 0
    async with images.holding(engine):
        for image in sorted(engine.images.values(), key=lambda one: one.id):
            if (dangling and image.names) or images.users(engine, image):
                continue
            if not images.has_labels(image, labels):
                continue
            if without_labels and images.has_labels(image, without_labels):
                continue
            removed += await ending.to_the_end(_delete(engine, image))
            freed += image.size
    return removed, freed


def text_means(text: str, stored: str) -> bool:
    """True if `text` is another spelling of a reference that an image has."""
    try:
        return images.stored_form(reference.parse(text)) == stored
    except errors.InvalidParameter:  # 64 hexadecimal digits
        return False


async def _remove_by_name(engine: Engine, image: Image, text: str, force: bool) -> list[Removed]:
    name = images.stored_form(reference.parse(text))
    gone = [name, *_orphaned_digests(image, name)]
    used_by = images.users(engine, image)
    last = not set(image.references) - set(gone)
    if last and used_by and not force:
        raise errors.Conflict(
            f'conflict: unable to remove repository reference "{text}" (must force) - '
            f"container {used_by[0].id[:12]} is using its referenced image {image.id.short}"
        )
    if last and not used_by:
        return await _delete(engine, image)
    less = image.without(*gone)
    await asyncio.to_thread(engine.image_store.save, less)
    engine.images[less.id] = less
    return _untag(engine, image, gone)


async def _remove_by_id(engine: Engine, image: Image, text: str, force: bool) -> list[Removed]:
    del text
    used_by = images.users(engine, image)
    if used_by:
        raise _conflict(image, "cannot be forced", f"image is being used by {used_by[0]}")
    repositories = {reference.parse(one).familiar_repository for one in image.references}
    if not force and (len(image.names) > 1 or len(repositories) > 1):
        raise _conflict(image, "must be forced", "image is referenced in multiple repositories")
    return await _delete(engine, image)


async def _delete(engine: Engine, image: Image) -> list[Removed]:
    await asyncio.to_thread(engine.image_store.remove, image.id)
    del engine.images[image.id]
    removed = _untag(engine, image, [*image.names, *image.digests])
    engine.events.image("delete", image, name=str(image.id))
    return [*removed, {"Deleted": str(image.id)}]


def _untag(engine: Engine, image: Image, gone: list[str]) -> list[Removed]:
    for _ in gone:
        engine.events.image("untag", image, name=str(image.id))
    return [{"Untagged": name} for name in gone]


def _orphaned_digests(image: Image, name: str) -> list[str]:
    """Return the digests of the repository whose last tag `name` is."""
    ref = reference.parse(name)
    if ref.digest:
        return []
    others = [reference.parse(one) for one in image.names if one != name]
    if any(one.repository == ref.repository for one in others):
        return []
    return [one for one in image.digests if reference.parse(one).repository == ref.repository]


def _conflict(image: Image, forced: str, why: str) -> errors.Conflict:
    return errors.Conflict(f"conflict: unable to delete {image.id.short} ({forced}) - {why}")
