# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real Podman with volumes of real plugins, by their fronts: what docs/operations.md shows.

The sshfs example and a real SSH server; agent and Podman share a mount namespace, as they do on a host.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import daemon, examples, image, podman, sshd

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(image.REASON != "", reason=image.REASON),
]


@dataclass
class Lab:
    """A host with an agent, Podman, and two plugins."""

    host: podman.Host
    agent: daemon.Agent
    server: dict[str, str]
    sshfs: examples.Running
    faulty: examples.Running

    @property
    def password(self) -> str:
        return Path(self.server["PASSWORD_FILE"]).read_text().strip()

    @property
    def share(self) -> Path:
        return Path(self.server["SHARE"])

    def create(self, volume: str) -> str:
        return self.host.podman(
            "volume", "create", "--driver", "sshfs",
            "-o", f"sshcmd={self.server['SSHCMD']}", "-o", f"port={self.server['PORT']}",
            "-o", f"password={self.password}", volume,
        )  # fmt: skip

    def run(
        self, volume: str, *command: str, options: tuple[str, ...] = (), status: int = 0
    ) -> str:
        return self.host.podman(
            "run", *(options or ("--rm",)), "--network", "none", "-v", f"{volume}:/data", "busybox",
            *command, status=status,
        )  # fmt: skip

    def volumes(self) -> list[str]:
        return self.host.podman("volume", "ls", "-q").split()

    def holders(self, volume: str) -> list[str]:
        found = self.agent.request("GET", f"/plugind/volumes/{volume}/holders")
        return [holder["Holder"] for holder in found]

    def kill(self, plugin: examples.Running) -> None:
        self.agent.kill_plugin(plugin.name)


@pytest.fixture(scope="module")
def started(sshfs: Path, faulty: Path) -> Iterator[Lab]:
    # Podman wants an ordinary disk below it, and socket paths are short.
    directory = Path(tempfile.mkdtemp(prefix="plugind-", dir="/var/tmp"))
    try:
        with (
            podman.host(directory / "host") as host,
            sshd.run() as server,
            daemon.run(directory / "agent", podman.OPTIONS, prefix=host.prefix) as agent,
        ):
            yield Lab(
                host,
                agent,
                server,
                examples.enable(agent, "sshfs", sshfs),
                examples.enable(agent, "faulty", faulty),
            )
    finally:
        shutil.rmtree(directory)


@pytest.fixture
def lab(started: Lab) -> Iterator[Lab]:
    """The host; afterwards no volume is left of a test."""
    yield started
    started.host.podman("rm", "--all", "--force", "--time", "0")
    for name in started.volumes():
        started.host.podman("volume", "rm", name)
    assert started.agent.request("GET", "/volumes")["Volumes"] == []


def found_in(directory: Path, text: str) -> list[str]:
    """Files below a directory that hold a text, but for what plugins keep for themselves."""
    argv = ["grep", "-rlF", "--exclude-dir=propagated-mount", "-e", text, str(directory)]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.split()


def test_a_volume_s_whole_way(lab: Lab) -> None:
    (lab.share / "greeting").write_text("hello from the other side\n")
    assert lab.create("data") == "data"
    assert "greeting" in lab.run("data", "ls", "/data").split()
    lab.run("data", "sh", "-c", "echo written by podman > /data/reply")
    assert (lab.share / "reply").read_text() == "written by podman\n"
    (shown,) = json.loads(lab.host.podman("volume", "inspect", "data"))
    assert (shown["Name"], shown["Driver"]) == ("data", "sshfs")
    assert shown["Options"]["password"] == lab.password  # Podman's own way; not ours, see below
    assert lab.volumes() == ["data"]
    assert lab.agent.cli("volume", "ls", "-q").split() == ["data"]
    assert lab.holders("data") == []
    lab.host.podman("volume", "rm", "data")
    assert lab.agent.request("GET", "/volumes")["Volumes"] == []


def test_a_password_is_kept_by_nobody_of_ours(lab: Lab) -> None:
    lab.create("data")
    lab.run("data", "true")
    for place in (lab.agent.root, lab.agent.run, lab.agent.logs):
        assert found_in(place, lab.password) == []
    assert lab.password not in lab.agent.log()
    assert lab.password not in json.dumps(lab.agent.request("GET", "/volumes/data"))


def test_volumes_made_elsewhere_are_imported(lab: Lab) -> None:
    options = {"sshcmd": lab.server["SSHCMD"], "port": lab.server["PORT"]}
    document = {
        "Name": "made-by-the-agent",
        "Driver": "sshfs",
        "DriverOpts": {**options, "password": lab.password},
    }
    lab.agent.request("POST", "/volumes/create", document)
    assert lab.volumes() == []
    assert "made-by-the-agent" in lab.host.podman("volume", "reload")
    assert lab.volumes() == ["made-by-the-agent"]
    lab.run("made-by-the-agent", "ls", "/data")


