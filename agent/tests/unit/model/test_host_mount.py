# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Records of host mounts, paths, and what the mount table says of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from plugind import errors
from plugind.model import host_mount
from plugind.model.host_mount import COVERED, MOUNTED, STALE, UNMOUNTED, HostMount, Source

MOUNT = HostMount(path="/srv/data", volume="v")
NEW, OLD, OTHER = (Source(device=f"0:{n}", root="/") for n in (7, 5, 9))
#: The data root, as a subvolume of its file system may be seen.
OWN = Source(device="8:1", root="/@/lib")


@pytest.mark.parametrize("bound", [None, OLD])
def test_records_are_read_back(bound: Source | None) -> None:
    mount = HostMount(
        path="/srv/a b",
        volume="v",
        read_only=True,
        propagation="rslave",
        mode="0750",
        owner="nobody",
        group="0",
        created=("/srv/a b",),
        bound=bound,
    )
    assert host_mount.from_record(json.loads(json.dumps(mount.to_record()))) == mount


@pytest.mark.parametrize(
    "change",
    [{"path": "srv"}, {"path": "/a/../b"}, {"propagation": "unbindable"}, {"bound": "x"}],
)
def test_a_record_that_says_nonsense_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises((errors.InvalidParameter, TypeError)):
        host_mount.from_record({**MOUNT.to_record(), **change})


def test_what_a_client_asks_for() -> None:
    assert host_mount.parse({"path": "/srv//data/", "volume": "v"}) == MOUNT
    asked = {
        "path": "/m", "volume": "v", "read_only": True, "propagation": "slave", "mode": "0700",
        "owner": "1000", "group": "users",
    }  # fmt: skip
    parsed = host_mount.parse(asked)
    assert {name: getattr(parsed, name) for name in asked} == asked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": ""}, 'invalid path "": want an absolute path'),
        ({"path": "srv"}, 'invalid path "srv": want an absolute path'),
        ({"path": "/a\0b"}, "want an absolute path"),
        ({"path": "/a\nb"}, "want an absolute path"),
        ({"path": "/a/../b"}, 'invalid path "/a/../b": "." and ".." are not allowed'),
        ({"path": "/a/./b"}, '"." and ".." are not allowed'),
        ({"path": "//"}, 'invalid path "//": nothing is mounted on /'),
        ({"path": "/" + "x" * 4096}, "longer than 4095 bytes"),
        ({"volume": ""}, "no volume was named"),
        ({"mode": "rwx"}, 'invalid mode "rwx": want octal digits such as 0750'),
        ({"mode": "7777"}, 'invalid mode "7777"'),
        ({"mode": "511"}, 'invalid mode "511"'),
        ({"propagation": "bidirectional"}, 'invalid propagation "bidirectional": want one of rpr'),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        host_mount.parse({"path": "/srv", "volume": "v", **change})
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/var/lib/plugind", 'it is in "/var/lib/plugind"'),
        ("/var/lib/plugind/volumes", 'it is in "/var/lib/plugind"'),
        ("/var/lib", 'it would hide "/var/lib/plugind"'),
        ("/run", 'it would hide "/run/plugind"'),
    ],
)
def test_the_agents_own_directories_are_left_alone(path: str, why: str) -> None:
    with pytest.raises(errors.InvalidParameter) as caught:
        host_mount.require_apart(path, ["/var/lib/plugind", "/run/plugind"])
    assert str(caught.value) == f'cannot mount at "{path}": {why}, which is the agent\'s own'


def test_other_directories_are_nobodys() -> None:
    for path in ("/var/lib/plugind2", "/var/lib/other", "/srv"):
        host_mount.require_apart(path, ["/var/lib/plugind", "/run/plugind"])


@pytest.mark.parametrize(
    ("stack", "shown", "state"),
    [
        ([], NEW, UNMOUNTED),
        ([], None, UNMOUNTED),
        ([(NEW, False)], NEW, MOUNTED),
        ([(OTHER, False), (NEW, False)], NEW, MOUNTED),
        ([(OLD, False)], NEW, STALE),
        ([(OLD, False)], None, STALE),
        ([(NEW, False), (OTHER, False)], NEW, COVERED),
        ([(OTHER, False)], NEW, COVERED),
        ([(OTHER, False)], None, COVERED),
    ],
)
def test_the_state_is_what_the_table_says(
    stack: list[tuple[Source, bool]], shown: Source | None, state: str
) -> None:
    assert host_mount.state(replace(MOUNT, bound=OLD), stack, shown, OWN) == state


