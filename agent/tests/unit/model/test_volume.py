# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plugind import errors
from plugind.model import volume
from plugind.model.volume import Volume

VOLUME = Volume(
    name="data",
    driver="acme/driver:1",
    options={"size": "1G"},
    labels={"a": "b"},
    created_at="2026-01-02T03:04:05Z",
)


@pytest.mark.parametrize("made", [VOLUME, replace(VOLUME, options=None, labels=None)])
def test_the_record_round_trips_through_json(made: Volume) -> None:
    assert volume.from_record(json.loads(json.dumps(made.to_record()))) == made


def test_a_broken_record_says_so() -> None:
    with pytest.raises(KeyError):
        volume.from_record({"name": "data"})


def test_render_is_the_engine_apis_object_in_its_order() -> None:
    shown = volume.render(VOLUME, mountpoint="/m", status=None)
    assert list(shown) == [
        "CreatedAt", "Driver", "Labels", "Mountpoint", "Name", "Options", "Scope",
    ]  # fmt: skip
    assert shown["Mountpoint"] == "/m"
    assert volume.render(VOLUME, mountpoint="", status={"up": True})["Status"] == {"up": True}


def test_render_of_a_bare_volume() -> None:
    bare = Volume(name="data", driver="local", created_at="")
    shown = volume.render(bare, mountpoint="", status={})
    assert (shown["Labels"], shown["Options"]) == (None, None)
    assert shown["CreatedAt"] == volume.ZERO_TIME
    assert "Status" not in shown


@pytest.mark.parametrize("name", ["ab", "a.b-c_d", "0x", "A" * 300])
def test_local_names(name: str) -> None:
    volume.require_local_name(name)


@pytest.mark.parametrize("name", ["-ab", ".ab", "a/b", "a b", "a\n", "ab\n", "\u00e4b", "../x", ""])
def test_what_is_no_local_name(name: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="includes invalid characters"):
        volume.require_local_name(name)


def test_one_letter_is_too_short() -> None:
    with pytest.raises(errors.InvalidParameter, match="volume name is too short"):
        volume.require_local_name("a")


@pytest.mark.parametrize("name", ["a/b", "x y", "\u00e4", "n" * 255])
def test_names_that_are_the_drivers_business(name: str) -> None:
    volume.require_plugin_volume_name(name)


@pytest.mark.parametrize("name", ["n" * 256, "\u00e4" * 128, "a\0b", "a\nb"])
def test_names_that_no_driver_gets(name: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="at most 255 bytes"):
        volume.require_plugin_volume_name(name)


@pytest.mark.parametrize(
    ("mountpoint", "propagated", "expected"),
    [
        ("", "/data", ""),
        ("/mnt/x", "", "/p/rootfs/mnt/x"),
        ("/data/x", "/data", "/p/propagated-mount/x"),
        ("/data", "/data", "/p/propagated-mount"),
        ("/data", "/data/", "/p/propagated-mount"),
        ("/database/x", "/data", "/p/rootfs/database/x"),
        ("//data/./x/", "/data", "/p/propagated-mount/x"),
        ("data/x", "/data", "/p/propagated-mount/x"),
        ("/var/lib/v/x", "/var/lib/v", "/p/propagated-mount/x"),
    ],
)
def test_host_path(mountpoint: str, propagated: str, expected: str) -> None:
    found = volume.host_path(mountpoint, plugin_root="/p", propagated_mount=propagated)
    assert found == expected


@pytest.mark.parametrize("mountpoint", ["/data/../../etc", "..", "/.."])
def test_a_mountpoint_that_climbs(mountpoint: str) -> None:
    with pytest.raises(errors.System, match="climbs"):
        volume.host_path(mountpoint, plugin_root="/p", propagated_mount="/data")
