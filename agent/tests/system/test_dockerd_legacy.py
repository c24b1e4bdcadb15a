# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Plugins on our engine, used by a real Docker Engine that does not manage them.

It finds them by .spec files, calls their own sockets, and does what only an engine does: it moves
interfaces into containers, asks before every request, writes output into fifos. Engine and agent share a
network namespace, as they do on a host, and it is not this machine's.
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

from support import daemon, dockerd, examples

pytestmark = [
    pytest.mark.root,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not dockerd.is_usable(), reason="needs root, dockerd and runc"),
]

DENY = "POST /containers/create HostConfig.Privileged; * /swarm(/.*)?"
LISTEN = """
import socket
server = socket.create_server(("", 7))
print("listening", flush=True)
connection, peer = server.accept()
connection.sendall(peer[0].encode())
"""
CONNECT = """
import socket, sys
print(socket.create_connection((sys.argv[1], 7), 10).recv(100).decode())
"""


@dataclass(frozen=True)
class Lab:
    """A Docker Engine, and the plugins it was told of."""

    url: str
    plugins: dict[str, examples.Running]

    def docker(self, *arguments: str, status: int = 0) -> str:
        """Run the docker CLI; return what it printed."""
        done = subprocess.run(
            ["docker", "-H", self.url, *arguments], capture_output=True, text=True, check=False
        )
        said = done.stdout + done.stderr
        assert done.returncode == status, f"docker {arguments} ended with {done.returncode}: {said}"
        return said.strip()

    def first_line(self, container: str) -> str:
        """Wait for the first line of a container's output."""
        argv = ["docker", "-H", self.url, "logs", "-f", container]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdout is not None
            line = follower.stdout.readline()
            follower.terminate()
        return line

    def interfaces(self) -> set[str]:
        """Interfaces of the namespace that engine and plugins share, besides lo."""
        pid = next(iter(self.plugins.values())).agent.pid
        argv = ["nsenter", "-t", str(pid), "-n", "ip", "-j", "link", "show"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return {link["ifname"] for link in json.loads(done.stdout)} - {"lo"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    daemon.require("docker", "mmdebstrap", "nsenter", "ip")
    # dockerd wants an ordinary disk below it, and socket paths are short.
    directory = Path(tempfile.mkdtemp(prefix="plugind-", dir="/var/tmp"))
    try:
        with daemon.run(directory / "agent", prefix=("unshare", "--net")) as agent:
            fifos = directory / "engine/run/logging"
            fifos.mkdir(parents=True)
            settings = {"linelog": [f"fifos.source={fifos}"], "denylist": ["DENY=" + DENY]}
            plugins = {}
            for name in ("localbridge", "localpool", "denylist", "linelog"):
                config = ("--config", "config-legacy.json") if name == "linelog" else ()
                built = daemon.build_plugin(name, directory / name, *config)
                plugins[name] = examples.enable(agent, name, built, *settings.get(name, []))
            legacy = {name: plugin.socket for name, plugin in plugins.items()}
            prefix = ("nsenter", "-t", str(agent.pid), "-n")
            arguments = ("--authorization-plugin", "denylist")
            engine = dockerd.running(directory / "engine", *arguments, prefix=prefix, legacy=legacy)
            with engine as url:
                made = Lab(url, plugins)
                import_image(made, directory / "localpool/rootfs")
                yield made
    finally:
        shutil.rmtree(directory)


def import_image(lab: Lab, rootfs: Path) -> None:
    """An image with Python, which is what the plugin's own root file system is."""
    with subprocess.Popen(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE) as tar:
        argv = ["docker", "-H", lab.url, "import", "-", "python"]
        subprocess.run(argv, stdin=tar.stdout, stdout=subprocess.DEVNULL, check=True)


def test_containers_on_a_network_of_ours(lab: Lab) -> None:
    lab.docker(
        "network", "create", "-d", "localbridge", "--ipam-driver", "localpool",
        "--subnet", "10.97.0.0/24", "net",
    )  # fmt: skip
    assert {name[:3] for name in lab.interfaces()} == {"lb-"}
    options = ("--network", "net", "python", "python3", "-c")
    lab.docker("run", "-d", "--name", "one", *options, LISTEN)
    assert lab.first_line("one") == "listening\n"
    inspected = json.loads(lab.docker("inspect", "one"))[0]["NetworkSettings"]["Networks"]["net"]
    assert (inspected["Gateway"], inspected["IPAddress"]) == ("10.97.0.1", "10.97.0.2")
    assert lab.docker("run", "--rm", *options, CONNECT, "10.97.0.2") == "10.97.0.3"
    refused = lab.docker("run", "--rm", "-p", "8080:80", *options, "pass", status=125)
    assert "cannot publish ports" in refused
    lab.docker("rm", "-f", "one")
    assert {name[:3] for name in lab.interfaces()} == {"lb-"}
    (pool,) = json.loads((lab.plugins["localpool"].propagated / "pools.json").read_text())["pools"]
    assert pool["taken"] == ["10.97.0.1"]
    lab.docker("network", "rm", "net")
    assert lab.interfaces() == set()


def test_pools_that_nobody_chose_are_given_back(lab: Lab) -> None:
    create = ("network", "create", "-d", "localbridge", "--ipam-driver", "localpool")
    for name in ("first", "second"):
        lab.docker(*create, name)
    subnets = [
        json.loads(lab.docker("network", "inspect", name))[0]["IPAM"]["Config"][0]["Subnet"]
        for name in ("first", "second")
    ]
    assert subnets == ["10.213.0.0/24", "10.213.1.0/24"]
    wrong = lab.docker(*create, "--subnet", "10.213.1.0/25", "third", status=1)
    assert "Pool overlaps with other one on this address space" in wrong
    lab.docker("network", "rm", "first", "second")
    state = json.loads((lab.plugins["localpool"].propagated / "pools.json").read_text())
    assert state["pools"] == []


def test_requests_are_denied(lab: Lab) -> None:
    run = ("run", "--rm", "--network", "none")
    denied = lab.docker(*run, "--privileged", "python", "python3", "-c", "pass", status=125)
    assert "authorization denied by plugin denylist: denied by the rule" in denied
    assert lab.docker(*run, "python", "python3", "-c", "print(6 * 7)") == "42"
    assert "authorization denied" in lab.docker("swarm", "init", status=1)


def test_output_is_logged_and_read_back(lab: Lab) -> None:
    code = "import sys; print('out'); print('x' * 20000); print('err', file=sys.stderr)"
    options = ("--network", "none", "--log-driver", "linelog", "python", "python3", "-uc")
    lab.docker("run", "--name", "talker", *options, code)
    assert sorted(lab.docker("logs", "talker").splitlines()) == ["err", "out", "x" * 20000]
    assert len(lab.docker("logs", "--tail", "1", "talker").splitlines()) == 1
    container = lab.docker("inspect", "-f", "{{.Id}}", "talker")
    journal = lab.plugins["linelog"].propagated / f"{container}.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert {line["source"] for line in lines} == {"stdout", "stderr"}
    assert [line["part"]["ordinal"] for line in lines if line.get("partial")] == [1, 2]
    assert list(lab.plugins["linelog"].rootfs.glob("run/docker/logging/*")) == []
    lab.docker("rm", "talker")


def test_following_ends_with_the_container(lab: Lab) -> None:
    options = ("--network", "none", "--log-driver", "linelog", "-i", "python", "python3", "-uc")
    lab.docker("run", "-d", "--name", "reader", *options, "print('up'); input()")
    argv = ["docker", "-H", lab.url, "logs", "-f", "reader"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "up\n"
        lab.plugins["linelog"].restart()
        lab.docker("rm", "-f", "reader")
        follower.wait(30)
