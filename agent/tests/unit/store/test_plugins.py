# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Includes the kill matrix: die at every checkpoint, reopen, find the old state or the new one."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace

import pytest

from plugind import checkpoint, errors
from plugind.model.digest import Digest
from plugind.model.plugin import Plugin
from plugind.store.layout import Layout
from plugind.store.plugins import PluginStore


class PowerCut(BaseException):
    """Stands for SIGKILL: not an Exception, so that no handler of ours may take it for an error."""


def install(store: PluginStore, plugin: Plugin, content: str = "old") -> None:
    with store.stage("pull") as stage:
        (stage.rootfs / "version").write_text(content)
        stage.commit(plugin)


def upgrade(store: PluginStore, plugin: Plugin, content: str = "new") -> None:
    with store.stage("upgrade") as stage:
        (stage.rootfs / "version").write_text(content)
        store.swap(plugin.id, stage, plugin)


@pytest.fixture
def newer(plugin: Plugin) -> Plugin:
    return replace(plugin, name="acme/driver:2", layers=(Digest.of(b"newer layer"),))


def version(layout: Layout, plugin: Plugin) -> str:
    return (layout.rootfs(plugin.id) / "version").read_text()


def test_install_appears_complete(plugins: PluginStore, layout: Layout, plugin: Plugin) -> None:
    install(plugins, plugin)
    assert plugins.load_all() == ([plugin], [])
    directory = layout.plugin_dir(plugin.id)
    assert sorted(os.listdir(directory)) == ["plugin.json", "propagated-mount", "rootfs"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (directory, directory / "plugin.json")]
    assert modes == [0o700, 0o600]
    assert os.listdir(layout.staging) == []


def test_an_uncommitted_stage_leaves_nothing(plugins: PluginStore, layout: Layout) -> None:
    with plugins.stage("create") as stage:
        (stage.rootfs / "file").touch()
    assert os.listdir(layout.staging) == []


def test_an_id_is_installed_once(plugins: PluginStore, layout: Layout, plugin: Plugin) -> None:
    install(plugins, plugin)
    with pytest.raises(errors.Conflict, match="exists"):
        install(plugins, plugin, "other")
    assert version(layout, plugin) == "old"


def test_save_replaces_the_record(plugins: PluginStore, plugin: Plugin) -> None:
    install(plugins, plugin)
    plugins.save(plugin.with_enabled(True))
    assert plugins.load(plugin.id).enabled


def test_upgrade_keeps_the_old_version_until_it_is_confirmed(
    plugins: PluginStore, layout: Layout, plugin: Plugin, newer: Plugin
) -> None:
    install(plugins, plugin)
    (layout.propagated_mount(plugin.id) / "data").touch()
    upgrade(plugins, newer)
    assert plugins.load_all() == ([newer], [])
    assert version(layout, plugin) == "new"
    assert plugins.previous(plugin.id) == plugin
    assert (layout.propagated_mount(plugin.id) / "data").exists()
    assert plugins.referenced_blobs() == {*plugin.blobs, *newer.blobs}
    plugins.discard_previous(plugin.id)
    assert plugins.previous(plugin.id) is None
    assert plugins.referenced_blobs() == set(newer.blobs)
    assert os.listdir(layout.trash) == []


def test_roll_back_restores_the_old_version(
    plugins: PluginStore, layout: Layout, plugin: Plugin, newer: Plugin
) -> None:
    install(plugins, plugin)
    upgrade(plugins, newer)
    assert plugins.roll_back(plugin.id) == plugin
    assert plugins.load_all() == ([plugin], [])
    assert version(layout, plugin) == "old"
    assert plugins.previous(plugin.id) is None
    assert os.listdir(layout.trash) == []
    with pytest.raises(errors.Conflict, match="no previous version"):
        plugins.roll_back(plugin.id)