def test_a_mount_that_became_writable_is_stale() -> None:
    mount = replace(MOUNT, read_only=True, bound=NEW)
    assert host_mount.state(mount, [(NEW, True)], NEW, OWN) == MOUNTED
    assert host_mount.state(mount, [(NEW, False)], NEW, OWN) == STALE


@pytest.mark.parametrize(
    ("bound", "now", "own"),
    [
        ("plugins/ab/propagated-mount/v", "plugins/ab/propagated-mount/v", True),
        ("plugins/ab/propagated-mount/v", "plugins/ab/propagated-mount/v//deleted", True),
        ("plugins/ab/propagated-mount/v", "trash/ab-0f/propagated-mount/v", True),
        ("plugins/ab/propagated-mount/v", "trash/ab-0f/propagated-mount/v//deleted", True),
        ("plugins/ab/propagated-mount/v", "quarantine/ab-1/propagated-mount/v", True),
        ("plugins/ab/rootfs/a/b", "plugins/ab/previous/rootfs/a/b", True),
        ("plugins/ab/rootfs/a/b", "trash/ab-previous-0f/rootfs/a/b", True),
        ("plugins/ab/propagated-mount/v", "trash/ab-0f/propagated-mount/w", False),
        ("plugins/ab/propagated-mount/v", "trash/ab-0f/propagated-mount", False),
        ("plugins/ab/propagated-mount/v", "trash/abc-0f/propagated-mount/v", False),
        ("plugins/ab/propagated-mount/v", "plugins/cd/propagated-mount/v", False),
        ("plugins/ab/propagated-mount/v", "trash", False),
        ("plugins/ab/propagated-mount/v", "", False),
        ("plugins", "trash", False),
    ],
)
def test_a_directory_that_was_moved_or_deleted_is_known(bound: str, now: str, own: bool) -> None:
    before, found = (
        Source(device="8:1", root=f"/@/lib/{part}".rstrip("/")) for part in (bound, now)
    )
    mount = replace(MOUNT, bound=before)
    assert host_mount.is_own(mount, found, OWN) is own
    assert host_mount.state(mount, [(found, False)], NEW, OWN) == (STALE if own else COVERED)
    assert not host_mount.is_own(mount, replace(found, device="8:2"), OWN)
    assert not host_mount.is_own(MOUNT, found, OWN)


def test_elsewhere_only_the_same_directory_is_known() -> None:
    mount = replace(MOUNT, bound=Source(device="0:50", root="/plugins/ab/v"))
    for root, own in (("/plugins/ab/v//deleted", True), ("/trash/ab-0f/v", False)):
        assert host_mount.is_own(mount, Source(device="0:50", root=root), OWN) is own


def test_what_lies_in_a_directory() -> None:
    plugin = Source(device="8:1", root="/@/lib/plugins/ab")
    for root, inside in (("/v", True), ("", False), ("c/v", False)):
        bound = Source(device="8:1", root=f"{plugin.root}{root}")
        assert host_mount.lies_in(replace(MOUNT, bound=bound), plugin) is inside
        assert not host_mount.lies_in(replace(MOUNT, bound=replace(bound, device="8:2")), plugin)
    assert not host_mount.lies_in(MOUNT, plugin)


def test_only_what_is_seen_counts_as_a_difference() -> None:
    assert MOUNT.shows_the_same(replace(MOUNT, mode="0700", created=("/srv",), bound=OLD))
    for change in ({"volume": "w"}, {"read_only": True}, {"propagation": "slave"}):
        assert not MOUNT.shows_the_same(replace(MOUNT, **change))  # type: ignore[arg-type]


def test_it_is_shown_as_dockers_objects_are() -> None:
    assert MOUNT.to_json(state=STALE, error="because") == {
        "Path": "/srv/data",
        "Volume": "v",
        "ReadOnly": False,
        "Propagation": "rprivate",
        "State": "stale",
        "Error": "because",
    }
