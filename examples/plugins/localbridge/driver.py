# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localbridge: a network driver. A network is a Linux bridge, an endpoint a veth pair.

    CreateNetwork    bridge lb-<network>, with the gateway's addresses, up
    Join             veth pair: lh-<endpoint> on the bridge, lc-<endpoint> for the engine to move
                     into the container and to give the address and the name there
    Leave            the pair is deleted, wherever its other end is
    DeleteNetwork    the bridge is deleted

Names follow from IDs, so what there is, is what the kernel has, and nothing can disagree with it after
a restart of the plugin. Only networks are written down as well: a bridge does not outlive the
machine's restart and engines do not create their networks again; the driver does, when it starts.

It makes interfaces and no more: no NAT, no forwarding, no published ports. Containers of a network
reach each other and the host. What is undone twice is undone.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import statefile
from pluginserver import (
    Arguments,
    DriverError,
    Method,
    Refused,
    Service,
    complain,
    log,
    mapping,
    run,
    serve,
    text,
)

SOCKET = Path("/run/docker/plugins/localbridge.sock")
ROOT = Path("/data")  # propagatedMount in config.json
FORMAT = 1
ID = re.compile(r"[0-9a-z]{12,64}")
MTU = "com.docker.network.driver.mtu"

# Runs `ip` with these arguments and returns what it prints; DriverError if it fails.
Ip = Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class Network:
    """What CreateNetwork said, as far as it matters."""

    gateways: tuple[str, ...]  # "10.1.2.1/24", one for each subnet that has one
    mtu: int | None
    internal: bool  # the gateway is not a way out

    def gateway(self, version: int) -> str:
        """The address that containers send to what is elsewhere; empty if there is none."""
        if self.internal:
            return ""
        addresses = (ip_interface(gateway) for gateway in self.gateways)
        return next((str(one.ip) for one in addresses if one.version == version), "")


# --- pure: texts ----------------------------------------------------------------------------------


def identifier(arguments: Arguments, key: str) -> str:
    """An ID, of which the name of an interface is made."""
    value = text(arguments, key)
    if not ID.fullmatch(value):
        raise Refused(400, f"cannot read the request: {key} {value!r} is not an ID")
    return value


def bridge_name(network: str) -> str:
    """The interface of a network; the kernel allows 15 characters."""
    return f"lb-{network[:12]}"


def pair_names(endpoint: str) -> tuple[str, str]:
    """The interfaces of an endpoint: the host's and the container's."""
    return f"lh-{endpoint[:12]}", f"lc-{endpoint[:12]}"


def parse_network(arguments: Arguments) -> Network:
    """CreateNetwork's arguments."""
    options = mapping(arguments, "Options")
    chosen = options.get("com.docker.network.generic") or {}
    unknown = set(chosen) - {MTU}
    if unknown:
        raise DriverError(f"option {min(unknown)}: not known; known is: {MTU}")
    mtu = str(chosen.get(MTU, ""))
    if mtu and not re.fullmatch(r"[1-9]\d{1,4}", mtu):
        raise DriverError(f"option {MTU}: {mtu!r} is not a number of bytes")
    subnets = [*(arguments.get("ipv4data") or ()), *(arguments.get("ipv6data") or ())]
    try:
        gateways = [subnet["Gateway"] for subnet in subnets if subnet.get("Gateway")]
        gateways = [str(ip_interface(gateway)) for gateway in gateways]
    except (AttributeError, TypeError, ValueError) as error:
        raise Refused(400, f"cannot read the request: a subnet: {error}") from None
    return Network(
        tuple(gateways),
        int(mtu) if mtu else None,
        bool(options.get("com.docker.network.internal")),
    )


