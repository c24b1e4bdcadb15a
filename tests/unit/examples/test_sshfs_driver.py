# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The driver over its socket; the mounts are a list."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sshfs_driver.driver import SshfsDriver
from sshfs_driver.options import Target
from sshfs_driver.records import Records
from volumeplugin import DriverError

OPTS = {"sshcmd": "u@h:/x", "password": "s3cret", "port": "2222"}


class FakeMounts:
    """What is mounted where; connections die and servers refuse as told."""

    def __init__(self) -> None:
        self.mounted: dict[Path, Target] = {}
        self.dead: set[Path] = set()
        self.error = ""
        self.gate: threading.Event | None = None
        self.waiting = threading.Event()

    def attach(self, target: Target, where: Path) -> None:
        if self.gate is not None:
            self.waiting.set()
            assert self.gate.wait(10)
        if self.error:
            raise DriverError(self.error)
        assert where.is_dir()
        assert where not in self.mounted
        self.mounted[where] = target

    def detach(self, where: Path) -> None:
        if self.error:
            raise DriverError(self.error)
        del self.mounted[where]
        self.dead.discard(where)

    def alive(self, where: Path) -> bool:
        return where not in self.dead

    def detach_all(self, below: Path) -> list[Path]:
        points = [point for point in self.mounted if below in point.parents]
        for point in points:
            del self.mounted[point]
        return points


class House:
    """A driver and all that belongs to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mounts = FakeMounts()

    def start(self) -> SshfsDriver:
        records = Records(self.root / ".state")
        return SshfsDriver(self.root, records, self.mounts, lambda: "2026-01-01T00:00:00Z")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def connection(house: House, serving):
    return serving(house.start())


def test_the_life_of_a_volume(house: House, connection, ask) -> None:
    where = house.root / "v"
    assert ask(connection, "Create", Name="v", Opts=OPTS) == (200, {"Err": ""})
    assert house.mounts.mounted == {}
    assert ask(connection, "Mount", Name="v", ID="1")[1]["Mountpoint"] == str(where)
    assert house.mounts.mounted == {where: Target("u@h:/x", "s3cret", 2222)}
    assert ask(connection, "Unmount", Name="v", ID="1")[0] == 200
    assert house.mounts.mounted == {}
    assert not where.exists()
    assert ask(connection, "Remove", Name="v")[0] == 200
    assert ask(connection, "Get", Name="v") == (500, {"Err": "volume v not found"})
    assert ask(connection, "List")[1]["Volumes"] == []


def test_get_shows_everything_but_the_password(connection, ask) -> None:
    ask(connection, "Create", Name="v", Opts=OPTS)
    status, document = ask(connection, "Get", Name="v")
    assert status == 200
    assert document["Volume"]["CreatedAt"] == "2026-01-01T00:00:00Z"
    assert document["Volume"]["Status"] == {
        "sshcmd": "u@h:/x", "options": ["password", "port", "sshcmd"], "mounts": 0,
    }  # fmt: skip
    assert "s3cret" not in str(document)


def test_the_last_holder_unmounts(house: House, connection, ask) -> None:
    ask(connection, "Create", Name="v", Opts=OPTS)
    for mount_id in ("1", "2", "2"):
        assert ask(connection, "Mount", Name="v", ID=mount_id)[0] == 200
    refused = (500, {"Err": "cannot remove volume v: mounted 2 times"})
    assert ask(connection, "Remove", Name="v") == refused
    for mount_id, left in (("1", 1), ("1", 1), ("other", 1), ("2", 0)):
        assert ask(connection, "Unmount", Name="v", ID=mount_id)[0] == 200
        assert len(house.mounts.mounted) == left


def test_create_again_means_the_same_volume_or_is_refused(connection, ask) -> None:
    ask(connection, "Create", Name="v", Opts=OPTS)
    assert ask(connection, "Create", Name="v", Opts=OPTS)[0] == 200
    other = (500, {"Err": "volume v exists already, with other options"})
    assert ask(connection, "Create", Name="v", Opts={"sshcmd": "u@h:/y"}) == other


def test_create_checks_before_it_remembers(house: House, connection, ask) -> None:
    assert ask(connection, "Create", Name="v", Opts={})[1]["Err"].startswith("option sshcmd:")
    assert "not a valid name" in ask(connection, "Create", Name="../v", Opts=OPTS)[1]["Err"]
    assert not (house.root / ".state" / "volumes.json").exists()


def test_a_failed_mount_leaves_nothing(house: House, connection, ask) -> None:
    ask(connection, "Create", Name="v", Opts=OPTS)
    house.mounts.error = "cannot mount u@h:/x: no route"
    assert ask(connection, "Mount", Name="v", ID="1") == (500, {"Err": house.mounts.error})
    assert not (house.root / "v").exists()
    assert ask(connection, "Remove", Name="v")[0] == 200


def test_a_failed_unmount_can_be_repeated(house: House, connection, ask) -> None:
    ask(connection, "Create", Name="v", Opts=OPTS)
    ask(connection, "Mount", Name="v", ID="1")
    house.mounts.error = "busy"
    assert ask(connection, "Unmount", Name="v", ID="1") == (500, {"Err": "busy"})
    house.mounts.error = ""
    assert ask(connection, "Unmount", Name="v", ID="1")[0] == 200
    assert house.mounts.mounted == {}


def test_a_dead_connection_is_made_again(house: House, connection, ask) -> None:
    ask(connection, "Create", Name="v", Opts=OPTS)
    ask(connection, "Mount", Name="v", ID="1")
    house.mounts.dead.add(house.root / "v")
    assert ask(connection, "Mount", Name="v", ID="2")[0] == 200
    assert house.mounts.alive(house.root / "v")
    assert len(house.mounts.mounted) == 1


def test_a_restart_remembers_volumes_and_detaches_dead_mounts(house: House) -> None:
    before = house.start()
    before.create("v", OPTS)
    before.mount("v", "1")
    after = house.start()
    assert house.mounts.mounted == {}
    assert not (house.root / "v").exists()
    after.unmount("v", "1")
    assert after.mount("v", "2") == str(house.root / "v")
    assert house.mounts.mounted == {house.root / "v": Target("u@h:/x", "s3cret", 2222)}


def test_closing_unmounts_everything(house: House) -> None:
    driver = house.start()
    for name in ("a", "b"):
        driver.create(name, OPTS)
        driver.mount(name, "1")
    driver.close()
    assert house.mounts.mounted == {}
    assert [entry.name for entry in house.root.iterdir()] == [".state"]


def test_a_server_that_hangs_delays_only_its_own_volume(house: House) -> None:
    driver = house.start()
    driver.create("slow", OPTS)
    house.mounts.gate = threading.Event()
    thread = threading.Thread(target=driver.mount, args=("slow", "1"))
    thread.start()
    assert house.mounts.waiting.wait(10)
    driver.create("other", OPTS)
    assert len(driver.list()) == 2
    assert driver.get("slow")["Name"] == "slow"
    driver.remove("other")
    house.mounts.gate.set()
    thread.join()
    assert house.mounts.mounted


def test_what_cannot_be_saved_does_not_exist(house: House, connection, ask) -> None:
    (house.root / ".state").rmdir()
    assert ask(connection, "Create", Name="v", Opts=OPTS)[0] == 500
    assert ask(connection, "List")[1]["Volumes"] == []
