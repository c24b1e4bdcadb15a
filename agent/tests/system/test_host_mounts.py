# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volumes on the host with real drivers: seen, kept through every death, and taken away again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import http
from plugind.host import binds, mounts
from support import sshd
from support.daemon import Agent

pytestmark = pytest.mark.root


@pytest.fixture
def ssh_server() -> Iterator[dict[str, str]]:
    """A private sshd with a throw-away user; its settings as the script writes them."""
    with sshd.run() as server:
        yield server


@pytest.fixture
def remote(agent: Agent, sshfs: Path, ssh_server: dict[str, str]) -> Path:
    """The volume `remote` of a running sshfs; returns the directory that it shows."""
    agent.cli("plugin", "create", "sshfs", str(sshfs))
    agent.cli("plugin", "enable", "sshfs")
    password = Path(ssh_server["PASSWORD_FILE"]).read_text().strip()
    options = {"sshcmd": ssh_server["SSHCMD"], "port": ssh_server["PORT"], "password": password}
    document = {"Name": "remote", "Driver": "sshfs", "DriverOpts": options}
    agent.request("POST", "/volumes/create", document)
    return Path(ssh_server["SHARE"])


def read(agent: Agent) -> dict[str, str]:
    """Return the state of every host mount."""
    return {found["Path"]: found["State"] for found in agent.request("GET", "/plugind/mounts")}


def apply(agent: Agent, *declared: dict[str, Any], status: int = 0) -> dict[str, Any]:
    document = json.dumps({"mounts": list(declared)})
    answer: dict[str, Any] = json.loads(
        agent.verb("apply", "-", "--json", input=document, status=status).splitlines()[0]
    )
    return answer


def next_actions(agent: Agent, number: int, *, meanwhile: Any) -> list[str]:
    """Return the next events while something happens, as `action` or `action replayed`."""
    with contextlib.closing(http.connect(agent.url)) as connection:
        connection.request("GET", "/events")
        events = connection.getresponse()
        meanwhile()
        seen = [json.loads(events.readline()) for _ in range(number)]
    replayed = [" replayed" if "replayed" in e["Actor"]["Attributes"] else "" for e in seen]
    return [event["Action"] + word for event, word in zip(seen, replayed, strict=True)]


def test_a_path_of_the_host_outlives_plugin_and_agent(
    agent: Agent, remote: Path, place: Path
) -> None:
    (remote / "greeting").write_text("still there\n")
    path, other = place / "remote", place / "read-only"
    declared = [
        {"path": str(path), "volume": "remote", "mode": "0711"},
        {"path": str(other), "volume": "remote", "read_only": True},
    ]
    assert apply(agent, *declared)["changed"]
    assert not apply(agent, *declared)["changed"]
    assert (path / "greeting").read_text() == "still there\n"
    (path / "reply").write_text("from the host\n")
    assert (remote / "reply").read_text() == "from the host\n"
    with pytest.raises(OSError, match="Read-only"):
        (other / "reply").write_text("no")

    # The plugin dies: the dead mounts go, new ones come, and the log of events says so.
    pid = agent.plugin("sshfs")["Status"]["Pid"]
    seen = next_actions(agent, 8, meanwhile=lambda: os.kill(pid, signal.SIGKILL))
    assert seen[:4] == ["died", "restarted", "mount replayed", "mount replayed"]
    assert sorted(seen[4:]) == ["attach replayed"] * 2 + ["detach"] * 2
    for mounted in (path, other):
        assert (mounted / "greeting").read_text() == "still there\n"
    with pytest.raises(OSError, match="Read-only"):
        (other / "reply").write_text("no")
    new = Path(agent.verb("volumes", "mount", "remote", "--holder", "new").strip())
    assert (new / "greeting").exists()
    agent.verb("volumes", "unmount", "remote", "--holder", "new")

    # The agent dies: nobody notices.
    with (path / "greeting").open() as file:
        agent.kill()
        assert (path / "reply").exists()
        agent.start()
        assert file.read() == "still there\n"
        assert read(agent) == {str(other): "mounted", str(path): "mounted"}
        busy = agent.verb("mounts", "unmount", str(path), status=1)
        assert f"process {os.getpid()} (" in busy

    # Somebody unmounts by hand; the next run repairs.
    mounts.umount(path)
    assert read(agent)[str(path)] == "unmounted"
    assert [step["action"] for step in apply(agent, *declared)["steps"]] == ["mount-create"]
    assert (path / "greeting").exists()

    # The last one first: the directory above was made for the first one, and goes with it.
    gone = [{"path": entry["path"], "state": "absent"} for entry in reversed(declared)]
    assert apply(agent, *gone)["changed"]
    assert not apply(agent, *gone)["changed"]
    assert not place.exists()
    agent.cli("volume", "rm", "remote")
    agent.cli("plugin", "disable", "sshfs")


