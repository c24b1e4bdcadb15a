# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The constant parts: fresh objects each time, and rules that can be put after each other."""

from __future__ import annotations

from plugind.spec import defaults


def test_defaults_are_fresh_each_time() -> None:
    defaults.mounts()[0]["options"].append("x")
    defaults.device_rules()[0]["access"] = "r"
    assert "x" not in defaults.mounts()[0]["options"]
    assert defaults.device_rules()[0]["access"] == "rwm"


def test_no_default_mount_comes_from_the_host() -> None:
    assert not any(mount["source"].startswith("/") for mount in defaults.mounts())


def test_a_rule_allows_everything_with_one_device() -> None:
    assert defaults.device_rule("b", 8, 1) == {
        "allow": True,
        "type": "b",
        "major": 8,
        "minor": 1,
        "access": "rwm",
    }
