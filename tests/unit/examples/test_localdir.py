# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localdir, over its socket."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest
from volumeplugin import DriverError


@pytest.fixture
def connection(localdir: ModuleType, serving, tmp_path: Path):
    return serving(localdir.LocalDir(tmp_path))


def test_the_life_of_a_volume(connection, ask, tmp_path: Path) -> None:
    assert ask(connection, "Create", Name="v", Opts={"mode": "0700"})[0] == 200
    assert (tmp_path / "v").stat().st_mode & 0o7777 == 0o700
    assert ask(connection, "Mount", Name="v", ID="1")[1]["Mountpoint"] == str(tmp_path / "v")
    volume = ask(connection, "Get", Name="v")[1]["Volume"]
    assert volume["Status"] == {"mounts": 1}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", volume["CreatedAt"])
    assert ask(connection, "List")[1]["Volumes"] == [
        {"Name": "v", "Mountpoint": str(tmp_path / "v")}
    ]
    assert ask(connection, "Path", Name="v")[1]["Mountpoint"] == str(tmp_path / "v")
    assert ask(connection, "Unmount", Name="v", ID="1")[0] == 200
    assert ask(connection, "Remove", Name="v")[0] == 200
    assert ask(connection, "Get", Name="v") == (500, {"Err": "volume v not found"})
    assert list(tmp_path.iterdir()) == []


def test_a_mounted_volume_is_not_removed(connection, ask) -> None:
    ask(connection, "Create", Name="v")
    for mount_id in ("1", "2", "2"):
        ask(connection, "Mount", Name="v", ID=mount_id)
    refused = (500, {"Err": "cannot remove volume v: mounted 2 times"})
    assert ask(connection, "Remove", Name="v") == refused
    for mount_id in ("1", "2", "unknown"):
        assert ask(connection, "Unmount", Name="v", ID=mount_id)[0] == 200
    assert ask(connection, "Remove", Name="v")[0] == 200


def test_create_can_be_repeated_and_keeps_what_is_there(connection, ask, tmp_path: Path) -> None:
    ask(connection, "Create", Name="v")
    (tmp_path / "v" / "file").touch()
    assert ask(connection, "Create", Name="v")[0] == 200
    assert (tmp_path / "v" / "file").exists()


@pytest.mark.parametrize("name", ["../v", "a/b", ".hidden", "-v", "a" * 256, "v\n"])
def test_names_stay_inside(connection, ask, tmp_path: Path, name: str) -> None:
    status, document = ask(connection, "Create", Name=name)
    assert status == 500
    assert "not a valid name" in document["Err"]
    assert ask(connection, "Path", Name=name)[0] == 500
    assert list(tmp_path.iterdir()) == []


def test_options(connection, ask) -> None:
    unknown = ask(connection, "Create", Name="v", Opts={"size": "1G"})[1]["Err"]
    assert unknown == "option size: not known; known is: mode"
    wrong = ask(connection, "Create", Name="v", Opts={"mode": "rwx"})[1]["Err"]
    assert wrong == "option mode: 'rwx' is not an octal number like 0750"


def test_a_restart_finds_everything(localdir: ModuleType, tmp_path: Path) -> None:
    localdir.LocalDir(tmp_path).create("v", {})
    (tmp_path / ".state").mkdir()
    assert [volume["Name"] for volume in localdir.LocalDir(tmp_path).list()] == ["v"]


def test_the_default_mode_can_be_set(localdir: ModuleType, tmp_path: Path) -> None:
    localdir.LocalDir(tmp_path, localdir.parse_mode("0770")).create("v", {})
    assert (tmp_path / "v").stat().st_mode & 0o7777 == 0o770
    with pytest.raises(DriverError, match="option mode"):
        localdir.parse_mode("8")
