# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localpool: an IPAM driver that keeps pools and addresses of one host in a file.

A pool is a subnet, and its ID is the subnet's text after that of the address space, as in
"local/10.1.2.0/24". Who asks for no subnet in particular gets the first one out of the POOLS setting
that overlaps with no pool. Engines compare it with the routes of the host, and ask again, without
giving the first one back, until one suits; hence every answer is another one. A sub-pool limits which
addresses are handed out by themselves; any address of the pool can be asked for.

What is given back twice is given back. Every change is on disk before it is answered, so that no
address is handed out twice, whatever happens to the plugin; an address whose answer was lost stays
taken until its pool is released.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_interface,
    ip_network,
)
from pathlib import Path
from typing import Any

import statefile
from pluginserver import (
    Arguments,
    DriverError,
    Method,
    Service,
    complain,
    log,
    mapping,
    optional_text,
    run,
    serve,
    text,
)

SOCKET = Path("/run/docker/plugins/localpool.sock")
ROOT = Path("/data")  # propagatedMount in config.json
FORMAT = 1
SPACES = ("local", "global")
GATEWAY = "com.docker.network.gateway"

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Source:
    """Where pools come from that nobody chose: subnets of one length out of a larger one."""

    base: Network
    length: int


@dataclass
class Pool:
    """A subnet in use."""

    space: str
    subnet: Network
    range: Network  # the sub-pool, or the whole subnet
    taken: set[Address] = field(default_factory=set)

    @property
    def id(self) -> str:
        """The PoolID of the protocol."""
        return f"{self.space}/{self.subnet}"

    def is_usable(self, address: Address) -> bool:
        """Whether an interface can have it: not the subnet's own address, nor a broadcast."""
        if self.subnet.num_addresses <= 2:  # /31, /32, /127, /128: all of them
            return True
        last = self.subnet.version == 4 and address == self.subnet.broadcast_address
        return address != self.subnet.network_address and not last

    def free(self) -> Iterator[Address]:
        """Addresses to hand out, in order."""
        return (
            address
            for address in self.range
            if address not in self.taken and self.is_usable(address)
        )


# --- pure: texts and subnets --------------------------------------------------------------------


def parse_sources(setting: str) -> list[Source]:
    """The POOLS setting: "base=10.213.0.0/16,size=24 base=fd00:d5::/48,size=64"."""
    return [parse_source(word) for word in setting.split()]


def parse_source(word: str) -> Source:
    """One base and the length of the subnets that are cut out of it."""
    found = re.fullmatch(r"base=([^,]+),size=(\d+)", word)
    if not found:
        raise DriverError(f"setting POOLS: {word!r} is not base=SUBNET,size=LENGTH")
    base, length = parse_network(found[1]), int(found[2])
    if not base.prefixlen <= length <= base.max_prefixlen:
        raise DriverError(f"setting POOLS: {word!r}: no subnet of {base} has the length {length}")
    return Source(base, length)


def parse_network(value: str) -> Network:
    """A subnet; host bits that are set are forgiven, as engines do."""
    try:
        return ip_network(value, strict=False)
    except ValueError as error:
        raise DriverError(f"{value!r} is not a subnet: {error}") from None


def parse_address(value: str) -> Address:
    """An address, with or without the length of its subnet."""
    try:
        return ip_interface(value).ip if "/" in value else ip_address(value)
    except ValueError as error:
        raise DriverError(f"{value!r} is not an address: {error}") from None


def overlap(first: Network, second: Network) -> bool:
    """Whether two subnets, of any versions, share an address."""
    return first.version == second.version and first.overlaps(second)


def choose_subnet(sources: list[Source], used: list[Network], version: int) -> Network:
    """The first subnet of the sources that overlaps with none in use."""
    for source in sources:
        if source.base.version != version:
            continue
        for subnet in source.base.subnets(new_prefix=source.length):
            if not any(overlap(subnet, other) for other in used):
                return subnet
    raise DriverError(f"could not find an available, non-overlapping IPv{version} address pool")


