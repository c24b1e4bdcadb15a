# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Records of host mounts.

    mounts/<sha256 of the path>/mount.json

The directory appears by one rename from staging/ and goes by one rename to trash/, as a volume's.
What is mounted is no part of it: records say what shall be, the kernel's table what is.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
from pathlib import Path

from plugind import checkpoint
from plugind.host import fs
from plugind.model import host_mount
from plugind.model.host_mount import HostMount
from plugind.store import records
from plugind.store.layout import Layout

RECORD = "mount.json"


def load_all(layout: Layout) -> tuple[list[HostMount], list[str]]:
    """Return every host mount by path, and the directories set aside because they are broken."""
    loaded, broken = records.load_all(
        layout, layout.mounts, "host mount", functools.partial(_load, layout)
    )
    return sorted(loaded, key=lambda mount: mount.path), broken


def save(layout: Layout, mount: HostMount) -> None:
    """Create the record, or replace it."""
    directory = directory_of(layout, mount.path)
    data = json.dumps(mount.to_record(), indent=2).encode() + b"\n"
    if directory.exists():
        fs.write_atomic(directory / RECORD, data)
        return
    staged = layout.staging / secrets.token_hex(16)
    try:
        with records.mapped_errors(f'record the mount at "{mount.path}"'):
            staged.mkdir(mode=0o700)
            fs.write_new(staged / RECORD, data)
            fs.fsync_dir(staged)
            checkpoint.checkpoint("host-mount:before-commit")
            os.rename(staged, directory)  # the commit point
            fs.fsync_dir(layout.mounts)
        checkpoint.checkpoint("host-mount:after-commit")
    finally:
        fs.remove_tree(staged)


def delete(layout: Layout, path: str) -> None:
    """Remove the record of the mount at `path`, if there is one."""
    directory = directory_of(layout, path)
    if directory.exists():
        records.throw_away(layout, directory, directory.name)


def directory_of(layout: Layout, path: str) -> Path:
    """Return the directory of the record. Hashed, because a path has slashes."""
    return layout.mounts / hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def _load(layout: Layout, directory: Path) -> HostMount:
    record = records.load(directory / RECORD)
    with records.broken_on_bad_value(directory / RECORD):
        mount = host_mount.from_record(record)
        expected = directory_of(layout, mount.path)
    if expected != directory:
        raise records.Broken(f'"{directory}" holds the record of the mount at "{mount.path}"')
    return mount
