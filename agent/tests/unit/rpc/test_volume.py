# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""VolumeDriver: requests, answers, limits, and when a volume counts as absent."""

from __future__ import annotations

from typing import Any

import pytest

from plugind import errors
from plugind.model.volume import DriverVolume
from plugind.rpc import client
from plugind.rpc.volume import VolumeDriver, means_absent


class Socket:
    """Answers one thing; records what it was asked."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = {} if answer is None else answer
        self.calls: list[tuple[str, Any, float]] = []

    async def call(
        self,
        method: str,
        body: dict[str, Any] | None,
        *,
        timeout: float,
    ) -> Any:
        self.calls.append((method, body, timeout))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def driver_error(text: str) -> client.DriverError:
    return client.DriverError(text, text=text, status=200)


async def test_requests_and_limits() -> None:
    socket = Socket()
    driver = VolumeDriver(socket)
    await driver.create("v", {"a": "b"})
    await driver.create("v", None)
    await driver.create("v", {})
    await driver.remove("v")
    await driver.path("v")
    await driver.mount("v", "id")
    await driver.unmount("v", "id")
    await driver.list()
    await driver.capabilities()
    assert socket.calls == [
        ("VolumeDriver.Create", {"Name": "v", "Opts": {"a": "b"}}, 120),
        ("VolumeDriver.Create", {"Name": "v", "Opts": None}, 120),
        ("VolumeDriver.Create", {"Name": "v", "Opts": None}, 120),
        ("VolumeDriver.Remove", {"Name": "v"}, 60),
        ("VolumeDriver.Path", {"Name": "v"}, 60),
        ("VolumeDriver.Mount", {"Name": "v", "ID": "id"}, 120),
        ("VolumeDriver.Unmount", {"Name": "v", "ID": "id"}, 60),
        ("VolumeDriver.List", {}, 60),
        ("VolumeDriver.Capabilities", {}, 60),
    ]


@pytest.mark.parametrize(
    ("enable_timeout", "limits"), [(0, (120, 60)), (30, (30, 30)), (90, (90, 60)), (900, (120, 60))]
)
async def test_the_enable_timeout_shortens(
    enable_timeout: float, limits: tuple[float, float]
) -> None:
    socket = Socket()
    driver = VolumeDriver(socket, enable_timeout=enable_timeout)
    await driver.mount("v", "id")
    await driver.list()
    assert tuple(call[2] for call in socket.calls) == limits


async def test_get() -> None:
    answer = {
        "volume": {
            "name": "v",
            "MountPoint": "/data/v",
            "CreatedAt": "2026-01-02T03:04:05.678+01:00",
            "Status": {"a": 1},
        }
    }
    assert await VolumeDriver(Socket(answer)).get("v") == DriverVolume(
        name="v",
        mountpoint="/data/v",
        created_at="2026-01-02T03:04:05.678+01:00",
        status={"a": 1},
    )


@pytest.mark.parametrize("created", ["", None, 7, "2026-01-02 03:04:05 +0000 UTC", "yesterday"])
async def test_a_date_that_is_none_is_dropped(created: Any) -> None:
    answer = {"Volume": {"CreatedAt": created, "Status": []}}
    assert await VolumeDriver(Socket(answer)).get("v") == DriverVolume(name="v")


@pytest.mark.parametrize("answer", [{}, {"Volume": None}, {"Volume": {}}])
async def test_an_empty_volume_is_absent(answer: Any) -> None:
    with pytest.raises(errors.NoSuchVolume, match="get v: no such volume"):
        await VolumeDriver(Socket(answer)).get("v")


async def test_errors_that_mean_absence_and_those_that_do_not() -> None:
    for method in ("get", "remove"):
        with pytest.raises(errors.NoSuchVolume, match="no such volume"):
            await getattr(VolumeDriver(Socket(driver_error("no such volume"))), method)("v")
        with pytest.raises(client.DriverError, match="backend is down"):
            await getattr(VolumeDriver(Socket(driver_error("backend is down"))), method)("v")
        with pytest.raises(errors.Unavailable):
            await getattr(VolumeDriver(Socket(errors.Unavailable("not found"))), method)("v")


@pytest.mark.parametrize(
    "text",
    [
        "no such volume",
        "VolumeDriver.Get: No Such Volume: v1",
        "volume v1 not found",
        "Volume not found",
        "docker volume 'v1' does not exist",
        "v1 not found",
        "not found",
        "Does not exist.",
        "unknown volume v1",
        "myhost not found",
    ],
)
def test_absent(text: str) -> None:
    assert means_absent(text, "myhost" if "myhost" in text else "v1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "connection refused",
        "volume v1 is busy",
        "mount volume v1: exec: sshfs: executable file not found in $PATH",
        "volume v1: /bin/sh: mount.nfs: command not found",
        "cannot read volume v1: host nas.example not found",
        "404 page not found",
        "access token not found",
        "bucket does not exist",
        "internal error",
    ],
)
def test_not_absent(text: str) -> None:
    assert not means_absent(text, "v1")


@pytest.mark.parametrize("answer", [{}, {"Volumes": None}, {"Volumes": []}])
async def test_no_volumes(answer: Any) -> None:
    assert await VolumeDriver(Socket(answer)).list() == ()


async def test_volumes() -> None:
    answer = {"Volumes": [{"Name": "a", "Mountpoint": "/a"}, {"name": "b"}]}
    assert await VolumeDriver(Socket(answer)).list() == (
        DriverVolume(name="a", mountpoint="/a"),
        DriverVolume(name="b"),
    )


@pytest.mark.parametrize("answer", [{"Volumes": {}}, {"Volumes": "x"}, {"Volumes": ["a"]}])
async def test_broken_lists(answer: Any) -> None:
    driver = VolumeDriver(Socket(answer))
    if not answer["Volumes"]:
        assert await driver.list() == ()
        return
    with pytest.raises(errors.System, match="broken Volumes"):
        await driver.list()


async def test_a_broken_volume() -> None:
    with pytest.raises(errors.System, match="no object"):
        await VolumeDriver(Socket({"Volume": "x"})).get("v")


@pytest.mark.parametrize(("answer", "path"), [({"Mountpoint": "/d/v"}, "/d/v"), ({}, "")])
async def test_mountpoints(answer: Any, path: str) -> None:
    assert await VolumeDriver(Socket(answer)).mount("v", "id") == path
    assert await VolumeDriver(Socket(answer)).path("v") == path


@pytest.mark.parametrize(
    ("answer", "scope"),
    [
        ({"Capabilities": {"Scope": "global"}}, "global"),
        ({"capabilities": {"scope": "GLOBAL"}}, "global"),
        ({"Capabilities": {"Scope": "local"}}, "local"),
        ({"Capabilities": {"Scope": "galactic"}}, "local"),
        ({"Capabilities": {"Scope": 7}}, "local"),
        ({"Capabilities": None}, "local"),
        ({}, "local"),
        (driver_error("404 page not found"), "local"),
        (errors.Unavailable("gone"), "local"),
    ],
)
async def test_scope(answer: Any, scope: str) -> None:
    assert await VolumeDriver(Socket(answer)).capabilities() == scope
