# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What must hold on disk once the engine has settled, whatever happened before.

1. a directory under plugins/ is complete: record, rootfs, every blob it names; one under images/ as
   well: record, rootfs, and no name that another has
2. `enabled` on disk means that the plugin's socket answered: asked by the tests, which know
3. a mount reference is there for everything that a driver has mounted: the same
4. nothing under ingest/ staging/ trash/ is needed, so after a start nothing is there
5. no path outside is touched, and no blob stays that nobody names: a plugin, for its present and its
   previous version, or the undo log, by a manifest
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_INNER = {"plugin.json", "rootfs", "propagated-mount"}


def load_records(root: Path) -> dict[str, dict[str, Any]]:
    """Return plugin records by name."""
    found = {}
    for path in sorted((root / "plugins").glob("*/plugin.json")):
        record = json.loads(path.read_bytes())
        found[record["name"]] = record
    return found


def load_volumes(root: Path) -> dict[str, dict[str, Any]]:
    """Return volume records by name."""
    paths = sorted((root / "volumes").glob("*/volume.json"))
    return {record["name"]: record for record in (json.loads(p.read_bytes()) for p in paths)}


def check(root: Path) -> None:
    """Assert the invariants that can be seen on disk."""
    needed = set()
    for directory in sorted((root / "plugins").iterdir()):
        names = {entry.name for entry in directory.iterdir()}
        assert {"plugin.json", "rootfs"} <= names <= _INNER, (directory, names)
        record = json.loads((directory / "plugin.json").read_bytes())
        assert record["id"] == directory.name
        for version in filter(None, (record, record.get("previous_version"))):
            needed |= {version["manifest_digest"], version["config_digest"], *version["layers"]}
    for directory in sorted((root / "volumes").iterdir()):
        assert (directory / "volume.json").is_file(), directory
    check_images(root)
    stored = {f"sha256:{path.name}" for path in (root / "blobs" / "sha256").iterdir()}
    needed |= named_by_undo(root) & stored
    assert needed == stored, (needed - stored, stored - needed)
    for name in ("ingest", "staging", "trash", "quarantine"):
        assert not list((root / name).iterdir()), (name, list((root / name).iterdir()))


def named_by_undo(root: Path) -> set[str]:
    """Return the blobs of the versions that the undo log goes back to."""
    path = root / "undo.json"
    if not path.exists():
        return set()
    found = set()
    for plugin in json.loads(path.read_bytes())["declaration"].get("plugins", ()):
        digest = plugin.get("source", "").partition("@")[2]
        manifest = root / "blobs" / "sha256" / digest.removeprefix("sha256:")
        if digest and manifest.exists():
            document = json.loads(manifest.read_bytes())
            blobs = [document["config"], *document["layers"]]
            found |= {digest, *(blob["digest"] for blob in blobs)}
    return found


def check_images(root: Path) -> None:
    """Assert that images are complete and that a name has one of them."""
    names: list[str] = []
    for directory in sorted((root / "images").iterdir()):
        assert {entry.name for entry in directory.iterdir()} == {"image.json", "rootfs"}, directory
        record = json.loads((directory / "image.json").read_bytes())
        assert record["id"] == f"sha256:{directory.name}"
        names += record["names"] + record["digests"]
    assert len(names) == len(set(names)), names


def check_empty(root: Path) -> None:
    """Assert that nothing is left: no plugin, no volume, no image, no blob, nothing on its way."""
    check(root)
    assert not list((root / "images").iterdir())
    assert not list((root / "plugins").iterdir())
    assert not list((root / "blobs" / "sha256").iterdir())
