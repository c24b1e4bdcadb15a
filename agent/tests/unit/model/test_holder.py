# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What holders' names say."""

from __future__ import annotations

import pytest

from plugind.model import holder
from plugind.model.holder import Kind

CONTAINER = "c0ffee" + "0" * 58


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (CONTAINER, Kind.CONTAINER),
        (CONTAINER[:12], Kind.OTHER),
        (CONTAINER.upper(), Kind.OTHER),
        (f"{CONTAINER}\n", Kind.OTHER),
        ("mount:/srv/data", Kind.MOUNT),
        ("mount:", Kind.MOUNT),
        ("podman", Kind.FRONT),
        ("podman 0123456789ab", Kind.FRONT),
        ("dockerd:0123456789ab", Kind.FRONT),
        ("dockerd/0123456789ab", Kind.FRONT),
        ("dockerd2", Kind.OTHER),
        ("operator", Kind.OTHER),
        ("", Kind.OTHER),
    ],
)
def test_a_name_says_what_the_holder_is(name: str, kind: Kind) -> None:
    assert holder.kind(name) is kind


def test_a_host_mounts_holder_carries_its_path() -> None:
    assert holder.of_mount("/srv/a b") == "mount:/srv/a b"
    assert holder.mount_path("mount:/srv/a b") == "/srv/a b"


def test_containers_are_shown_by_their_short_id() -> None:
    assert holder.show(CONTAINER) == "c0ffee000000"
    assert holder.show("mount:/srv") == "mount:/srv"
    assert holder.show("operator") == "operator"


REBOOT = "the host was rebooted"


@pytest.mark.parametrize(
    ("name", "rebooted", "containers", "why"),
    [
        ("mount:/there", False, None, ""),
        ("mount:/there", True, (), ""),
        ("mount:/gone", False, None, "there is no such host mount"),
        (CONTAINER, False, None, ""),
        (CONTAINER, False, (CONTAINER,), ""),
        (CONTAINER, False, (), "there is no such container"),
        (CONTAINER, True, (CONTAINER,), REBOOT),
        ("podman", False, (), ""),
        ("podman", True, None, REBOOT),
        ("dockerd:1", True, None, REBOOT),
        ("operator", True, (), ""),
    ],
)
def test_who_can_still_hold_something(
    name: str, rebooted: bool, containers: tuple[str, ...] | None, why: str
) -> None:
    found = holder.gone(name, rebooted=rebooted, mounts={"/there"}, containers=containers)
    assert found == why
