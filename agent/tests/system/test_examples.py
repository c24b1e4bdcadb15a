# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every example plugin but the volume drivers, built, enabled on a real agent, and asked over its own socket.

The drivers are on their own here: what an engine does around the calls (moving interfaces, writing into
fifos, serving metrics) the tests do.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from plugind.ctl import http as ctl_http
from support import daemon, examples
from support.daemon import Agent

pytestmark = pytest.mark.root

Build = Callable[[str], Path]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """build("localpool") -> its built directory."""

    def make(name: str) -> Path:
        return daemon.build_plugin(name, tmp_path_factory.mktemp(name) / "plugin")

    return make


# --- ipam ----------------------------------------------------------------------------------------


def test_addresses_are_not_forgotten(agent: Agent, build: Build) -> None:
    pools = "POOLS=base=10.99.0.0/16,size=24"
    plugin = examples.enable(agent, "localpool", build("localpool"), pools)
    assert plugin.call("Plugin.Activate")["Implements"] == ["IpamDriver"]
    pool = plugin.call("IpamDriver.RequestPool", AddressSpace="local", Pool="")
    assert pool["Pool"] == "10.99.0.0/24"
    ask = {"PoolID": pool["PoolID"], "Address": ""}
    assert plugin.call("IpamDriver.RequestAddress", **ask)["Address"] == "10.99.0.1/24"
    plugin.restart()
    assert plugin.call("IpamDriver.RequestAddress", **ask)["Address"] == "10.99.0.2/24"
    ask["Address"] = "10.99.0.1"
    assert plugin.error("IpamDriver.RequestAddress", **ask) == "Address already in use"
    state = json.loads((plugin.propagated / "pools.json").read_text())
    assert state["pools"][0]["taken"] == ["10.99.0.1", "10.99.0.2"]


# --- authz ---------------------------------------------------------------------------------------


def test_requests_are_denied_by_the_rules_of_the_setting(agent: Agent, build: Build) -> None:
    plugin = examples.enable(agent, "denylist", build("denylist"))
    body = base64.b64encode(b'{"HostConfig":{"Privileged":true}}').decode()
    create = {"RequestMethod": "POST", "RequestUri": "/v1.41/containers/create?name=x"}
    delete = {"RequestMethod": "DELETE", "RequestUri": "/v1.41/volumes/v"}
    ask = "AuthZPlugin.AuthZReq"
    assert plugin.call(ask, **create, RequestBody=body)["Allow"] is False
    assert plugin.call(ask, **delete)["Allow"] is True
    plugin.disable()
    agent.request("POST", "/plugins/denylist/set", ["DENY=DELETE /volumes/.*"])
    plugin.enable()
    assert plugin.call(ask, **create, RequestBody=body)["Allow"] is True
    denied = plugin.call(ask, **delete)
    assert denied["Allow"] is False
    assert denied["Msg"] == "denied by the rule 'DELETE /volumes/.*'"


# --- log -----------------------------------------------------------------------------------------

CONTAINER = "c0ffee" * 10 + "c0de"


def encode_frame(line: str, second: int) -> bytes:
    """A frame of our own making: source "stdout", a time below 128 ns, the line."""
    message = b"\x0a\x06stdout" + bytes([0x10, second]) + bytes([0x1A, len(line)]) + line.encode()
    return len(message).to_bytes(4, "big") + message


@contextlib.contextmanager
def read_logs(plugin: examples.Running, **config: Any) -> Iterator[http.client.HTTPResponse]:
    """A stream of frames; the client goes at the end of the block."""
    body = json.dumps({"Info": {"ContainerID": CONTAINER}, "Config": config})
    with contextlib.closing(ctl_http.connect(f"unix://{plugin.socket}")) as connection:
        connection.request("POST", "/LogDriver.ReadLogs", body=body)
        with connection.getresponse() as response:
            yield response


def test_what_is_written_into_the_fifo_is_logged_over_restarts(agent: Agent, build: Build) -> None:
    plugin = examples.enable(agent, "linelog", build("linelog"))
    assert plugin.call("LogDriver.Capabilities")["Cap"] == {"ReadLogs": True}
    fifo = plugin.rootfs / "run/docker/logging" / ("f1f0" * 16)
    fifo.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(fifo, 0o700)
    file = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
    try:
        inner = f"/{fifo.relative_to(plugin.rootfs)}"
        plugin.call("LogDriver.StartLogging", File=inner, Info={"ContainerID": CONTAINER})
        os.write(file, encode_frame("before", 1))
        plugin.restart()
        os.write(file, encode_frame("after", 2))
        with read_logs(plugin, Follow=True) as following:
            both = encode_frame("before\n", 1) + encode_frame("after\n", 2)
            assert following.read(len(both)) == both
            os.write(file, encode_frame("last", 3))
            plugin.call("LogDriver.StopLogging", File=inner)
            assert following.read() == encode_frame("last\n", 3)
    finally:
        os.close(file)
    journal = plugin.propagated / f"{CONTAINER}.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["line"] for line in lines] == ["before", "after", "last"]
    with read_logs(plugin, Tail=1) as answer:
        assert answer.read() == encode_frame("last\n", 3)


