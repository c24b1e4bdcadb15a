# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Installed plugins: a directory each, which appears, changes and goes by one rename.

    plugins/<id>/
    |-- plugin.json         the record
    |-- rootfs/
    |-- propagated-mount/   kept through upgrades
    |-- next/               only inside an upgrade: the new plugin.json and rootfs, complete
    |-- previous/           after an upgrade, until it is confirmed: the old plugin.json and rootfs
    `-- back/               only inside a roll back: what was previous/

    install    staging/<x>  -> plugins/<id>                 commit
    upgrade    staging/<x>  -> plugins/<id>/next            commit; then `_roll_forward`
    roll back  <id>/previous -> plugins/<id>/back           commit; then `_roll_forward`
    remove     plugins/<id> -> trash/<id>-<random>          commit; then the slow deletion

Rolling forward moves rootfs and record out of next/ (back/) into place, and what they replace into
previous/ (trash/), in steps that can be repeated from any point. `load_all` finishes one that a
crash interrupted: after the commit the new version is complete, before it the old one is untouched.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from plugind import checkpoint, errors
from plugind.host import fs
from plugind.model import plugin as plugin_
from plugind.model.digest import Digest
from plugind.model.plugin import Plugin
from plugind.store import records
from plugind.store.layout import Layout

Operation = Literal["create", "pull", "install", "upgrade"]
RECORD = "plugin.json"
ROOTFS = "rootfs"


class Stage:
    """A plugin directory on its way in. Made by `PluginStore.stage`."""

    def __init__(self, layout: Layout, path: Path, operation: Operation) -> None:
        self.path = path
        self.rootfs = path / ROOTFS
        self.operation = operation
        self._layout = layout

    def commit(self, plugin: Plugin) -> None:
        """Make the staged plugin an installed one: durable first, then one rename."""
        target = self._layout.plugin_dir(plugin.id)
        if target.exists():
            raise errors.Conflict(f'cannot install plugin {plugin.id}: "{target}" exists')
        with records.mapped_errors(f'install plugin "{plugin.name}"'):
            (self.path / "propagated-mount").mkdir(mode=0o755)
            self.write(plugin)
            checkpoint.checkpoint(f"{self.operation}:before-commit")
            os.rename(self.path, target)  # the commit point
            fs.fsync_dir(self._layout.plugins)
        checkpoint.checkpoint(f"{self.operation}:after-commit")

    def sync(self) -> None:
        """Make the rootfs durable early, so that `write` takes no time when it matters."""
        fs.sync_tree(self.path)

    def write(self, plugin: Plugin) -> None:
        """Write the record and make everything staged durable, the record with the rest."""
        with fs.new_file(self.path / RECORD) as fd:
            fs.write_all(fd, _render(plugin))
        fs.sync_tree(self.path)


class PluginStore:
    """Every plugin below `plugins/`."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def load_all(self) -> tuple[list[Plugin], list[str]]:
        """Return every plugin, and the ids of those set aside because they are broken.

        Interrupted upgrades are finished first. A broken directory goes to quarantine/ with a log
        line, or stays where it is if it cannot be moved; the rest go on.
        """

        def load_one(directory: Path) -> Plugin:
            self._roll_forward(directory.name)
            return self.load(directory.name)

        return records.load_all(self._layout, self._layout.plugins, "plugin", load_one)

    def load(self, id: str) -> Plugin:
        """Return plugin `id` as it is on disk; `records.Broken` if it is not complete."""
        return self._load_from(id, self._layout.plugin_dir(id))

    @contextlib.contextmanager
    def stage(self, operation: Operation = "pull") -> Iterator[Stage]:
        """Give a directory with an empty rootfs; removed when the context ends uncommitted."""
        with records.staged_rootfs(self._layout, "a plugin") as path:
            yield Stage(self._layout, path, operation)

    def save(self, plugin: Plugin) -> None:
        """Replace the plugin's record."""
        checkpoint.checkpoint("save:before-commit")
        fs.write_atomic(self._layout.plugin_record(plugin.id), _render(plugin))
        checkpoint.checkpoint("save:after-commit")

    def swap(self, plugin_id: str, stage: Stage, new_plugin: Plugin) -> None:
        """Put the staged version in place of the installed one, which becomes the previous one.

        The plugin must not run. Its propagated-mount stays. `roll_back` undoes it, and
        `discard_previous` confirms it.
        """
        if new_plugin.id != plugin_id:
            raise errors.System(f"cannot upgrade plugin {plugin_id}: the new record has another id")
        directory = self._layout.plugin_dir(plugin_id)
        fs.require_unmounted(directory / ROOTFS, f"upgrade plugin {plugin_id}")
        self.discard_previous(plugin_id)
        with records.mapped_errors(f"upgrade plugin {plugin_id}"):
            stage.write(new_plugin)
            checkpoint.checkpoint("upgrade:before-commit")
            os.rename(stage.path, directory / "next")  # the commit point
            fs.fsync_dir(directory)
            checkpoint.checkpoint("upgrade:after-commit")
            self._roll_forward(plugin_id)

    def change(self, plugin: Plugin) -> None:
        """Save a record that has a way back of its own, the only one from now on."""
        self.discard_previous(plugin.id)
        self.save(plugin)

    def unconfirmed(self, plugin: Plugin) -> Plugin | None:
        """Return what a change that nobody has confirmed replaced: a version, or its settings."""
        if plugin.settings_before is not None:
            return plugin.reverted()
        return self.previous(plugin.id)

    def confirm(self, plugin: Plugin) -> Plugin:
        """Give up the way back; return the record as it is then."""
        confirmed = plugin.confirmed()
        if confirmed != plugin:
            self.save(confirmed)
        self.discard_previous(plugin.id)
        return confirmed

    def revert(self, plugin_id: str) -> Plugin:
        """Undo an unconfirmed change, wherever it stopped; return what is there then.

        If none has been committed, nothing happens.
        """
        self._roll_forward(plugin_id)
        plugin = self.load(plugin_id)
        if plugin.settings_before is not None:
            plugin = plugin.reverted()
            self.save(plugin)
            return plugin
        previous = self.previous(plugin_id)
        return plugin if previous is None else self.roll_back(plugin_id)

    def previous(self, plugin_id: str) -> Plugin | None:
        """Return the version that an unconfirmed upgrade replaced, if there is one."""
        directory = self._layout.plugin_dir(plugin_id) / "previous"
        return self._load_from(plugin_id, directory) if directory.exists() else None

    def roll_back(self, plugin_id: str) -> Plugin:
        """Put the previous version back in place and drop the newer one; return what is there."""
        directory = self._layout.plugin_dir(plugin_id)
        old = self.previous(plugin_id)
        if old is None:
            raise errors.Conflict(f"cannot roll back plugin {plugin_id}: no previous version")
        fs.require_unmounted(directory / ROOTFS, f"roll back plugin {plugin_id}")
        with records.mapped_errors(f"roll back plugin {plugin_id}"):
            checkpoint.checkpoint("rollback:before-commit")
            os.rename(directory / "previous", directory / "back")  # the commit point
            fs.fsync_dir(directory)
            checkpoint.checkpoint("rollback:after-commit")
            self._roll_forward(plugin_id)
        return old

    def discard_previous(self, plugin_id: str) -> None:
        """Confirm an upgrade: drop what it replaced. Nothing to drop is fine."""
        previous = self._layout.plugin_dir(plugin_id) / "previous"
        if previous.exists():
            records.throw_away(self._layout, previous, f"{plugin_id}-previous")

    def remove(self, id: str) -> None:
        """Remove a plugin with its data; refused while anything is mounted below it."""
        records.empty_trash(self.take_out(id))

    def take_out(self, id: str) -> Path:
        """Remove a plugin but for its bytes, which are in the directory that is returned.

        `records.empty_trash` deletes them, or the sweep at boot.
        """
        directory = self._layout.plugin_dir(id)
        if not directory.exists():
            raise errors.NotFound(f'plugin "{id}" not found')
        return records.take_out(self._layout, directory, id, operation="remove")

    def referenced_blobs(self) -> set[Digest]:
        """Return every blob that an installed or previous version needs.

        Raises if a record cannot be read: what it needs is then unknown, so nothing may go.
        """
        found: set[Digest] = set()
        for directory in self._layout.plugins.iterdir():
            found.update(self.load(directory.name).kept_blobs)
            previous = self.previous(directory.name)
            found.update(previous.kept_blobs if previous else ())
        return found

    def _load_from(self, id: str, directory: Path) -> Plugin:
        record = records.load(directory / RECORD)
        with records.broken_on_bad_value(directory / RECORD):
            plugin = plugin_.from_record(record)
        if plugin.id != id:
            raise records.Broken(f'"{directory}" holds the record of plugin {plugin.id}')
        if not (directory / ROOTFS).is_dir():
            raise records.Broken(f'"{directory}" has no rootfs')
        return plugin

    def _roll_forward(self, id: str) -> None:
        """Finish the upgrade (or roll back) that next/ (back/) holds, from wherever it stopped."""
        directory = self._layout.plugin_dir(id)
        if (directory / "next").is_dir():
            self._place(directory, directory / "next", directory / "previous")
        elif (directory / "back").is_dir():
            dropped = self._layout.trash / f"{id}-{secrets.token_hex(8)}"
            self._place(directory, directory / "back", dropped)
            fs.remove_tree(dropped)

    def _place(self, directory: Path, coming: Path, aside: Path) -> None:
        """Move rootfs and record from `coming` into `directory`, what they replace to `aside`.

        Every step may have happened already, so each looks before it acts.
        """
        aside.mkdir(mode=0o700, exist_ok=True)
        if (coming / ROOTFS).exists():
            if (directory / ROOTFS).exists():
                _move(directory / ROOTFS, aside / ROOTFS)
            checkpoint.checkpoint("swap:rootfs-aside")
            _move(coming / ROOTFS, directory / ROOTFS)
        checkpoint.checkpoint("swap:rootfs-placed")
        if (coming / RECORD).exists():
            if not (aside / RECORD).exists():
                os.link(directory / RECORD, aside / RECORD)
                fs.fsync_dir(aside)
            _move(coming / RECORD, directory / RECORD)
        checkpoint.checkpoint("swap:record-placed")
        os.rmdir(coming)
        fs.fsync_dir(directory)


def _move(source: Path, target: Path) -> None:
    """Rename, and make both directories durable before the next step relies on it."""
    os.rename(source, target)
    fs.fsync_dir(target.parent)
    fs.fsync_dir(source.parent)


def _render(plugin: Plugin) -> bytes:
    return json.dumps(plugin.to_record(), indent=2).encode() + b"\n"
