# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Facts are plain values: frozen, with defaults that suit an ordinary host."""

from __future__ import annotations

import dataclasses

import pytest

from plugind.model import facts


def test_defaults() -> None:
    host = facts.HostFacts(devices={})
    assert host.network_files == ("/etc/hosts", "/etc/resolv.conf")
    assert host.thermal_throttle == ()
    assert not host.cgroup_v2
    node = facts.DeviceNode(path="/dev/x", type="c", major=1, minor=2)
    assert (node.mode, node.uid, node.gid) == (0o666, 0, 0)


def test_facts_do_not_change() -> None:
    node = facts.DeviceNode(path="/dev/x", type="c", major=1, minor=2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.major = 3  # type: ignore[misc]
