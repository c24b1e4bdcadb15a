# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Where everything lies, and how a data root is made ready at boot.

root/                      0700
|-- format                 the number of this layout; a newer one is never written to
|-- secret.key             what secrets are digested with, see secret_key
|-- undo.json              how to go back from the last change, see undo
|-- blobs/sha256/<hex>     committed content
|-- ingest/                content on its way in; never needed after a crash, swept at boot
|-- staging/               plugins and volumes on their way in; the same
|-- trash/                 what was removed, on its way out; the same
|-- quarantine/            records that could not be read; never deleted by the agent
|-- plugins/<id>/          plugin.json rootfs/ propagated-mount/ (and next/ previous/: see plugins)
|-- images/<config hex>/   image.json rootfs/
|-- mounts/<sha256 of the path>/   mount.json
|-- containers/<id>/       container.json upper/ work/ merged/ etc/
`-- volumes/<sha256 of the name>/  volume.json mounts.json _data/
run/                       api.sock, lock, bundles; needed by other users, so 0755
logs/                      output of plugins
sockets/<id>/              the plugin's own socket
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from plugind import errors, log
from plugind.host import fs
from plugind.model.digest import Digest

CURRENT_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Layout:
    """The four roots, and every path below them."""

    root: Path
    run: Path
    logs: Path
    sockets: Path

    @property
    def format_file(self) -> Path:
        """The file that holds the number of this layout."""
        return self.root / "format"

    @property
    def secret_key(self) -> Path:
        """The key with which secrets are digested."""
        return self.root / "secret.key"

    @property
    def undo(self) -> Path:
        """How to go back from the last change."""
        return self.root / "undo.json"

    @property
    def blobs(self) -> Path:
        """Committed content, by sha256."""
        return self.root / "blobs" / "sha256"

    @property
    def ingest(self) -> Path:
        """Content on its way in."""
        return self.root / "ingest"

    @property
    def staging(self) -> Path:
        """Directories on their way in."""
        return self.root / "staging"

    @property
    def trash(self) -> Path:
        """Directories on their way out."""
        return self.root / "trash"

    @property
    def quarantine(self) -> Path:
        """Directories whose record is broken, kept for the operator."""
        return self.root / "quarantine"

    @property
    def plugins(self) -> Path:
        """One directory per installed plugin."""
        return self.root / "plugins"

    @property
    def mounts(self) -> Path:
        """One directory per host mount."""
        return self.root / "mounts"

    @property
    def images(self) -> Path:
        """One directory per container image."""
        return self.root / "images"

    @property
    def containers(self) -> Path:
        """One directory per one-off container."""
        return self.root / "containers"

    @property
    def volumes(self) -> Path:
        """One directory per volume."""
        return self.root / "volumes"

    def plugin_dir(self, id: str) -> Path:
        """The directory of plugin `id`."""
        return self.plugins / id

    def rootfs(self, id: str) -> Path:
        """The plugin's root file system."""
        return self.plugins / id / "rootfs"

    def propagated_mount(self, id: str) -> Path:
        """The directory whose mounts the plugin shares with the host; survives an upgrade."""
        return self.plugins / id / "propagated-mount"

    def plugin_record(self, id: str) -> Path:
        """The plugin's record."""
        return self.plugins / id / "plugin.json"

    def volume_dir(self, name: str) -> Path:
        """The directory of volume `name`. Hashed, because a driver's names may hold anything."""
        return self.volumes / hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()

    def image_dir(self, id: Digest) -> Path:
        """The directory of image `id`."""
        return self.images / id.hex

    def container_dir(self, id: str) -> Path:
        """The directory of container `id`."""
        return self.containers / id

    def socket_dir(self, id: str) -> Path:
        """Where the plugin's own socket appears."""
        return self.sockets / id

    def read_format(self) -> int:
        """Return the number of the layout on disk; CURRENT_FORMAT for a root that is new."""
        try:
            text = self.format_file.read_text(encoding="ascii")
        except FileNotFoundError:
            return CURRENT_FORMAT
        except (OSError, ValueError) as exc:
            raise errors.System(f'cannot read "{self.format_file}": {exc}') from exc
        if not text.strip().isdecimal():
            raise errors.System(f'cannot read "{self.format_file}": {text[:40]!r} is no number')
        return int(text)

    def prepare(self) -> None:
        """Make the directories and sweep what a crash left; a newer format is left alone."""
        if self.read_format() > CURRENT_FORMAT:
            return
        try:
            self._make_directories()
        except OSError as exc:
            raise errors.System(f'cannot prepare "{exc.filename}": {exc.strerror}') from exc
        if not self.format_file.exists():
            fs.write_atomic(self.format_file, f"{CURRENT_FORMAT}\n".encode())
        for directory in (self.ingest, self.staging, self.trash):
            _sweep(directory)

    def _make_directories(self) -> None:
        private = (
            self.root, self.blobs.parent, self.blobs, self.ingest, self.staging,
            self.trash, self.quarantine, self.plugins, self.volumes, self.images,
            self.mounts,
            self.containers,
        )  # fmt: skip
        for directory in private:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            directory.chmod(0o700)
        # These may belong to somebody else (systemd, dockerd), so an existing mode is kept.
        self.run.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.sockets.mkdir(mode=0o700, parents=True, exist_ok=True)


def _sweep(directory: Path) -> None:
    for leftover in sorted(directory.iterdir()):
        try:
            fs.remove_tree(leftover)
        except errors.System as exc:
            # A live mount below trash/ is data in use: it stays until somebody unmounts it.
            log.warning("left in place while sweeping", path=leftover, cause=exc)
        else:
            log.info("swept what an earlier run left", path=leftover)
