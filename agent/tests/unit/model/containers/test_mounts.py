# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from typing import Any

import pytest

from plugind import errors
from plugind.model.containers import mounts
from plugind.model.containers.mounts import ContainerMount


def parse(volumes: tuple[str, ...] = (), image: tuple[str, ...] = (), **host_config: Any) -> Any:
    return mounts.parse_mounts(host_config, volumes, image)


def test_binds() -> None:
    assert parse(Binds=["v:/data", "/host/../x:/y/:ro", "/anon"], VolumeDriver="d") == (
        ContainerMount(type="volume", target="/anon", driver="d", made_up=True),
        ContainerMount(type="volume", source="v", target="/data", driver="d"),
        ContainerMount(type="bind", source="/x", target="/y", read_only=True, create_source=True),
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("rw", {}),
        ("ro", {"read_only": True}),
        ("nocopy", {"copy_up": False}),
        ("ro,nocopy", {"read_only": True, "copy_up": False}),
        ("rprivate,cached", {}),
    ],
)
def test_modes(mode: str, expected: dict[str, Any]) -> None:
    assert mounts.parse_bind(f"v:/d:{mode}", "") == ContainerMount(
        type="volume", source="v", target="/d", **expected
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("v:/d:z", 'does not support bind mode "z"'),
        ("/h:/d:rslave", 'does not support bind mode "rslave"'),
        ("v:/d:ro,rw", "invalid mode: ro,rw"),
        ("v:/d:what", "invalid mode: what"),
        ("/h:/d:nocopy", "invalid mode: nocopy"),
        ("v:data", "mount path must be absolute"),
        ("v:/", "destination can't be '/'"),
        ("v:/x/..", "destination can't be '/'"),
        ("a:b:c:d", "invalid volume specification"),
        ("v::", "invalid volume specification"),
        ("", "invalid volume specification"),
        (7, "holds no string"),
    ],
)
def test_bad_binds(text: object, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        mounts.parse_bind(text, "")


def test_mounts() -> None:
    driver = {"Name": "sshfs", "Options": {"a": "b"}}
    options = {"DriverConfig": driver, "Labels": {"l": "1"}, "NoCopy": True}
    volume = {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": options}
    bind = {"Type": "bind", "Source": "/h", "Target": "/b", "ReadOnly": True}
    tmpfs = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 4096, "Mode": 0o700}}
    anonymous = {"Type": "volume", "Target": "/z", "VolumeOptions": {"DriverConfig": {}}}
    assert parse(Mounts=[volume, bind, tmpfs, anonymous]) == (
        ContainerMount(type="bind", source="/h", target="/b", read_only=True),
        ContainerMount(type="tmpfs", target="/t", options={"size": "4096", "mode": "700"}),
        ContainerMount(
            type="volume",
            source="v",
            target="/v",
            driver="sshfs",
            options={"a": "b"},
            labels={"l": "1"},
            copy_up=False,
        ),
        ContainerMount(type="volume", target="/z", made_up=True),
    )


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ({"Type": "npipe", "Target": "/x"}, 'does not support mount type "npipe"'),
        ({"Type": "bind", "Target": "/x"}, "field Source must not be empty"),
        ({"Type": "bind", "Source": "x", "Target": "/x"}, "must be absolute"),
        ({"Type": "volume", "Source": "x"}, "field Target must not be empty"),
        ({"Type": "tmpfs", "Source": "x", "Target": "/x"}, "must not be specified"),
        (
            {"Type": "bind", "Source": "/x", "Target": "/x", "BindOptions": {"NonRecursive": True}},
            "HostConfig.Mounts.BindOptions.nonrecursive",
        ),
        (
            {
                "Type": "bind",
                "Source": "/x",
                "Target": "/x",
                "BindOptions": {"Propagation": "rshared"},
            },
            'does not support bind propagation "rshared"',
        ),
        (
            {"Type": "volume", "Target": "/x", "VolumeOptions": {"Subpath": "a"}},
            "HostConfig.Mounts.VolumeOptions.subpath",
        ),
        ({"Type": "volume", "Target": "/x", "BindOptions": {"a": 1}}, "bindoptions"),
        ({"Type": "volume", "Target": 7}, "target of a mount is no string"),
        (
            {"Type": "volume", "Target": "/x", "VolumeOptions": {"Labels": {"a": 1}}},
            "labels of a mount maps no strings to strings",
        ),
        ([], "HostConfig.Mounts is no object"),
    ],
)
def test_bad_mounts(mount: object, message: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=message):
        parse(Mounts=[mount])


def test_tmpfs() -> None:
    assert parse(Tmpfs={"/t": "size=1m,ro,exec"}) == (
        ContainerMount(
            type="tmpfs", target="/t", options={"size": "1m", "exec": ""}, read_only=True
        ),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"SizeBytes": 1024}, {"size": "1024"}),
        ({"Mode": 0o1777}, {"mode": "1777"}),
        ({"SizeBytes": 0, "Mode": 0}, {}),
    ],
)
def test_tmpfs_by_its_options(options: dict[str, int], expected: dict[str, str]) -> None:
    given = {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": options}
    assert parse(Mounts=[given]) == (ContainerMount(type="tmpfs", target="/t", options=expected),)


def test_what_is_kept_of_host_config_holds_no_volume_options() -> None:
    options = {"DriverConfig": {"Options": {"password": "secret"}}}
    bind = {"Type": "bind", "Source": "/h", "Target": "/b"}
    volume = {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": options}
    kept = mounts.without_options({"Mounts": [bind, volume], "Binds": None})
    assert kept["Mounts"] == [bind, {"Type": "volume", "Source": "v", "Target": "/v"}]
    assert mounts.without_options({"Mounts": None}) == {"Mounts": None}


def test_two_mounts_at_one_place() -> None:
    with pytest.raises(errors.InvalidParameter, match="Duplicate mount point: /d"):
        parse(Binds=["a:/d", "b:/d/"])


def test_an_images_volume_gives_way_to_what_was_asked_for() -> None:
    found = parse(("/own",), ("/data", "/own", "/deep/er"), Binds=["v:/data"])
    assert [(mount.target, mount.source, mount.made_up) for mount in found] == [
        ("/data", "v", False),
        ("/own", "", True),
        ("/deep/er", "", True),
    ]
