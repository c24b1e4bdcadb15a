# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localbridge: what it asks of `ip`, and what it refuses. Real bridges: agent/tests/system/test_examples.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import statefile
from pluginserver import DriverError, Server

NETWORK, ENDPOINT = "0123456789abcdef" * 4, "fedcba9876543210" * 4
BRIDGE, HOST, CONTAINER = "lb-0123456789ab", "lh-fedcba987654", "lc-fedcba987654"
IDS = {"NetworkID": NETWORK, "EndpointID": ENDPOINT}
V4 = {"AddressSpace": "local", "Pool": "10.1.2.0/24", "Gateway": "10.1.2.1/24"}
V6 = {"AddressSpace": "local", "Pool": "fd00::/64", "Gateway": "fd00::1/64"}
ADDRESS = {"Address": "10.1.2.2/24", "AddressIPv6": "", "MacAddress": ""}


class Kernel:
    """Notes what `ip` is told, and fails where the test says. It has no interfaces."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.failing = "nothing"

    def __call__(self, arguments: Sequence[str]) -> str:
        call = " ".join(arguments)
        self.calls.append(call)
        if self.failing in call:
            raise DriverError(f"ip {call}: RTNETLINK answers: Operation not permitted")
        return ""


@pytest.fixture
def kernel() -> Kernel:
    return Kernel()


@pytest.fixture
def driver(localbridge: ModuleType, kernel: Kernel, tmp_path: Path) -> Any:
    return localbridge.LocalBridge(tmp_path, kernel)


@pytest.fixture
def call(localbridge: ModuleType, driver: Any, serving, ask) -> Callable[..., Any]:
    """call("Join", ...) -> the answer; call(..., status=500) -> the error."""
    connection = serving(localbridge.network_service(driver), Server)

    def ask_it(method: str, status: int = 200, **arguments: Any) -> Any:
        found, answer = ask(connection, f"NetworkDriver.{method}", **arguments)
        assert found == status, answer
        return answer if status == 200 else answer["Err"]

    return ask_it


def test_a_network_is_a_bridge(call, kernel: Kernel) -> None:
    options = {"com.docker.network.enable_ipv6": True, "com.docker.network.generic": {}}
    call("CreateNetwork", NetworkID=NETWORK, Options=options, IPv4Data=[V4], IPv6Data=[V6])
    assert kernel.calls == [
        f"link add name {BRIDGE} address 02:30:31:32:33:34 type bridge",
        f"address replace 10.1.2.1/24 dev {BRIDGE}",
        f"address replace fd00::1/64 dev {BRIDGE} nodad",
        f"link set dev {BRIDGE} up",
    ]


def test_an_endpoint_is_a_pair(call, kernel: Kernel) -> None:
    mtu = {"com.docker.network.generic": {"com.docker.network.driver.mtu": "1400"}}
    call("CreateNetwork", NetworkID=NETWORK, Options=mtu, IPv4Data=[V4], IPv6Data=None)
    assert call("CreateEndpoint", **IDS, Interface=ADDRESS, Options={})["Interface"] == {}
    kernel.calls.clear()
    assert call("Join", **IDS, SandboxKey="/var/run/docker/netns/x", Options={}) == {
        "InterfaceName": {"SrcName": CONTAINER, "DstPrefix": "eth"},
        "Gateway": "10.1.2.1",
        "GatewayIPv6": "",
        "DisableGatewayService": True,
        "Err": "",
    }
    assert kernel.calls[-2:] == [
        f"link add name {HOST} mtu 1400 type veth peer name {CONTAINER} mtu 1400",
        f"link set dev {HOST} master {BRIDGE} up",
    ]


def test_an_internal_network_has_no_way_out(call) -> None:
    options = {"com.docker.network.internal": True}
    call("CreateNetwork", NetworkID=NETWORK, Options=options, IPv4Data=[V4])
    assert call("Join", **IDS)["Gateway"] == ""


def test_undoing_what_is_not_there_succeeds(call, kernel: Kernel) -> None:
    for method in ("Leave", "DeleteEndpoint", "DeleteNetwork"):
        assert call(method, **IDS) == {"Err": ""}
    assert kernel.calls == []


def test_what_else_engines_ask(call) -> None:
    assert call("GetCapabilities") == {"Scope": "local", "ConnectivityScope": "local", "Err": ""}
    assert call("EndpointOperInfo", **IDS)["Value"] == {}
    for method in ("ProgramExternalConnectivity", "RevokeExternalConnectivity", "DiscoverNew"):
        assert call(method) == {"Err": ""}
    assert "not implemented" in call("AllocateNetwork", 404)


def test_what_it_does_not_do_is_refused(call, kernel: Kernel) -> None:
    generic = {"com.docker.network.generic": {"parent": "eth0"}}
    assert "option parent" in call("CreateNetwork", 500, NetworkID=NETWORK, Options=generic)
    mtu = {"com.docker.network.generic": {"com.docker.network.driver.mtu": "9; reboot"}}
    assert "not a number" in call("CreateNetwork", 500, NetworkID=NETWORK, Options=mtu)
    assert call("CreateEndpoint", 500, **IDS) == f"network {NETWORK} not found"
    assert call("Join", 500, **IDS) == f"network {NETWORK} not found"
    call("CreateNetwork", NetworkID=NETWORK, IPv4Data=[V4])
    ports = {"com.docker.network.portmap": [{"Proto": 6, "Port": 80}]}
    refused = call("CreateEndpoint", 500, **IDS, Interface=ADDRESS, Options=ports)
    assert "publish ports" in refused
    assert "no address" in call("CreateEndpoint", 500, **IDS, Interface={})
    assert f"link add name {HOST}" not in " ".join(kernel.calls)


@pytest.mark.parametrize("value", ["", "short", "../../../../etc/passwd", "A" * 64, "a" * 65, 7])
def test_ids_become_names_and_are_looked_at(call, value: Any) -> None:
    assert "NetworkID" in call("CreateNetwork", 400, NetworkID=value)
    assert "EndpointID" in call("Leave", 400, NetworkID=NETWORK, EndpointID=value)


def test_a_bad_subnet_is_a_bad_request(call) -> None:
    for subnet in ({"Gateway": "x"}, "x", {"Gateway": 1.5}):
        assert "a subnet" in call("CreateNetwork", 400, NetworkID=NETWORK, IPv4Data=[subnet])


@pytest.mark.parametrize("failing", ["type bridge", "address replace", "up"])
def test_a_network_that_fails_is_not_there(call, kernel: Kernel, driver: Any, failing: str) -> None:
    kernel.failing = failing
    error = call("CreateNetwork", 500, NetworkID=NETWORK, IPv4Data=[V4])
    assert "Operation not permitted" in error
    assert driver.networks == {}


def test_create_can_be_repeated_and_not_changed(call) -> None:
    for _ in range(2):
        call("CreateNetwork", NetworkID=NETWORK, IPv4Data=[V4])
    assert "exists already" in call("CreateNetwork", 500, NetworkID=NETWORK, IPv4Data=[V6])


def test_a_restart_makes_the_bridges_that_are_missing(
    call, localbridge: ModuleType, kernel: Kernel, tmp_path: Path
) -> None:
    call("CreateNetwork", NetworkID=NETWORK, IPv4Data=[V4])
    made = list(kernel.calls)
    kernel.calls.clear()
    again = localbridge.LocalBridge(tmp_path, kernel)
    again.restore()
    assert kernel.calls == made
    again.delete_network({"networkid": NETWORK})
    assert localbridge.LocalBridge(tmp_path, kernel).networks == {}


def test_a_bridge_that_fails_keeps_no_other_away(
    call, localbridge: ModuleType, kernel: Kernel, tmp_path: Path, capsys
) -> None:
    for name in (NETWORK, ENDPOINT):
        call("CreateNetwork", NetworkID=name, IPv4Data=[V4])
    kernel.calls.clear()
    kernel.failing = BRIDGE
    localbridge.LocalBridge(tmp_path, kernel).restore()
    assert any("up" in made and BRIDGE not in made for made in kernel.calls)
    assert f"cannot restore network {NETWORK}" in capsys.readouterr().err


@pytest.mark.parametrize("networks", [[], {"a": 1}, {"a": {}}, {"a": {"gateways": 1}}])
def test_a_broken_file_is_not_an_empty_one(
    localbridge: ModuleType, tmp_path: Path, networks: Any
) -> None:
    state = json.dumps({"format": 1, "networks": networks})
    (tmp_path / "networks.json").write_text(state)
    with pytest.raises(statefile.BrokenState, match="cannot read the networks"):
        localbridge.LocalBridge(tmp_path)
