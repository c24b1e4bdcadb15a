# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Container images: a directory each, which appears and goes by one rename.

    images/<hex of the config blob's digest>/
    |-- image.json   the record: config blob, names, repository digests
    `-- rootfs/      every layer applied, one on the other; never written to again

    commit   staging/<x> -> images/<hex>              commit; the record has its names already
    name     images/<hex>/image.json is rewritten     commit
    remove   images/<hex> -> trash/<hex>-<random>     commit; then the slow deletion

A name that moves is written to its new image first. Should a crash come before it is taken from the
old one, both records claim it, and `load_all` takes it from the one with the lower serial.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from plugind import checkpoint, errors, log
from plugind.host import fs
from plugind.model.digest import Digest
from plugind.model.images import image as image_
from plugind.model.images.image import Image
from plugind.store import records
from plugind.store.layout import Layout

RECORD = "image.json"
ROOTFS = "rootfs"


class Stage:
    """An image directory on its way in. Made by `ImageStore.stage`."""

    def __init__(self, layout: Layout, path: Path) -> None:
        self.path = path
        self.rootfs = path / ROOTFS
        self._layout = layout

    def measure(self) -> int:
        """Return the bytes of the regular files, each once however many links it has. Blocking."""
        seen: set[int] = set()
        total = 0
        pending = [os.fspath(self.rootfs)]
        while pending:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode) and found.st_ino not in seen:
                        seen.add(found.st_ino)
                        total += found.st_size
        return total

    def commit(self, image: Image) -> None:
        """Make the staged image one that is there: durable first, then one rename."""
        target = self._layout.image_dir(image.id)
        if target.exists():
            raise errors.Conflict(f'cannot store image {image.id}: "{target}" exists')
        with records.mapped_errors(f"store image {image.id}"):
            fs.write_new(self.path / RECORD, _render(image))
            fs.fsync_dir(self.path)
            fs.sync_tree(self.path)
            checkpoint.checkpoint("image:before-commit")
            os.rename(self.path, target)  # the commit point
            fs.fsync_dir(self._layout.images)
        checkpoint.checkpoint("image:after-commit")


class ImageStore:
    """Every image below `images/`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def rootfs(self, image_id: Digest) -> Path:
        """Return the image's file tree, all layers applied: an overlay's lowerdir, read-only."""
        return self._layout.image_dir(image_id) / ROOTFS

    def load_all(self) -> tuple[list[Image], list[str]]:
        """Return every image, and the names of the directories that are broken.

        A broken directory goes to quarantine/, one that cannot be read stays; the rest go on. A name
        that two records claim is taken from the older claim, on disk as well.
        """
        loaded, broken = records.load_all(self._layout, self._layout.images, "image", self._load)
        return self._settle_names(loaded), broken

    def load_readable(self) -> list[Image]:
        """Return the images that can be read, and change nothing on disk."""
        loaded = records.load_readable(self._layout.images, "image", self._load)
        return _without_older_claims(loaded)

    @contextlib.contextmanager
    def stage(self) -> Iterator[Stage]:
        """Give a directory with an empty rootfs; removed when the context ends uncommitted."""
        with records.staged_rootfs(self._layout, "an image") as path:
            yield Stage(self._layout, path)

    def save(self, image: Image) -> None:
        """Replace the image's record."""
        checkpoint.checkpoint("image-save:before-commit")
        fs.write_atomic(self._layout.image_dir(image.id) / RECORD, _render(image))
        checkpoint.checkpoint("image-save:after-commit")

    def remove(self, image_id: Digest) -> None:
        """Remove an image with its files; refused while anything is mounted below it."""
        directory = self._layout.image_dir(image_id)
        if not directory.exists():
            raise errors.NotFound(f"No such image: {image_id}")
        records.throw_away(self._layout, directory, image_id.hex, operation="image-remove")

    def _load(self, directory: Path) -> Image:
        record = records.load(directory / RECORD)
        with records.broken_on_bad_value(directory / RECORD):
            image = image_.from_record(record)
        if image.id.hex != directory.name:
            raise records.Broken(f'"{directory}" holds the record of image {image.id}')
        if not (directory / ROOTFS).is_dir():
            raise records.Broken(f'"{directory}" has no rootfs')
        return image

    def _settle_names(self, loaded: list[Image]) -> list[Image]:
        settled = _without_older_claims(loaded)
        for before, after in zip(loaded, settled, strict=True):
            if before is not after:
                log.info("took from an image the names that have moved", image=after.id)
                self.save(after)
        return settled


def _without_older_claims(loaded: list[Image]) -> list[Image]:
    """Return the images in order, each without the references that a later claim has."""
    owner: dict[str, Image] = {}
    for image in sorted(loaded, key=lambda one: (one.serial, one.id)):
        owner.update(dict.fromkeys(image.references, image))
    settled = []
    for image in loaded:
        lost = [name for name in image.references if owner[name] is not image]
        settled.append(image.without(*lost) if lost else image)
    return settled


def _render(image: Image) -> bytes:
    return json.dumps(image.to_record(), indent=2).encode() + b"\n"