def test_who_has_it_mounted_is_on_record(lab: Lab) -> None:
    lab.create("data")
    lab.run("data", "sleep", "1000", options=("--detach", "--name", "user"))
    (holder,) = lab.holders("data")
    assert holder.startswith("podman:")
    refused = lab.agent.cli("volume", "rm", "data", status=1)
    assert f"remove data: volume is in use - [{holder}]" in refused
    assert "in use" in lab.agent.cli("plugin", "disable", "sshfs", status=1)
    lab.host.podman("rm", "--force", "--time", "0", "user")
    assert lab.holders("data") == []


def test_one_driver_that_fails_hides_nobody_s_volumes(lab: Lab) -> None:
    lab.create("data")
    lab.host.podman("volume", "create", "--driver", "faulty", "moody")
    every = ["data", "moody"]
    lab.faulty.disable()
    assert sorted(lab.volumes()) == every
    refused = lab.run("moody", "true", status=126)
    assert "plugin faulty:latest found but disabled" in refused
    set_fault(lab, "get-error,list-error")
    assert sorted(lab.volumes()) == every
    lab.host.podman("volume", "reload")
    assert sorted(lab.volumes()) == every
    lab.faulty.disable()
    set_fault(lab, "")
    assert lab.run("moody", "sh", "-c", "echo kept > /data/x; cat /data/x") == "kept"


def set_fault(lab: Lab, fault: str) -> None:
    """Let the disabled `faulty` come back with a fault."""
    lab.agent.request("POST", "/plugins/faulty/set", [f"FAULT={fault}"])
    lab.faulty.enable()


def test_an_error_of_the_driver_is_podman_s(lab: Lab) -> None:
    wrong = ("-o", "sshcmd=")
    said = lab.host.podman("volume", "create", "--driver", "sshfs", *wrong, "data", status=125)
    assert "sshcmd" in said
    assert lab.volumes() == []


def test_a_call_is_held_while_the_plugin_restarts(lab: Lab) -> None:
    lab.kill(lab.sshfs)
    lab.create("data")
    lab.kill(lab.sshfs)
    assert lab.volumes() == ["data"]
    lab.kill(lab.sshfs)
    lab.run("data", "ls", "/data")


def test_a_crash_while_a_container_has_it_mounted(lab: Lab) -> None:
    (lab.share / "greeting").write_text("still there\n")
    lab.create("data")
    lab.run("data", "sleep", "1000", options=("--detach", "--name", "user"))
    before = lab.agent.plugin("sshfs")["Status"]["Restarts"]
    lab.kill(lab.sshfs)
    assert lab.run("data", "cat", "/data/greeting") == "still there"
    assert lab.agent.plugin("sshfs")["Status"]["Restarts"] == before + 1
    assert [holder.partition(":")[0] for holder in lab.holders("data")] == ["podman"]
    lab.host.podman("exec", "user", "cat", "/data/greeting", status=1)  # the mount of before
    lab.host.podman("restart", "--time", "0", "user")
    assert lab.host.podman("exec", "user", "cat", "/data/greeting") == "still there"
    lab.host.podman("rm", "--force", "--time", "0", "user")
    assert lab.holders("data") == []


def test_podman_outlives_the_agent(lab: Lab) -> None:
    (lab.share / "greeting").write_text("still there\n")
    lab.create("data")
    lab.run("data", "sleep", "1000", options=("--detach", "--name", "user"))
    lab.agent.kill()
    assert lab.host.podman("exec", "user", "cat", "/data/greeting") == "still there"
    lab.agent.start()
    assert lab.run("data", "cat", "/data/greeting") == "still there"
    lab.host.podman("rm", "--force", "--time", "0", "user")
    assert lab.holders("data") == []


def test_a_plugin_that_is_removed_is_forgotten(lab: Lab, localdir: Path) -> None:
    examples.enable(lab.agent, "passing", localdir)
    assert "passing" in lab.host.drop_in.read_text()
    lab.host.podman("volume", "create", "--driver", "passing", "short")
    lab.host.podman("volume", "rm", "short")
    lab.agent.cli("plugin", "rm", "--force", "passing")
    assert "passing" not in lab.host.drop_in.read_text()
    refused = lab.host.podman("volume", "create", "--driver", "passing", "short", status=125)
    assert "no volume plugin with name passing available" in refused
