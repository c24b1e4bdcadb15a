# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volume records and mount references.

    volumes/<sha256 of the name>/
    |-- volume.json    the record; written before anybody hears of the volume
    |-- mounts.json    who holds it mounted; absent means nobody
    |-- options.json   the driver `local` only, and only if a secret is among its options: all of
    |                  them, because whoever mounts it again has to know them; shown to nobody
    `-- _data/         content, for the driver `local` only

The directory appears by one rename from staging/ and goes by one rename to trash/. A mount
reference is written before the driver's Mount and removed after its Unmount, which is the engine's
order to keep; here both are one atomic rewrite of mounts.json, and then of what memory holds.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from plugind import checkpoint, errors, log
from plugind.host import fs
from plugind.model import volume as volume_
from plugind.model.secrets import DEFAULT, SecretPolicy
from plugind.model.volume import MountRef, Volume
from plugind.store import records
from plugind.store.layout import Layout

RECORD = "volume.json"
MOUNTS = "mounts.json"
OPTIONS = "options.json"
DATA = "_data"


@dataclass(frozen=True, slots=True, kw_only=True)
class StagedVolume:
    """A volume's directory on its way in. Made by `VolumeStore.stage`."""

    name: str
    path: Path
    record: bytes
    options: bytes | None


class VolumeStore:
    """Every volume below `volumes/`. A record that holds what `policy` calls a secret is refused."""

    def __init__(self, layout: Layout, policy: SecretPolicy = DEFAULT) -> None:
        self._layout = layout
        # What mounts.json says, by volume: the disk first, memory after.
        self._mounts: dict[str, tuple[MountRef, ...]] = {}
        self._policy = policy

    def load_all(self) -> tuple[list[Volume], list[str]]:
        """Return every volume, and the directories set aside because they are broken."""

        def load_one(directory: Path) -> Volume:
            volume = self._load(directory)
            self._load_mounts(volume.name)
            return volume

        return records.load_all(self._layout, self._layout.volumes, "volume", load_one)

    def data_dir(self, name: str) -> Path:
        """Return where the driver `local` keeps the content of volume `name`."""
        return self._layout.volume_dir(name) / DATA

    def save(self, volume: Volume, mount_options: Mapping[str, str] | None = None) -> None:
        """Create the volume, or replace its record; `local` volumes get their `_data`.

        `mount_options` are the options with their secrets, for a `local` volume that has some.
        """
        if self._layout.volume_dir(volume.name).exists():
            self._replace(volume.name, *self._render(volume, mount_options))
            return
        staged = self.stage(volume, mount_options)
        try:
            self.commit(staged)
        finally:
            self.discard(staged)

    def stage(self, volume: Volume, mount_options: Mapping[str, str] | None = None) -> StagedVolume:
        """Write what `save` writes, durably, where nobody sees it; `commit` or `discard` follows."""
        data, private = self._render(volume, mount_options)
        staged = StagedVolume(
            name=volume.name,
            path=self._layout.staging / secrets.token_hex(16),
            record=data,
            options=private,
        )
        try:
            with records.mapped_errors(f'create volume "{volume.name}"'):
                staged.path.mkdir(mode=0o700)
                if volume.driver == volume_.LOCAL:
                    (staged.path / DATA).mkdir()
                    (staged.path / DATA).chmod(0o755)  # what Docker gives, whatever the umask
                if private is not None:
                    fs.write_new(staged.path / OPTIONS, private)
                fs.write_new(staged.path / RECORD, data)
                fs.fsync_dir(staged.path)
        except BaseException:
            fs.remove_tree(staged.path)
            raise
        return staged

    def commit(self, staged: StagedVolume) -> None:
        """Make a staged volume one that exists, by one rename."""
        directory = self._layout.volume_dir(staged.name)
        if directory.exists():  # left in place at boot, when it could not be read
            self._replace(staged.name, staged.record, staged.options)
            self.discard(staged)
            return
        checkpoint.checkpoint("volume-create:before-commit")
        with records.mapped_errors(f'create volume "{staged.name}"'):
            os.rename(staged.path, directory)  # the commit point
            self._mounts[staged.name] = ()
            fs.fsync_dir(self._layout.volumes)
        checkpoint.checkpoint("volume-create:after-commit")

    def discard(self, staged: StagedVolume) -> None:
        """Remove a staged volume; nothing to do if it was committed."""
        if staged.path.exists():
            fs.remove_tree(staged.path)

    def _render(
        self, volume: Volume, mount_options: Mapping[str, str] | None
    ) -> tuple[bytes, bytes | None]:
        """Return volume.json and options.json (None: there is none)."""
        clear = volume_.find_clear(volume, self._policy)
        if clear:
            raise errors.System(
                f'cannot record volume "{volume.name}": secrets in its options {", ".join(clear)}'
            )
        private = None
        if mount_options is not None and volume.driver == volume_.LOCAL and volume.secret_digests:
            private = json.dumps(dict(mount_options), indent=2).encode() + b"\n"
        return json.dumps(volume.to_record(), indent=2).encode() + b"\n", private

    def _replace(self, name: str, data: bytes, private: bytes | None) -> None:
        directory = self._layout.volume_dir(name)
        if private is not None:
            fs.write_atomic(directory / OPTIONS, private)
            checkpoint.checkpoint("volume-seal:after-options")
        fs.write_atomic(directory / RECORD, data)

    def mount_options(self, name: str) -> dict[str, str] | None:
        """Return the options of a `local` volume that has secrets in them, None if it has none."""
        path = self._layout.volume_dir(name) / OPTIONS
        if not path.exists():
            return None
        document = records.load(path)
        with records.broken_on_bad_value(path):
            return {str(option): str(value) for option, value in document.items()}

    def delete(self, name: str) -> None:
        """Remove the volume with its references and `local` content; NoSuchVolume if absent."""
        directory = self._existing(name)
        records.throw_away(self._layout, directory, directory.name, operation="volume-remove")
        self._mounts.pop(name, None)

    def mounts(self, name: str) -> tuple[MountRef, ...]:
        """Return who holds the volume mounted; nobody if it is unknown.

        Answered from memory, unless mounts.json could not be read when the volume was loaded: then
        it is read again, and Broken or System says why it cannot be.
        """
        known = self._mounts.get(name)
        return self._read_mounts(name) if known is None else known

    def _load_mounts(self, name: str) -> None:
        try:
            self._mounts[name] = self._read_mounts(name)
        except errors.PlugindError as exc:
            log.error("cannot tell who holds a volume mounted", volume=name, cause=exc)

    def _read_mounts(self, name: str) -> tuple[MountRef, ...]:
        path = self._layout.volume_dir(name) / MOUNTS
        if not path.exists():
            return ()
        document = records.load_json(path)
        with records.broken_on_bad_value(path):
            return tuple(
                MountRef(holder=ref["holder"], id=ref["id"], mountpoint=ref["mountpoint"])
                for ref in document
            )

    def save_mounts(self, name: str, refs: Iterable[MountRef]) -> None:
        """Replace the references of a volume that has a record."""
        kept = tuple(refs)
        document = [
            {"holder": ref.holder, "id": ref.id, "mountpoint": ref.mountpoint} for ref in kept
        ]
        data = json.dumps(document, indent=2).encode() + b"\n"
        fs.write_atomic(self._existing(name) / MOUNTS, data)
        self._mounts[name] = kept

    def _existing(self, name: str) -> Path:
        directory = self._layout.volume_dir(name)
        if not directory.exists():
            raise errors.NoSuchVolume(f"get {name}: no such volume")
        return directory

    def _load(self, directory: Path) -> Volume:
        record = records.load(directory / RECORD)
        with records.broken_on_bad_value(directory / RECORD):
            volume = volume_.from_record(record)
            expected = self._layout.volume_dir(volume.name)
        if expected != directory:
            raise records.Broken(f'"{directory}" holds the record of volume "{volume.name}"')
        return volume
