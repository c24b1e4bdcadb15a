# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Which directory of the host a path and a link of a plugin mean."""

from __future__ import annotations

import pytest

from plugind import errors
from plugind.model import mountpoint
from plugind.model.config import PluginMount

ROOT = "/lib/plugins/id"


def bind(source: str | None, *options: str, type: str = "bind") -> PluginMount:
    return PluginMount(source=source, destination="/inside", type=type, options=options)


def of(path: str, *mounts: PluginMount, propagated: str = "/data") -> mountpoint.Mountpoint:
    return mountpoint.of_plugin(
        f"{ROOT}/{path}", plugin_root=ROOT, propagated_mount=propagated, mounts=mounts
    )


def test_a_path_is_below_what_the_plugin_has() -> None:
    found = of("propagated-mount/mnt/v")
    assert (found.root, found.path) == (f"{ROOT}/propagated-mount", "mnt/v")
    assert str(found) == f"{ROOT}/propagated-mount/mnt/v"
    assert str(of("rootfs")) == f"{ROOT}/rootfs"


@pytest.mark.parametrize("path", ["/etc", f"{ROOT}/plugin.json", f"{ROOT}2/rootfs/v", ROOT])
def test_another_path_is_none_of_a_plugin(path: str) -> None:
    with pytest.raises(errors.System, match="not in the directory of its plugin"):
        mountpoint.of_plugin(path, plugin_root=ROOT, propagated_mount="/data")


@pytest.mark.parametrize(
    ("link", "directory", "rest"),
    [
        ("/data/store/v", f"{ROOT}/propagated-mount", ["store", "v"]),
        ("/data", f"{ROOT}/propagated-mount", []),
        ("/database", f"{ROOT}/rootfs", ["database"]),
        ("/etc", f"{ROOT}/rootfs", ["etc"]),
        ("/", f"{ROOT}/rootfs", []),
        ("/srv/volumes/./v", "/srv/volumes", ["v"]),
        ("/srv/volumes/special/v", "/srv/volumes/special", ["v"]),
        ("/srv/volumes2", f"{ROOT}/rootfs", ["srv", "volumes2"]),
        ("/read/only", f"{ROOT}/rootfs", ["read", "only"]),
        ("/srv/volumes/../../etc", "/srv/volumes", ["..", "..", "etc"]),
    ],
)
def test_an_absolute_link_means_what_the_plugin_has(
    link: str, directory: str, rest: list[str]
) -> None:
    found = of(
        "rootfs/v",
        bind("/srv/volumes", "rshared"),
        bind("/srv/volumes/special", "rbind", type=""),
        bind("/read", "rbind", "ro"),
        bind("/read", "rbind", "rro"),
        bind("/etc", type="tmpfs"),
        bind("", "rbind"),
        bind(None, "rbind"),
    )
    root, parts = found.follow(link)
    assert (root.directory, parts) == (directory, rest)
    assert root.granted is directory.startswith("/srv")


def test_who_was_granted_the_host_means_the_host() -> None:
    found = of("propagated-mount/v", bind("/", "rbind"))
    root, parts = found.follow("/etc/x")
    assert (root.directory, root.granted, parts) == ("/", True, ["etc", "x"])
    assert found.follow("/data/x")[0].directory == f"{ROOT}/propagated-mount"


@pytest.mark.parametrize("propagated", ["", "/"])
def test_without_a_propagated_mount_all_is_in_the_rootfs(propagated: str) -> None:
    root, parts = of("rootfs/v", propagated=propagated).follow("/data/x")
    assert (root.directory, parts) == (f"{ROOT}/rootfs", ["data", "x"])


def test_a_directory_of_ours_is_its_own_root() -> None:
    found = mountpoint.Mountpoint(root="/lib/volumes/v")
    assert str(found) == "/lib/volumes/v"
    assert found.follow("/etc")[0].directory == "/lib/volumes/v"