def decode(document: dict[str, Any]) -> dict[str, Pool]:
    """The content of the state file."""
    try:
        pools = [
            Pool(
                space=entry["space"],
                subnet=ip_network(entry["subnet"]),
                range=ip_network(entry["range"]),
                taken={ip_address(address) for address in entry["taken"]},
            )
            for entry in document.get("pools", [])
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise statefile.BrokenState(f"cannot read the pools: {error!r}") from None
    return {pool.id: pool for pool in pools}


def encode(pools: dict[str, Pool]) -> dict[str, Any]:
    """The content of the state file."""
    return {
        "format": FORMAT,
        "pools": [
            {
                "space": pool.space,
                "subnet": str(pool.subnet),
                "range": str(pool.range),
                "taken": [str(address) for address in sorted(pool.taken, key=int)],
            }
            for pool in pools.values()
        ],
    }


# --- the driver ---------------------------------------------------------------------------------


class LocalPool:
    """The methods of the protocol."""

    def __init__(self, root: Path, sources: list[Source]) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.file = root / "pools.json"
        self.sources = sources
        self.lock = threading.Lock()
        self.pools = decode(statefile.load(self.file, FORMAT))

    def request_pool(self, arguments: Arguments) -> dict[str, Any]:
        space = text(arguments, "AddressSpace")
        wanted, part = optional_text(arguments, "Pool"), optional_text(arguments, "SubPool")
        if space not in SPACES:
            raise DriverError(f"address space {space!r} not found")
        if part and not wanted:
            raise DriverError("cannot request a sub-pool without a pool")
        with self.lock:
            used = [pool.subnet for pool in self.pools.values() if pool.space == space]
            if wanted:
                subnet = parse_network(wanted)
                if any(overlap(subnet, other) for other in used):
                    raise DriverError("Pool overlaps with other one on this address space")
            else:
                subnet = choose_subnet(self.sources, used, 6 if arguments.get("v6") else 4)
            limits = parse_network(part) if part else subnet
            if limits.version != subnet.version or not limits.subnet_of(subnet):
                raise DriverError(f"the sub-pool {limits} is not a part of {subnet}")
            pool = Pool(space, subnet, limits)
            self.save({**self.pools, pool.id: pool})
        return {"PoolID": pool.id, "Pool": str(subnet), "Data": {}}

    def release_pool(self, arguments: Arguments) -> dict[str, Any]:
        pool_id = text(arguments, "PoolID")
        with self.lock:
            if pool_id in self.pools:
                self.save({key: pool for key, pool in self.pools.items() if key != pool_id})
        return {}

    def request_address(self, arguments: Arguments) -> dict[str, Any]:
        pool_id, wanted = text(arguments, "PoolID"), optional_text(arguments, "Address")
        with self.lock:
            pool = self.find(pool_id)
            if wanted:
                address = parse_address(wanted)
                if address not in pool.subnet:
                    raise DriverError(f"{address} is not in the pool {pool.subnet}")
                if address in pool.taken:
                    raise DriverError("Address already in use")
            else:
                found = next(pool.free(), None)
                if found is None:
                    raise DriverError(f"no available addresses in the pool {pool.range}")
                address = found
            self.change(pool, pool.taken | {address})
        kind = mapping(arguments, "Options").get("RequestAddressType")
        log(f"{pool_id}: {'gateway' if kind == GATEWAY else 'address'} {address}")
        return {"Address": f"{address}/{pool.subnet.prefixlen}", "Data": {}}

    def release_address(self, arguments: Arguments) -> dict[str, Any]:
        pool_id, value = text(arguments, "PoolID"), text(arguments, "Address")
        address = parse_address(value)
        with self.lock:
            pool = self.pools.get(pool_id)
            if pool is not None and address in pool.taken:
                self.change(pool, pool.taken - {address})
        return {}

    def find(self, pool_id: str) -> Pool:
        pool = self.pools.get(pool_id)
        if pool is None:
            raise DriverError(f"pool {pool_id} not found")
        return pool

    def change(self, pool: Pool, taken: set[Address]) -> None:
        """Replace one pool's addresses; the caller holds `lock`."""
        changed = Pool(pool.space, pool.subnet, pool.range, taken)
        self.save({**self.pools, pool.id: changed})

    def save(self, pools: dict[str, Pool]) -> None:
        """Commit: first on disk, then in memory; the caller holds `lock`."""
        statefile.save(self.file, encode(pools))
        self.pools = pools


def pool_service(driver: LocalPool) -> Service:
    """The protocol's methods. Clients look for errors under two names, depending on the status."""

    def capabilities(_arguments: Arguments) -> dict[str, Any]:
        # Nothing is forgotten in a restart, so nothing has to be requested again.
        return {"RequiresMACAddress": False, "RequiresRequestReplay": False}

    def spaces(_arguments: Arguments) -> dict[str, Any]:
        return {"LocalDefaultAddressSpace": SPACES[0], "GlobalDefaultAddressSpace": SPACES[1]}

    methods: dict[str, Method] = {
        "IpamDriver.GetCapabilities": capabilities,
        "IpamDriver.GetDefaultAddressSpaces": spaces,
        "IpamDriver.RequestPool": driver.request_pool,
        "IpamDriver.ReleasePool": driver.release_pool,
        "IpamDriver.RequestAddress": driver.request_address,
        "IpamDriver.ReleaseAddress": driver.release_address,
    }
    quiet = frozenset({"IpamDriver.GetCapabilities", "IpamDriver.GetDefaultAddressSpaces"})
    return Service(("IpamDriver",), methods, error_keys=("Err", "Error"), quiet=quiet)


def main() -> int:
    """Serve until told to stop."""
    try:
        driver = LocalPool(ROOT, parse_sources(os.environ.get("POOLS", "")))
        log(f"Found {len(driver.pools)} pools on startup")
        serve(pool_service(driver), SOCKET)
    except (DriverError, statefile.BrokenState, OSError) as error:
        complain(f"localpool: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