def decode(document: dict[str, Any]) -> dict[str, Network]:
    """The content of the state file."""
    try:
        return {
            name: Network(tuple(entry["gateways"]), entry["mtu"], entry["internal"])
            for name, entry in document.get("networks", {}).items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise statefile.BrokenState(f"cannot read the networks: {error!r}") from None


def encode(networks: dict[str, Network]) -> dict[str, Any]:
    """The content of the state file."""
    entries = {name: asdict(network) for name, network in networks.items()}
    return {"format": FORMAT, "networks": entries}


# --- the kernel -----------------------------------------------------------------------------------


def run_ip(arguments: Sequence[str]) -> str:
    """Run iproute2's `ip`."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"status {done.returncode}"
        raise DriverError(f"ip {' '.join(arguments)}: {said}")
    return done.stdout


def exists(name: str) -> bool:
    """Whether the kernel has an interface of this name."""
    try:
        socket.if_nametoindex(name)
    except OSError:
        return False
    return True


# --- the driver -----------------------------------------------------------------------------------


class LocalBridge:
    """The methods of the protocol."""

    def __init__(self, root: Path, ip: Ip = run_ip) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.file = root / "networks.json"
        self.ip = ip
        self.lock = threading.Lock()
        self.networks = decode(statefile.load(self.file, FORMAT))

    def restore(self) -> None:
        """Make the bridges again. One that fails must not keep the others away."""
        for name, network in self.networks.items():
            try:
                self.ensure_bridge(name, network)
            except DriverError as error:
                complain(f"cannot restore network {name}: {error}")

    def create_network(self, arguments: Arguments) -> dict[str, Any]:
        network_id, network = identifier(arguments, "NetworkID"), parse_network(arguments)
        with self.lock:
            known = self.networks.get(network_id)
            if known is not None and known != network:
                raise DriverError(f"network {network_id} exists already, and is another one")
            try:
                self.ensure_bridge(network_id, network)
                self.save({**self.networks, network_id: network})
            except (DriverError, OSError):
                if known is None:
                    self.delete(bridge_name(network_id))
                raise
        return {}

    def delete_network(self, arguments: Arguments) -> dict[str, Any]:
        network_id = identifier(arguments, "NetworkID")
        with self.lock:
            self.delete(bridge_name(network_id))
            if network_id in self.networks:
                rest = {key: value for key, value in self.networks.items() if key != network_id}
                self.save(rest)
        return {}

    def create_endpoint(self, arguments: Arguments) -> dict[str, Any]:
        """Nothing is made before Join; what cannot be done is said here, where it fails early."""
        self.find(identifier(arguments, "NetworkID"))
        identifier(arguments, "EndpointID")
        if mapping(arguments, "Options").get("com.docker.network.portmap"):
            raise DriverError("cannot publish ports: localbridge does not do that")
        interface = mapping(arguments, "Interface")
        if not interface.get("Address") and not interface.get("AddressIPv6"):
            raise DriverError("cannot create an endpoint: it has no address")
        return {"Interface": {}}  # the address is the IPAM driver's, the MAC address the kernel's

    def delete_endpoint(self, arguments: Arguments) -> dict[str, Any]:
        with self.lock:
            self.delete(pair_names(identifier(arguments, "EndpointID"))[0])
        return {}

    def info(self, arguments: Arguments) -> dict[str, Any]:
        host, _container = pair_names(identifier(arguments, "EndpointID"))
        return {"Value": {"localbridge.interface": host} if exists(host) else {}}

    def join(self, arguments: Arguments) -> dict[str, Any]:
        network_id = identifier(arguments, "NetworkID")
        host, container = pair_names(identifier(arguments, "EndpointID"))
        with self.lock:
            network = self.find(network_id)
            bridge = self.ensure_bridge(network_id, network)
            self.delete(host)  # of a container that ended without Leave
            mtu = ["mtu", str(network.mtu)] if network.mtu else []
            pair = ["type", "veth", "peer", "name", container, *mtu]
            self.ip(["link", "add", "name", host, *mtu, *pair])
            try:
                self.ip(["link", "set", "dev", host, "master", bridge, "up"])
            except DriverError:
                self.delete(host)
                raise
        return {
            "InterfaceName": {"SrcName": container, "DstPrefix": "eth"},
            "Gateway": network.gateway(4),
            "GatewayIPv6": network.gateway(6),
            # The engine would add a bridge of its own, as a way out, behind our back.
            "DisableGatewayService": True,
        }

    def leave(self, arguments: Arguments) -> dict[str, Any]:
        return self.delete_endpoint(arguments)

    def find(self, network_id: str) -> Network:
        network = self.networks.get(network_id)
        if network is None:
            raise DriverError(f"network {network_id} not found")
        return network

    def ensure_bridge(self, network_id: str, network: Network) -> str:
        """The bridge, its addresses, and up, whatever is there already; returns its name."""
        name = bridge_name(network_id)
        if not exists(name):
            mtu = ["mtu", str(network.mtu)] if network.mtu else []
            # Without one of its own, a bridge's address changes with its interfaces.
            mac = f"02:{network_id[:5].encode().hex(':')}"
            self.ip(["link", "add", "name", name, "address", mac, *mtu, "type", "bridge"])
        for gateway in network.gateways:
            # nodad: nobody else is on the bridge who could have it.
            flags = ["nodad"] if ip_interface(gateway).version == 6 else []
            self.ip(["address", "replace", gateway, "dev", name, *flags])
        self.ip(["link", "set", "dev", name, "up"])
        return name

    def delete(self, name: str) -> None:
        """Delete an interface, if it is there; of a pair, the other end goes with it."""
        if exists(name):
            try:
                self.ip(["link", "delete", "dev", name])
            except DriverError:
                if exists(name):  # a pair goes with its container's namespace, at any moment
                    raise

    def save(self, networks: dict[str, Network]) -> None:
        """Commit: first on disk, then in memory; the caller holds `lock`."""
        statefile.save(self.file, encode(networks))
        self.networks = networks


def network_service(driver: LocalBridge) -> Service:
    """The protocol's methods, without those of swarm managers (AllocateNetwork, FreeNetwork)."""

    def nothing(_arguments: Arguments) -> dict[str, Any]:
        return {}

    def capabilities(_arguments: Arguments) -> dict[str, Any]:
        return {"Scope": "local", "ConnectivityScope": "local"}

    methods: dict[str, Method] = {
        "NetworkDriver.GetCapabilities": capabilities,
        "NetworkDriver.CreateNetwork": driver.create_network,
        "NetworkDriver.DeleteNetwork": driver.delete_network,
        "NetworkDriver.CreateEndpoint": driver.create_endpoint,
        "NetworkDriver.DeleteEndpoint": driver.delete_endpoint,
        "NetworkDriver.EndpointOperInfo": driver.info,
        "NetworkDriver.Join": driver.join,
        "NetworkDriver.Leave": driver.leave,
        # Endpoints that publish ports are refused, so there is nothing to do here.
        "NetworkDriver.ProgramExternalConnectivity": nothing,
        "NetworkDriver.RevokeExternalConnectivity": nothing,
        # Other hosts do not matter to a local network.
        "NetworkDriver.DiscoverNew": nothing,
        "NetworkDriver.DiscoverDelete": nothing,
    }
    quiet = frozenset({"NetworkDriver.GetCapabilities", "NetworkDriver.EndpointOperInfo"})
    return Service(("NetworkDriver",), methods, quiet=quiet)


def main() -> int:
    """Serve until told to stop. The interfaces stay: containers use them."""
    try:
        driver = LocalBridge(ROOT)
        log(f"Found {len(driver.networks)} networks on startup")
        driver.restore()
        serve(network_service(driver), SOCKET)
    except (statefile.BrokenState, OSError) as error:
        complain(f"localbridge: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
