# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Fronts of a real agent with real plugins, by plain HTTP: what Podman and dockerd would do."""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import http as ctl_http
from plugind.rpc import dial
from support import daemon
from support.daemon import Agent
from support.fronts import PODMAN_ID

pytestmark = pytest.mark.root


class Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("plugin", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with dial.address(self._path) as address:
            self.sock.connect(address)


def call(path: Path, method: str, body: Any = None) -> tuple[int, Any]:
    """One request on a connection of its own."""
    connection = Connection(path)
    try:
        connection.request("POST", f"/{method}", b"" if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def volume(path: Path, method: str, **arguments: Any) -> Any:
    """A call of a volume driver that must succeed."""
    status, document = call(path, f"VolumeDriver.{method}", arguments)
    assert status == 200, document
    return document


@pytest.fixture
def front(agent: Agent, localdir: Path) -> Path:
    """The front of a running localdir."""
    agent.cli("plugin", "create", "acme/localdir", str(localdir))
    agent.cli("plugin", "enable", "acme/localdir")
    return Path(agent.plugin("acme/localdir")["Status"]["Front"])


def holders(agent: Agent) -> list[str]:
    return [h["Holder"] for h in agent.request("GET", "/plugind/volumes/v/holders")]


def test_a_consumer_s_whole_way(agent: Agent, front: Path) -> None:
    assert call(front, "Plugin.Activate") == (200, {"Implements": ["VolumeDriver"]})
    assert call(front, "VolumeDriver.Create")[0] == 400
    volume(front, "Create", Name="v", Opts={"mode": "0750"})
    path = Path(volume(front, "Mount", Name="v", ID=PODMAN_ID)["Mountpoint"])
    assert path.is_dir()
    assert path.stat().st_mode & 0o777 == 0o750
    (path / "file").write_text("kept")
    assert volume(front, "Get", Name="v")["Volume"]["Mountpoint"] == str(path)
    assert "acme/localdir:latest   v" in agent.cli("volume", "ls")
    process = Path("/proc/self/comm").read_text().strip()
    assert holders(agent) == [f"{process}:{PODMAN_ID[:12]}"]
    status, document = call(front, "VolumeDriver.Remove", {"Name": "v"})
    assert (status, document) == (500, {"Err": "cannot remove volume v: mounted 1 times"})
    volume(front, "Unmount", Name="v", ID=PODMAN_ID)
    assert holders(agent) == []
    volume(front, "Remove", Name="v")
    assert volume(front, "List") == {"Volumes": [], "Err": ""}
    assert agent.request("GET", "/volumes")["Volumes"] == []


def test_a_consumer_notices_neither_agent_nor_plugin_going_away(agent: Agent, front: Path) -> None:
    volume(front, "Create", Name="v")
    volume(front, "Mount", Name="v", ID=PODMAN_ID)
    agent.kill()
    assert front.is_socket()
    agent.start()
    assert Path(agent.plugin("acme/localdir")["Status"]["Front"]) == front
    before = holders(agent)
    assert len(before) == 1
    with contextlib.closing(ctl_http.connect(agent.url)) as connection:
        connection.request("GET", "/events")
        events = connection.getresponse()
        agent.runc("kill", agent.plugin("acme/localdir")["Id"], "KILL")
        # A call that was on its way to the plugin fails: nobody knows what became of it.
        assert json.loads(events.readline())["Action"] == "died"
    # Held until the plugin is back; then what was mounted is mounted again.
    assert volume(front, "List")["Volumes"]
    volume(front, "Unmount", Name="v", ID=PODMAN_ID)
    assert holders(agent) == []


def test_a_plugin_that_is_disabled(agent: Agent, front: Path) -> None:
    volume(front, "Create", Name="v")
    agent.cli("plugin", "disable", "--force", "acme/localdir")
    status, document = call(front, "VolumeDriver.Mount", {"Name": "v", "ID": PODMAN_ID})
    assert (status, document) == (500, {"Err": "plugin acme/localdir:latest found but disabled"})
    assert volume(front, "Get", Name="v")["Volume"]["Mountpoint"] == ""
    agent.cli("plugin", "rm", "--force", "acme/localdir")
    assert not front.exists()


@pytest.fixture
def published(tmp_path: Path) -> Iterator[Agent]:
    """A daemon that tells Podman and dockerd of its plugins."""
    options = {
        "publish-docker": "true",
        "publish-docker-directory": str(tmp_path / "docker"),
        "publish-podman": "true",
        "publish-podman-file": str(tmp_path / "podman" / "50-plugind.conf"),
        "publish-podman-timeout": "90",
    }
    with daemon.run(tmp_path / "d", options) as running:
        yield running


def test_files_for_consumers(published: Agent, tmp_path: Path, localdir: Path) -> None:
    published.cli("plugin", "create", "acme/localdir", str(localdir))
    front = published.plugin("acme/localdir")["Status"]["Front"]
    spec = tmp_path / "docker" / "acme" / "localdir.spec"
    assert spec.read_text() == f"unix://{front}\n"
    engine = tomllib.loads((tmp_path / "podman" / "50-plugind.conf").read_text())["engine"]
    assert engine["volume_plugin_timeout"] == 90
    assert engine["volume_plugins"]["acme/localdir"] == front
    published.cli("plugin", "rm", "acme/localdir")
    assert not spec.exists()
    assert list((tmp_path / "podman").iterdir()) == []


def test_a_log_plugin_sees_the_fifos_of_a_dockerd(published: Agent, tmp_path: Path) -> None:
    plugin = daemon.build_plugin("linelog", tmp_path / "plugin")
    published.cli("plugin", "create", "linelog", str(plugin))
    published.cli("plugin", "enable", "linelog")
    name = secrets.token_hex(32)
    place = Path("/run/docker/logging") / name  # where any dockerd of this host makes them
    place.write_text("a line")
    try:
        container = published.plugin("linelog")["Id"]
        assert published.runc("exec", container, "/bin/cat", str(place)) == "a line"
    finally:
        place.unlink()
