# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volume records and mount references.

    volumes/<sha256 of the name>/
    |-- volume.json    the record; written before anybody hears of the volume
    |-- mounts.json    who holds it mounted; absent means nobody
    |-- options.json   the driver `local` only, and only if a secret is among its options: all of
    |                  them, because whoever mounts it again has to know them; shown to nobody
    |-- new            empty; until the creation has come to its end
    `-- _data/         content, for the driver `local` only

    create   staging/<random> -> volumes/<hash>, fsync (the commit point), unlink `new`
    boot     `new` is there: the record is whole -> fsync, unlink `new`; it is not -> away with all

The rename comes before the fsync, so that one commit of the file system's journal is enough for
both (ADR 9): nobody has heard of the volume before the fsync, and `new` tells a boot that it may
find less than a record. A directory goes by one rename to trash/. A mount reference is written
before the driver's Mount and removed after its Unmount, which is the engine's order to keep; here
both are one atomic rewrite of mounts.json, and then of what memory holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterable, Mapping
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
NEW = "new"


class VolumeStore:
    """Every volume below `volumes/`. A record that holds what `policy` calls a secret is refused."""

    def __init__(self, layout: Layout, policy: SecretPolicy = DEFAULT) -> None:
        self._layout = layout
        # What mounts.json says, by volume: the disk first, memory after.
        self._mounts: dict[str, tuple[MountRef, ...]] = {}
        self._policy = policy

    def load_all(self) -> tuple[list[Volume], list[str]]:
        """Return every volume, and the directories set aside because they are broken."""

        def load_one(directory: Path) -> Volume | None:
            volume = self._finish(directory) if _is_new(directory) else self._load(directory)
            if volume is None:
                return None
            self._load_mounts(volume.name)
            return volume

        loaded, broken = records.load_all(self._layout, self._layout.volumes, "volume", load_one)
        return [volume for volume in loaded if volume is not None], broken

    def data_dir(self, name: str) -> Path:
        """Return where the driver `local` keeps the content of volume `name`."""
        return self._layout.volume_dir(name) / DATA

    def save(self, volume: Volume, mount_options: Mapping[str, str] | None = None) -> None:
        """Create the volume, or replace its record; `local` volumes get their `_data`.

        `mount_options` are the options with their secrets, for a `local` volume that has some.
        """
        directory = self._layout.volume_dir(volume.name)
        data, private = self._render(volume, mount_options)
        with records.mapped_errors(f'create volume "{volume.name}"'):
            if not directory.exists():
                self._create(directory, volume, data, private)
                self._mounts[volume.name] = ()
                return
            self._replace(directory, data, private)
            if _is_new(directory):  # its fsync failed, and it could not be taken away
                self._end_creation(directory)

    def _create(self, directory: Path, volume: Volume, data: bytes, private: bytes | None) -> None:
        staged = self._layout.staging / secrets.token_hex(16)
        try:
            staged.mkdir(mode=0o700)
            with fs.new_file(staged / NEW):
                pass
            if volume.driver == volume_.LOCAL:
                (staged / DATA).mkdir()
                (staged / DATA).chmod(0o755)  # what Docker gives, whatever the umask
            if private is not None:
                fs.write_new(staged / OPTIONS, private)
            with fs.new_file(staged / RECORD) as fd:
                fs.write_all(fd, data)
                checkpoint.checkpoint("volume-create:before-commit")
                os.rename(staged, directory)
                checkpoint.checkpoint("volume-create:before-sync")
                os.fsync(fd)
            self._end_creation(directory)
        except OSError:
            self._take_back(staged, directory)
            raise

    def _end_creation(self, directory: Path) -> None:
        """Make the names of a volume that has appeared durable, its own one last."""
        fs.fsync_dir(directory)
        fs.fsync_dir(self._layout.volumes)  # the commit point
        checkpoint.checkpoint("volume-create:after-commit")
        (directory / NEW).unlink()

    def _take_back(self, staged: Path, directory: Path) -> None:
        """Undo a creation that failed. What stays is `new`, and the next boot's to look after."""
        with contextlib.suppress(errors.System):
            fs.remove_tree(staged)
            if directory.exists():
                records.throw_away(self._layout, directory, directory.name)

    def _finish(self, directory: Path) -> Volume | None:
        """Bring a creation that was killed to its end; None if there was too little of it.

        Nobody has heard of a volume without a whole record, but what is in it may not be deleted.
        """
        try:
            volume = self._load(directory)
        except records.Broken:
            if not _holds_nothing(directory):
                raise
            log.info("volume dropped: its creation had not come to its end", path=directory)
            records.throw_away(self._layout, directory, directory.name)
            return None
        with records.mapped_errors(f'create volume "{volume.name}"'):
            with open(directory / RECORD, "rb") as record:
                os.fsync(record.fileno())
            self._end_creation(directory)
        return volume

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

    def _replace(self, directory: Path, data: bytes, private: bytes | None) -> None:
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


def _is_new(directory: Path) -> bool:
    return (directory / NEW).exists()


def _holds_nothing(directory: Path) -> bool:
    """True if nothing but what a creation writes is there."""
    written = {entry.name for entry in directory.iterdir()} <= {NEW, RECORD, OPTIONS, DATA}
    data = directory / DATA
    return written and not (data.is_dir() and any(data.iterdir()))
