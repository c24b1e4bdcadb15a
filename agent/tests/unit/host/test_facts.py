# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Facts: the host as a tree, the devices as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import facts
from plugind.model.config import PluginDevice
from plugind.model.settings import Settings

NONE = Settings()


def test_an_empty_host(tmp_path: Path) -> None:
    found = facts.gather_facts(NONE, root=tmp_path)
    assert found.devices == {}
    assert found.thermal_throttle == ()
    assert found.network_files == ()
    assert not found.cgroup_v2


def test_what_is_there_is_found(tmp_path: Path) -> None:
    for cpu in ("cpu0", "cpu1", "cpufreq"):
        (tmp_path / "sys/devices/system/cpu" / cpu / "thermal_throttle").mkdir(parents=True)
    (tmp_path / "sys/devices/system/cpu/cpu2").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cgroup.controllers").touch()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").touch()
    found = facts.gather_facts(NONE, root=tmp_path)
    assert found.thermal_throttle == (
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/system/cpu/cpu1/thermal_throttle",
    )
    assert found.network_files == ("/etc/hosts",)
    assert found.cgroup_v2


def test_the_kernel_is_this_one() -> None:
    found = facts.kernel()
    assert found.machine == os.uname().machine
    assert os.uname().release.startswith("{}.{}".format(*found.version))


def test_devices_of_the_settings() -> None:
    chosen = Settings(devices=(PluginDevice(path="/dev/null"), PluginDevice()))
    found = facts.gather_facts(chosen)
    assert list(found.devices) == ["/dev/null"]
    assert found.devices["/dev/null"][0].minor == 3


def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(errors.System, match="/dev/no-such"):
        facts.gather_facts(Settings(devices=(PluginDevice(path="/dev/no-such"),)))
