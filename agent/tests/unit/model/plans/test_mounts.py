# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Planning host mounts."""

from __future__ import annotations

from typing import Any

import pytest

from fakes.world import GRANT, kinds, plan_for, plugin, problem, volume
from plugind.model import steps
from plugind.model.steps import Plan

CREATE, REMOVE = steps.MOUNT_CREATE, steps.MOUNT_REMOVE


def mounted(path: str = "/m", name: str = "v", state: str = "mounted", **more: Any) -> Any:
    """Return a host mount as the native API shows it."""
    return {
        "Path": path, "Volume": name, "ReadOnly": False, "Propagation": "rprivate",
        "State": state, "Error": "", **more,
    }  # fmt: skip


def planned(declared: Any, *documents: Any, mounts: Any = (), **rest: Any) -> Plan:
    """Plan mounts (and what else is declared) on an engine with these documents and mounts."""
    declaration = {"mounts": declared, **rest}
    return plan_for(declaration, *documents, mounts=mounts)


def test_a_mount_is_made() -> None:
    made = planned([{"path": "/m/", "volume": "v"}], volume(driver="local"))
    assert kinds(made) == [CREATE]
    [step] = made.steps
    assert step.describe() == "mount volume v at /m"
    assert (step.resource, step.before) == ("mount//m", steps.GONE)
    assert step.after == {
        "state": "mounted", "volume": "v", "read_only": False, "propagation": "rprivate",
    }  # fmt: skip


def test_what_is_there_is_left() -> None:
    local = volume(driver="local")
    assert kinds(planned([{"path": "/m", "volume": "v"}], local, mounts=[mounted()])) == []
    # How the directory was made is not looked at again.
    declared = {"path": "/m", "volume": "v", "mode": "0700", "owner": "me", "force": True}
    assert kinds(planned([declared], local, mounts=[mounted()])) == []
    assert kinds(planned([], local, mounts=[mounted()])) == []


@pytest.mark.parametrize("state", ["unmounted", "stale"])
def test_drift_is_seen_and_repaired(state: str) -> None:
    made = planned(
        [{"path": "/m", "volume": "v"}], volume(driver="local"), mounts=[mounted(state=state)]
    )
    assert kinds(made) == [CREATE]
    assert made.steps[0].describe() == "mount volume v at /m again"
    assert made.before["mount//m"]["state"] == state
    assert made.after["mount//m"]["state"] == "mounted"


@pytest.mark.parametrize(
    "change", [{"volume": "w"}, {"read_only": True}, {"propagation": "rslave"}]
)
def test_another_mount_replaces_what_is_there(change: dict[str, Any]) -> None:
    local = [volume(driver="local"), volume("w", driver="local")]
    made = planned([{"path": "/m", "volume": "v", **change}], *local, mounts=[mounted()])
    assert kinds(made) == [REMOVE, CREATE]
    assert made.steps[1].depends == (0,)
    assert made.steps[0].describe() == "unmount volume v from /m"


def test_an_absent_one_is_unmounted_before_its_volume_and_plugin_go() -> None:
    made = planned(
        [{"path": "/m", "state": "absent"}, {"path": "/never", "state": "absent"}],
        plugin(),
        volume(),
        volume("other"),
        mounts=[mounted()],
        volumes=[{"name": "v", "state": "absent"}, {"name": "other", "state": "absent"}],
        plugins=[{"name": "x", "state": "absent"}],
    )
    assert kinds(made)[:3] == [REMOVE, steps.VOLUME_REMOVE, steps.VOLUME_REMOVE]
    assert made.steps[1].depends == (0,)
    assert made.steps[2].depends == ()
    assert made.after["mount//m"] == made.after["mount//never"] == steps.GONE


def test_plugin_volume_and_mount_come_in_this_order() -> None:
    made = planned(
        [{"path": "/m", "volume": "v"}],
        plugins=[{"name": "x", "source": "x:1", "grant": GRANT}],
        volumes=[{"name": "v", "driver": "x"}],
    )
    assert kinds(made)[-2:] == [steps.VOLUME_CREATE, CREATE]
    created = len(made.steps) - 2
    assert created in made.steps[-1].depends


@pytest.mark.parametrize(
    ("documents", "rest", "why"),
    [
        ([], {}, "there is no such volume"),
        ([volume(driver="local")], {"volumes": [{"name": "v", "state": "absent"}]},
         "the volume is declared absent"),
        ([volume(), plugin(enabled=False)], {}, "its driver x:latest is disabled"),
        ([volume()], {}, "its driver x:latest is not installed"),
        ([volume(), plugin()], {"plugins": [{"name": "x", "state": "disabled", "force": True}]},
         "its driver x:latest is declared disabled"),
    ],
)  # fmt: skip
def test_what_cannot_be_mounted_is_a_problem(
    documents: list[Any], rest: dict[str, Any], why: str
) -> None:
    made = planned([{"path": "/m", "volume": "v"}], *documents, **rest)
    assert problem(made) == f'cannot mount volume v at "/m": {why}'


def test_what_lies_over_a_mount_is_a_problem() -> None:
    made = planned(
        [{"path": "/m", "volume": "v"}], volume(driver="local"), mounts=[mounted(state="covered")]
    )
    assert problem(made) == 'cannot mount volume v at "/m": something else is mounted there'


def test_an_engine_without_host_mounts_refuses_them_by_name() -> None:
    local = volume(driver="local")
    made = planned([{"path": "/m", "volume": "v"}], local, mounts=None)
    assert problem(made) == (
        'cannot mount volume v at "/m": this engine has no call for mounts on the host; '
        "plugind's own engine has"
    )
    assert kinds(planned([{"path": "/m", "state": "absent"}], local, mounts=None)) == []


def test_a_mounted_volume_is_neither_removed_nor_recreated() -> None:
    local = volume(driver="local", Labels={"a": "1"})
    gone = {"name": "v", "state": "absent"}
    made = planned([], local, mounts=[mounted(), mounted("/n")], volumes=[gone])
    assert problem(made) == 'cannot remove volume "v": it is mounted at /m, /n'
    forced = planned([], local, mounts=[mounted()], volumes=[{**gone, "force": True}])
    assert kinds(forced) == [steps.VOLUME_REMOVE]
    other = {"name": "v", "labels": {"a": "2"}, "recreate": "options-changed"}
    made = planned([], local, mounts=[mounted()], volumes=[other])
    assert problem(made) == 'cannot recreate volume "v": it is mounted at /m'


def test_a_volume_that_cannot_be_is_said_once() -> None:
    made = planned([{"path": "/m", "volume": "v"}], volumes=[{"name": "v", "driver": "nobody"}])
    assert problem(made) == 'cannot create volume "v": its driver nobody:latest is not installed'