def test_a_version_is_reverted_or_confirmed(
    plugins: PluginStore, layout: Layout, plugin: Plugin, newer: Plugin
) -> None:
    install(plugins, plugin)
    assert plugins.unconfirmed(plugin) is None
    assert plugins.revert(plugin.id) == plugin  # nothing was changed
    upgrade(plugins, newer)
    assert plugins.unconfirmed(newer) == plugin
    assert plugins.revert(plugin.id) == plugin
    assert version(layout, plugin) == "old"
    upgrade(plugins, newer)
    assert plugins.confirm(newer) == newer
    assert plugins.unconfirmed(newer) is None
    assert plugins.revert(plugin.id) == newer


def test_settings_are_reverted_or_confirmed(
    plugins: PluginStore, plugin: Plugin, newer: Plugin
) -> None:
    install(plugins, plugin)
    upgrade(plugins, newer)
    other = replace(newer.settings, args=("other",))
    changed = replace(newer, settings=other, settings_before=newer.settings)
    plugins.change(changed)
    assert plugins.previous(plugin.id) is None  # there is one way back, and it is the latest one
    assert plugins.unconfirmed(changed) == newer
    assert plugins.revert(plugin.id) == plugins.load(plugin.id) == newer
    plugins.change(changed)
    confirmed = replace(newer, settings=other)
    assert plugins.confirm(changed) == plugins.load(plugin.id) == confirmed
    assert plugins.unconfirmed(confirmed) is None


def test_a_second_upgrade_drops_the_version_before_last(
    plugins: PluginStore, layout: Layout, plugin: Plugin, newer: Plugin
) -> None:
    install(plugins, plugin)
    upgrade(plugins, newer)
    newest = replace(newer, name="acme/driver:3")
    upgrade(plugins, newest, "newest")
    assert plugins.previous(plugin.id) == newer
    assert version(layout, plugin) == "newest"


def test_upgrade_to_another_id_is_refused(plugins: PluginStore, plugin: Plugin) -> None:
    install(plugins, plugin)
    with plugins.stage("upgrade") as stage, pytest.raises(errors.System, match="another id"):
        plugins.swap(plugin.id, stage, replace(plugin, id="cd" * 32))


def test_remove(plugins: PluginStore, layout: Layout, plugin: Plugin) -> None:
    install(plugins, plugin)
    plugins.remove(plugin.id)
    assert plugins.load_all() == ([], [])
    assert os.listdir(layout.trash) == []
    with pytest.raises(errors.NotFound, match=f'plugin "{plugin.id}" not found'):
        plugins.remove(plugin.id)


def damage_record(layout: Layout, id: str) -> None:
    layout.plugin_record(id).write_text('{"id": ')


def damage_fields(layout: Layout, id: str) -> None:
    layout.plugin_record(id).write_text('{"id": "x"}')


def damage_id(layout: Layout, id: str) -> None:
    record = layout.plugin_record(id)
    record.write_text(record.read_text().replace(id, "cd" * 32))


def damage_rootfs(layout: Layout, id: str) -> None:
    shutil.rmtree(layout.rootfs(id))


@pytest.mark.parametrize("damage", [damage_record, damage_fields, damage_id, damage_rootfs])
def test_a_broken_plugin_is_set_aside_and_the_rest_go_on(
    plugins: PluginStore, layout: Layout, plugin: Plugin, damage: Callable[[Layout, str], None]
) -> None:
    sound = replace(plugin, id="cc" * 32, name="acme/sound:1")
    install(plugins, plugin)
    install(plugins, sound)
    damage(layout, plugin.id)
    assert plugins.load_all() == ([sound], [plugin.id])
    assert (layout.quarantine / f"{plugin.id}-1").is_dir()
    assert plugins.load_all() == ([sound], [])


def test_a_plugin_that_cannot_be_read_now_stays(
    plugins: PluginStore, layout: Layout, plugin: Plugin
) -> None:
    install(plugins, plugin)
    layout.plugin_record(plugin.id).unlink()
    layout.plugin_record(plugin.id).mkdir()
    assert plugins.load_all() == ([], [plugin.id])
    assert layout.plugin_dir(plugin.id).is_dir()