# --- network -------------------------------------------------------------------------------------

NETWORK = "0123456789abcdef" * 4
BRIDGE = "lb-0123456789ab"
SUBNET = {"AddressSpace": "local", "Pool": "10.98.0.0/24", "Gateway": "10.98.0.1/24"}
SERVER = """
import socket
server = socket.create_server(("10.98.0.2", 7))
print("listening", flush=True)
connection, peer = server.accept()
connection.sendall(peer[0].encode())
"""
CLIENT = """
import socket
print(socket.create_connection(("10.98.0.2", 7), 10).recv(100).decode())
"""


def within(pid: int, *argv: str) -> list[str]:
    """A command in the network namespace of a process."""
    return ["nsenter", "-t", str(pid), "-n", *argv]


def run(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


def interfaces(agent: Agent) -> set[str]:
    """The interfaces that the plugin sees, besides lo."""
    links = json.loads(run(within(agent.pid, "ip", "-j", "link", "show")))
    return {link["ifname"] for link in links} - {"lo"}


@contextlib.contextmanager
def sandbox() -> Iterator[int]:
    """A container's network namespace, by the process that keeps it."""
    argv = ["unshare", "--net", "sh", "-c", "echo; exec cat"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()  # it is there
        yield process.pid
        process.stdin.close()


def connect(agent: Agent, plugin: examples.Running, sandbox: int, number: int) -> str:
    """Do for an endpoint what an engine does; returns its id."""
    endpoint = f"{number:064x}"[::-1]
    ids = {"NetworkID": NETWORK, "EndpointID": endpoint}
    address = f"10.98.0.{number}/24"
    plugin.call("NetworkDriver.CreateEndpoint", **ids, Interface={"Address": address})
    joined = plugin.call("NetworkDriver.Join", **ids, SandboxKey=f"/proc/{sandbox}/ns/net")
    assert joined["Gateway"] == "10.98.0.1"
    name = joined["InterfaceName"]["SrcName"]
    run(within(agent.pid, "ip", "link", "set", name, "netns", str(sandbox), "name", "eth0"))
    run(within(sandbox, "ip", "address", "add", address, "dev", "eth0"))
    run(within(sandbox, "ip", "link", "set", "eth0", "up"))
    return endpoint


@pytest.fixture
def isolated(tmp_path: Path) -> Iterator[Agent]:
    """A daemon in a network namespace of its own, which is the plugins' host network."""
    daemon.require("unshare", "nsenter", "ip")
    with daemon.run(tmp_path / "d", prefix=("unshare", "--net")) as running:
        yield running


def test_containers_of_a_network_are_connected(isolated: Agent, build: Build) -> None:
    agent = isolated
    plugin = examples.enable(agent, "localbridge", build("localbridge"))
    plugin.call("NetworkDriver.CreateNetwork", NetworkID=NETWORK, IPv4Data=[SUBNET], IPv6Data=[])
    assert interfaces(agent) == {BRIDGE}
    assert BRIDGE not in run(["ip", "-o", "link", "show"])  # not on the real host
    with sandbox() as first, sandbox() as second:
        endpoints = [connect(agent, plugin, pid, at) for at, pid in ((2, first), (3, second))]
        assert len(interfaces(agent)) == 3
        server = within(first, sys.executable, "-c", SERVER)
        with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "listening\n"
            assert run(within(second, sys.executable, "-c", CLIENT)) == "10.98.0.3\n"
        for endpoint in endpoints * 2:
            ids = {"NetworkID": NETWORK, "EndpointID": endpoint}
            plugin.call("NetworkDriver.Leave", **ids)
            plugin.call("NetworkDriver.DeleteEndpoint", **ids)
        assert interfaces(agent) == {BRIDGE}
    for _ in range(2):
        plugin.call("NetworkDriver.DeleteNetwork", NetworkID=NETWORK)
    assert interfaces(agent) == set()


def test_a_bridge_comes_back_with_the_plugin(isolated: Agent, build: Build) -> None:
    agent = isolated
    plugin = examples.enable(agent, "localbridge", build("localbridge"))
    plugin.call("NetworkDriver.CreateNetwork", NetworkID=NETWORK, IPv4Data=[SUBNET])
    plugin.disable()
    assert interfaces(agent) == {BRIDGE}  # in use, for all that a plugin knows
    run(within(agent.pid, "ip", "link", "delete", BRIDGE))  # the machine was restarted
    plugin.enable()
    (link,) = json.loads(run(within(agent.pid, "ip", "-j", "address", "show", BRIDGE)))
    assert {info["local"] for info in link["addr_info"] if info["family"] == "inet"} == {
        "10.98.0.1"
    }
    plugin.call("NetworkDriver.DeleteNetwork", NetworkID=NETWORK)
    plugin.restart()
    assert interfaces(agent) == set()