def test_both_die_and_the_path_comes_back(agent: Agent, remote: Path, place: Path) -> None:
    (remote / "greeting").write_text("still there\n")
    path = place / "remote"
    agent.verb("mounts", "mount", "remote", str(path))
    pid = agent.plugin("sshfs")["Status"]["Pid"]
    agent.kill()
    os.kill(pid, signal.SIGKILL)
    agent.start()
    # Enabling waits for nothing here: an event does.
    with contextlib.closing(http.connect(agent.url)) as connection:
        connection.request("GET", "/events?since=1")
        events = connection.getresponse()
        while json.loads(events.readline())["Action"] != "attach":
            pass
    assert (path / "greeting").read_text() == "still there\n"
    assert read(agent) == {str(path): "mounted"}


def test_a_driver_that_is_gone_leaves_nothing_that_cannot_be_cleared(
    agent: Agent, remote: Path, place: Path
) -> None:
    path = place / "remote"
    agent.verb("mounts", "mount", "remote", str(path))
    held = agent.cli("plugin", "disable", "sshfs", status=1)
    assert f"volumes remote (mounted by mount:{path})" in held
    agent.cli("plugin", "rm", "-f", "sshfs")
    assert read(agent) == {str(path): "unmounted"}
    said = agent.verb("volumes", "rm", "-f", "remote")
    assert f"dropped its references (mount:{path})" in said
    agent.verb("mounts", "unmount", str(path))
    assert read(agent) == {}
    assert not place.exists()
    assert remote.exists()


def enable_localdir(agent: Agent, localdir: Path) -> None:
    """Install it, with the volume `local`."""
    agent.cli("plugin", "create", "localdir", str(localdir))
    agent.cli("plugin", "enable", "localdir")
    agent.request("POST", "/volumes/create", {"Name": "local", "Driver": "localdir"})


def test_a_plugin_that_is_removed_takes_its_directory_away_and_can_come_back(
    agent: Agent, localdir: Path, place: Path
) -> None:
    enable_localdir(agent, localdir)
    path = place / "local"
    agent.verb("mounts", "mount", "local", str(path))
    (path / "old").write_text("data")
    with (path / "old").open():  # whoever uses it does not keep it there
        agent.cli("plugin", "rm", "-f", "localdir")
    assert mounts.mounts_under(place) == []
    assert list(path.iterdir()) == []
    [shown] = agent.request("GET", "/plugind/mounts")
    assert shown["State"] == "unmounted"
    assert shown["Error"] == 'plugin "localdir:latest" not found'

    enable_localdir(agent, localdir)
    declared = {"path": str(path), "volume": "local"}
    assert [step["action"] for step in apply(agent, declared)["steps"]] == ["mount-create"]
    (path / "new").write_text("data")
    assert not apply(agent, declared)["changed"]
    agent.cli("plugin", "rm", "-f", "localdir")
    assert apply(agent, {**declared, "state": "absent"})["changed"]
    assert read(agent) == {}
    assert not place.exists()


@pytest.mark.parametrize("repaired", [True, False], ids=["repaired", "cleared"])
def test_a_directory_that_was_deleted_under_a_cover_is_known_afterwards(
    agent: Agent, localdir: Path, place: Path, repaired: bool
) -> None:
    enable_localdir(agent, localdir)
    path, other = place / "local", place / "other"
    agent.verb("mounts", "mount", "local", str(path))
    other.mkdir()
    mounts.bind(other, path)
    agent.cli("plugin", "rm", "-f", "localdir")
    assert read(agent) == {str(path): "covered"}
    refused = agent.verb("mounts", "unmount", "-f", str(path), status=1)
    assert "is mounted over it" in refused
    mounts.umount(path)
    agent.stop()
    agent.start()  # the cover kept the directory in the trash: now it is swept
    assert list((agent.root / "trash").iterdir()) == []
    table = mounts.read_mounts()
    [left] = mounts.stack_at(path, table)
    assert left.root.startswith(binds.source_of(agent.root / "trash", table).root + "/")
    assert left.root.endswith("/propagated-mount/local//deleted")
    assert read(agent) == {str(path): "stale"}
    if repaired:
        enable_localdir(agent, localdir)
        agent.verb("mounts", "mount", "local", str(path))
        (path / "new").write_text("data")
        assert read(agent) == {str(path): "mounted"}
    agent.verb("mounts", "unmount", str(path))
    assert mounts.mounts_under(place) == []
    assert read(agent) == {}
