# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from plugind import errors
from plugind.model import secrets, volume
from plugind.model.secrets import DEFAULT, MASK
from plugind.model.volume import Volume, VolumeRequest

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


def test_a_mountpoint_with_a_nul() -> None:
    with pytest.raises(errors.System, match="has a NUL in it"):
        volume.host_path("/data\0", plugin_root="/p", propagated_mount="/data")


OPTIONS = {"password": "x", "host": "h", "o": "user=u,secret=y"}
REQUEST = VolumeRequest(name="data", driver="acme:1", options=OPTIONS, labels={"a": "b"})
SHOWN = {"password": MASK, "host": "h", "o": f"user=u,secret={MASK}"}


def digest(name: str, option: str, value: str) -> str:
    return secrets.digest(b"k" * 32, name, option, value)


def foreign(name: str, option: str, value: str) -> str:
    return secrets.digest(b"o" * 32, name, option, value)


def test_a_sealed_volume_has_no_secrets() -> None:
    sealed = volume.seal(REQUEST, DEFAULT, digest)
    assert sealed.options == SHOWN
    assert sealed.secret_digests == {
        name: digest("data", name, OPTIONS[name]) for name in ["password", "o"]
    }
    assert (sealed.labels, sealed.driver) == (REQUEST.labels, REQUEST.driver)
    assert volume.seal(replace(REQUEST, options={}), DEFAULT, digest).options is None
    assert volume.from_record(json.loads(json.dumps(sealed.to_record()))) == sealed
    assert "'x'" not in repr(REQUEST)


def test_who_names_a_requests_secrets() -> None:
    labels = {secrets.OPTIONS_LABEL: "one"}
    request = replace(REQUEST, labels=labels, secret_options=frozenset({"two"}))
    policy = request.policy(DEFAULT.naming(["three"]))
    assert all(policy.covers(name) for name in ("one", "two", "three", "password"))
    assert set(REQUEST.secrets(DEFAULT)) == {"x", "y"}


def test_a_record_of_old_is_sealed_once() -> None:
    record = {**volume.seal(REQUEST, DEFAULT, digest).to_record(), "options": OPTIONS}
    del record["secret_digests"]
    old = volume.from_record(record)
    assert volume.find_clear(old, DEFAULT) == ["password", "o"]
    sealed = volume.seal_again(old, DEFAULT, digest)
    assert sealed == volume.seal(REQUEST, DEFAULT, digest)
    assert volume.seal_again(sealed, DEFAULT, digest) is sealed


def test_a_wider_policy_seals_more_and_keeps_the_digests_there_are() -> None:
    sealed = volume.seal(REQUEST, DEFAULT, digest)
    wider = volume.seal_again(sealed, DEFAULT.naming(["user", "host"]), digest)
    assert wider.options == {"password": MASK, "host": MASK, "o": f"user={MASK},secret={MASK}"}
    assert wider.secret_digests == {**sealed.secret_digests, "host": digest("data", "host", "h")}
    assert volume.differing(wider, OPTIONS, digest) == ()


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({}, ()),
        ({"password": "z"}, ("password",)),
        ({"password": MASK}, ("password",)),
        ({"o": "user=u,secret=z"}, ("o",)),
        ({"o": "user=w,secret=y"}, ("o",)),
        ({"host": "g"}, ("host",)),
        ({"more": "1"}, ("more",)),
        ({"password": None, "host": None}, ("host", "password")),
    ],
)
def test_secrets_are_compared_by_digest(
    change: dict[str, str | None], names: tuple[str, ...]
) -> None:
    declared = {name: value for name, value in {**OPTIONS, **change}.items() if value is not None}
    sealed = volume.seal(REQUEST, DEFAULT, digest)
    assert volume.differing(sealed, declared, digest) == names


def test_digests_of_another_key_cannot_be_compared() -> None:
    sealed = volume.seal(REQUEST, DEFAULT, foreign)
    with pytest.raises(
        errors.System, match=r'cannot compare option "(o|password)" of volume "data"'
    ):
        volume.differing(sealed, OPTIONS, digest)
    assert volume.differing(sealed, {"host": "h"}, digest) == ("o", "password")


@pytest.mark.parametrize("options", [{"password": MASK}, {"o": f"a=b,token={MASK}"}])
def test_a_mask_is_no_value(options: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidParameter, match="give the value itself"):
        replace(REQUEST, options=options).require_values(DEFAULT)
    REQUEST.require_values(DEFAULT)
