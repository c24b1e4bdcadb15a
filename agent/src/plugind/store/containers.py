# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Container records and directories.

    containers/<id>/
    |-- container.json     the record; rewritten at each change of state
    |-- upper/ work/       what the container changed, and the kernel's own
    |-- merged/            its root file system while it runs: a mount (or a copy)
    `-- etc/               hosts, hostname, resolv.conf

The directory appears by one rename from staging/ and goes by one rename to trash/.
"""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from plugind import checkpoint
from plugind.host import fs
from plugind.model.containers import container as container_
from plugind.model.containers.container import Container
from plugind.store import records
from plugind.store.layout import Layout

RECORD = "container.json"
FILES = ("hosts", "hostname", "resolv.conf")


@dataclass(frozen=True, slots=True)
class ContainerDirs:
    """Host paths of one container."""

    root: Path

    @property
    def upper(self) -> Path:
        """What the container changed."""
        return self.root / "upper"

    @property
    def work(self) -> Path:
        """The overlay's working directory."""
        return self.root / "work"

    @property
    def merged(self) -> Path:
        """The container's root file system."""
        return self.root / "merged"

    @property
    def volumes(self) -> Path:
        """Where its volumes are shown to the runtime while it is created."""
        return self.root / "volumes"

    def file(self, name: str) -> Path:
        """One of FILES."""
        return self.root / "etc" / name


class ContainerStore:
    """Every container below `containers/`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def dirs(self, container_id: str) -> ContainerDirs:
        """Return the paths of a container."""
        return ContainerDirs(self._layout.container_dir(container_id))

    def load_all(self) -> tuple[list[Container], list[str]]:
        """Return every container, and the directories set aside because they are broken."""
        return records.load_all(self._layout, self._layout.containers, "container", self._load)

    def load_readable(self) -> list[Container]:
        """Return the containers that can be read, and change nothing on disk."""
        return records.load_readable(self._layout.containers, "container", self._load)

    def create(self, container: Container) -> None:
        """Make the container's directory, complete, by one rename."""
        staged = ContainerDirs(self._layout.staging / secrets.token_hex(16))
        target = self._layout.container_dir(container.id)
        try:
            with records.mapped_errors(f"create container {container.id}"):
                staged.root.mkdir(mode=0o700)
                for directory in (staged.upper, staged.work, staged.merged, staged.root / "etc"):
                    directory.mkdir()
                    directory.chmod(0o755)  # the container sees the mode, whatever the umask
                for name in FILES:
                    fs.write_new(staged.file(name), b"", 0o644)
                fs.write_new(staged.root / RECORD, _render(container))
                fs.fsync_dir(staged.root)
                checkpoint.checkpoint("container-create:before-commit")
                os.rename(staged.root, target)  # the commit point
                fs.fsync_dir(self._layout.containers)
            checkpoint.checkpoint("container-create:after-commit")
        finally:
            fs.remove_tree(staged.root)

    def save(self, container: Container) -> None:
        """Replace the container's record."""
        fs.write_atomic(self._layout.container_dir(container.id) / RECORD, _render(container))

    def remove(self, container_id: str) -> None:
        """Remove a container with all it changed; refused while anything is mounted below it."""
        directory = self._layout.container_dir(container_id)
        checkpoint.checkpoint("container-remove:before-commit")
        records.throw_away(self._layout, directory, container_id)
        checkpoint.checkpoint("container-remove:after-commit")

    def _load(self, directory: Path) -> Container:
        record = records.load(directory / RECORD)
        with records.broken_on_bad_value(directory / RECORD):
            container = container_.from_record(record)
        if container.id != directory.name:
            raise records.Broken(f'"{directory}" holds the record of container {container.id}')
        return container


def _render(container: Container) -> bytes:
    return json.dumps(container.to_record(), indent=2).encode() + b"\n"
