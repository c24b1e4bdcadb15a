# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""No link leads out, whoever made it and whenever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import beneath
from plugind.model import mountpoint
from plugind.model.config import PluginMount
from plugind.model.mountpoint import Mountpoint
from support import descriptors


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """The directory of a plugin, and one of the host that was granted to it."""
    root = tmp_path / "plugin"
    for name in ("rootfs/etc", "rootfs/srv/v", "propagated-mount/store/v", "propagated-mount/mnt"):
        (root / name).mkdir(parents=True)
    (tmp_path / "granted" / "v").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    return root


def at(plugin: Path, path: str) -> Mountpoint:
    granted = PluginMount(source=str(plugin.parent / "granted"), type="bind", options=("rshared",))
    return mountpoint.of_plugin(
        f"{plugin}/{path}",
        plugin_root=str(plugin),
        propagated_mount="/data",
        mounts=(granted,),
    )


def located(plugin: Path, path: str) -> str:
    """Return where it is, below the directory of the test."""
    found = beneath.locate(at(plugin, path))
    assert os.path.realpath(found) == str(found)
    return str(found.relative_to(plugin.parent))


@pytest.mark.parametrize(
    ("link", "leads"),
    [
        ("../store/v", "plugin/propagated-mount/store/v"),
        ("/data/store/v", "plugin/propagated-mount/store/v"),
        ("/data/store/v/../v/./", "plugin/propagated-mount/store/v"),
        ("/etc", "plugin/rootfs/etc"),
        ("/", "plugin/rootfs"),
        ("../../../../../..", "plugin/propagated-mount"),
        ("../../../store", "plugin/propagated-mount/store"),
        ("/srv/../../../../etc", "plugin/rootfs/etc"),
        ("{granted}/v", "granted/v"),
        ("{granted}/../../..", "granted"),
    ],
)
def test_a_link_leads_to_what_the_plugin_has(plugin: Path, link: str, leads: str) -> None:
    target = link.format(granted=plugin.parent / "granted")
    (plugin / "propagated-mount/mnt/v").symlink_to(target)
    assert located(plugin, "propagated-mount/mnt/v") == leads
    # The same for a component, and for a link to a link.
    (plugin / "rootfs/chain").symlink_to("/data/mnt")
    assert located(plugin, "rootfs/chain/v/.") == leads


@pytest.mark.parametrize("link", ["{secret}", "../../../secret", "{granted}/../secret", "/nosuch"])
def test_no_link_leads_out(plugin: Path, link: str) -> None:
    target = link.format(secret=plugin.parent / "secret", granted=plugin.parent / "granted")
    (plugin / "propagated-mount/mnt/v").symlink_to(target)
    with pytest.raises(errors.System) as caught:
        located(plugin, "propagated-mount/mnt/v")
    path = plugin / "propagated-mount/mnt/v"
    assert str(caught.value) == (
        f'cannot open "{path}": No such file or directory '
        f'("v" there is a link to "{target}", inside the plugin)'
    )


def test_what_was_granted_is_not_taken_for_what_a_link_makes_of_it(plugin: Path) -> None:
    granted = plugin.parent / "granted"
    granted.rename(plugin.parent / "before")
    granted.symlink_to(plugin.parent / "secret")
    (plugin / "propagated-mount/mnt/v").symlink_to(granted)
    with pytest.raises(errors.System, match="Too many levels of symbolic links"):
        located(plugin, "propagated-mount/mnt/v")


def test_what_is_no_directory_is_an_error(plugin: Path) -> None:
    (plugin / "rootfs/file").touch()
    os.mkfifo(plugin / "rootfs/fifo")
    for path in ("file", "file/x", "fifo"):
        with pytest.raises(errors.System, match="Not a directory"):
            located(plugin, f"rootfs/{path}")
    with pytest.raises(errors.System, match=r'cannot open ".*/rootfs/absent": No such'):
        located(plugin, "rootfs/absent")


def test_links_and_levels_without_end_are_errors(plugin: Path) -> None:
    (plugin / "rootfs/a").symlink_to("b")
    (plugin / "rootfs/b").symlink_to("/a")
    with pytest.raises(errors.System, match="Too many levels of symbolic links"):
        located(plugin, "rootfs/a")
    deep = plugin / "rootfs"
    for _ in range(300):
        deep /= "d"
        deep.mkdir()
    with pytest.raises(errors.System, match="File name too long"):
        located(plugin, "rootfs" + "/d" * 300)


def test_what_is_open_stays_what_it_was(plugin: Path) -> None:
    place = plugin / "propagated-mount/store/v"
    (place / "file").write_text("honest")
    with beneath.opened(at(plugin, "propagated-mount/store/v")) as found:
        place.rename(place.with_name("aside"))
        place.symlink_to(plugin.parent / "secret")
        with open(os.open("file", os.O_RDONLY, dir_fd=found.fd)) as file:
            assert file.read() == "honest"
    assert not descriptors.below(plugin)