def test_referenced_blobs_raises_rather_than_forgetting(
    plugins: PluginStore, layout: Layout, plugin: Plugin
) -> None:
    install(plugins, plugin)
    damage_record(layout, plugin.id)
    with pytest.raises(errors.System):
        plugins.referenced_blobs()


@pytest.mark.root
def test_remove_and_upgrade_refuse_a_live_mount(
    plugins: PluginStore, layout: Layout, plugin: Plugin, newer: Plugin
) -> None:
    install(plugins, plugin)
    for place, act in (
        (layout.propagated_mount(plugin.id), lambda: plugins.remove(plugin.id)),
        (layout.rootfs(plugin.id), lambda: upgrade(plugins, newer)),
    ):
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        try:
            with pytest.raises(errors.System, match="is still mounted"):
                act()
        finally:
            subprocess.run(["umount", place], check=True)
        assert plugins.load_all() == ([plugin], [])


def die_at(name: str, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> bool:
    def cut(reached: str) -> None:
        if reached == name:
            raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "hook", cut)
        try:
            act()
        except PowerCut:
            return True
    return False


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("operation", ["create", "pull", "install"])
def test_killed_while_installing(
    plugins: PluginStore,
    layout: Layout,
    plugin: Plugin,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    when: str,
) -> None:
    def act() -> None:
        with plugins.stage(operation) as stage:  # type: ignore[arg-type]
            stage.commit(plugin)

    assert die_at(f"{operation}:{when}-commit", monkeypatch, act)
    layout.prepare()
    assert plugins.load_all() == ([plugin] if when == "after" else [], [])
    assert os.listdir(layout.staging) == []


UPGRADE_POINTS = [name for name in checkpoint.NAMES if name.startswith(("upgrade:", "swap:"))]


@pytest.mark.parametrize("name", UPGRADE_POINTS)
@pytest.mark.parametrize("again", [None, *UPGRADE_POINTS])
def test_killed_while_upgrading_and_again_while_recovering(
    plugins: PluginStore,
    layout: Layout,
    plugin: Plugin,
    newer: Plugin,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    again: str | None,
) -> None:
    install(plugins, plugin)
    assert die_at(name, monkeypatch, lambda: upgrade(plugins, newer))
    if again:
        die_at(again, monkeypatch, plugins.load_all)
    layout.prepare()
    committed = name != "upgrade:before-commit"
    assert plugins.load_all() == ([newer if committed else plugin], [])
    assert version(layout, plugin) == ("new" if committed else "old")
    assert plugins.previous(plugin.id) == (plugin if committed else None)
    if committed:  # and the way back is still open
        assert plugins.roll_back(plugin.id) == plugin
        assert version(layout, plugin) == "old"


@pytest.mark.parametrize(
    "name", [name for name in checkpoint.NAMES if name.startswith(("rollback:", "swap:"))]
)
def test_killed_while_rolling_back(
    plugins: PluginStore,
    layout: Layout,
    plugin: Plugin,
    newer: Plugin,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    install(plugins, plugin)
    upgrade(plugins, newer)
    assert die_at(name, monkeypatch, lambda: plugins.roll_back(plugin.id))
    layout.prepare()
    committed = name != "rollback:before-commit"
    assert plugins.load_all() == ([plugin if committed else newer], [])
    assert version(layout, plugin) == ("old" if committed else "new")
    assert plugins.previous(plugin.id) == (None if committed else plugin)


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_saving_or_removing(
    plugins: PluginStore,
    layout: Layout,
    plugin: Plugin,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    install(plugins, plugin)
    enabled = plugin.with_enabled(True)
    assert die_at(f"save:{when}-commit", monkeypatch, lambda: plugins.save(enabled))
    kept = enabled if when == "after" else plugin
    assert plugins.load_all() == ([kept], [])
    assert die_at(f"remove:{when}-commit", monkeypatch, lambda: plugins.remove(plugin.id))
    layout.prepare()
    assert plugins.load_all() == ([kept] if when == "before" else [], [])
    assert os.listdir(layout.trash) == []
