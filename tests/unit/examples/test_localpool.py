# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localpool: pools and addresses, and that none of them is forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import statefile
from pluginserver import DriverError, Server

POOLS = "base=10.213.0.0/22,size=24 base=fd00:d5::/62,size=64"
Ask = Callable[..., Any]


@pytest.fixture
def ipam(localpool: ModuleType, serving, ask, tmp_path: Path) -> Ask:
    """ipam("RequestPool", ...) -> the answer; ipam(..., status=500) -> the error."""
    driver = localpool.LocalPool(tmp_path, localpool.parse_sources(POOLS))
    connection = serving(localpool.pool_service(driver), Server)

    def call(method: str, status: int = 200, **arguments: Any) -> Any:
        found, answer = ask(connection, f"IpamDriver.{method}", **arguments)
        assert found == status, answer
        assert answer["Err"] == answer["Error"]
        return answer if status == 200 else answer["Err"]

    return call


def request_pool(ipam: Ask, pool: str = "", part: str = "", **more: Any) -> tuple[str, str]:
    answer = ipam("RequestPool", AddressSpace="local", Pool=pool, SubPool=part, **more)
    return answer["PoolID"], answer["Pool"]


def request(ipam: Ask, pool: str, address: str = "", **options: str) -> str:
    answer = ipam("RequestAddress", PoolID=pool, Address=address, Options=options)
    return str(answer["Address"])


def test_what_it_says_about_itself(ipam: Ask) -> None:
    spaces = ipam("GetDefaultAddressSpaces")
    assert spaces["LocalDefaultAddressSpace"] == "local"
    assert spaces["GlobalDefaultAddressSpace"] == "global"
    assert ipam("GetCapabilities")["RequiresRequestReplay"] is False


def test_the_life_of_a_pool(ipam: Ask) -> None:
    pool, subnet = request_pool(ipam, "10.1.2.3/24")
    assert (pool, subnet) == ("local/10.1.2.0/24", "10.1.2.0/24")
    gateway = {"RequestAddressType": "com.docker.network.gateway"}
    assert request(ipam, pool, **gateway) == "10.1.2.1/24"
    assert request(ipam, pool) == "10.1.2.2/24"
    assert request(ipam, pool, "10.1.2.200") == "10.1.2.200/24"
    assert ipam("RequestAddress", 500, PoolID=pool, Address="10.1.2.2") == "Address already in use"
    ipam("ReleaseAddress", PoolID=pool, Address="10.1.2.2")
    ipam("ReleaseAddress", PoolID=pool, Address="10.1.2.2")
    assert request(ipam, pool) == "10.1.2.2/24"
    ipam("ReleasePool", PoolID=pool)
    ipam("ReleasePool", PoolID=pool)
    ipam("ReleaseAddress", PoolID=pool, Address="10.1.2.2")
    assert ipam("RequestAddress", 500, PoolID=pool) == f"pool {pool} not found"


def test_pools_that_nobody_chose_are_different_until_there_are_none(ipam: Ask) -> None:
    request_pool(ipam, "10.213.1.128/25")
    found = [request_pool(ipam)[1] for _ in range(3)]
    assert found == ["10.213.0.0/24", "10.213.2.0/24", "10.213.3.0/24"]
    error = ipam("RequestPool", 500, AddressSpace="local", Pool="")
    assert error == "could not find an available, non-overlapping IPv4 address pool"
    ipam("ReleasePool", PoolID="local/10.213.2.0/24")
    assert request_pool(ipam)[1] == "10.213.2.0/24"
    assert request_pool(ipam, V6=True)[1] == "fd00:d5::/64"
    assert request_pool(ipam, V6=True)[1] == "fd00:d5:0:1::/64"


def test_pools_do_not_overlap_in_their_space(ipam: Ask) -> None:
    request_pool(ipam, "10.1.0.0/16")
    error = ipam("RequestPool", 500, AddressSpace="local", Pool="10.1.2.0/24")
    assert error == "Pool overlaps with other one on this address space"
    ipam("RequestPool", AddressSpace="global", Pool="10.1.2.0/24")


def test_a_sub_pool_limits_what_is_handed_out(ipam: Ask) -> None:
    pool, _ = request_pool(ipam, "10.1.2.0/24", "10.1.2.252/30")
    assert [request(ipam, pool) for _ in range(3)] == [
        "10.1.2.252/24", "10.1.2.253/24", "10.1.2.254/24",
    ]  # fmt: skip
    assert "no available addresses" in ipam("RequestAddress", 500, PoolID=pool)
    assert request(ipam, pool, "10.1.2.1") == "10.1.2.1/24"


def test_small_and_new_pools(ipam: Ask) -> None:
    pair, _ = request_pool(ipam, "10.1.2.0/31")
    assert [request(ipam, pair), request(ipam, pair)] == ["10.1.2.0/31", "10.1.2.1/31"]
    six, _ = request_pool(ipam, "fd00:1::/64")
    assert request(ipam, six) == "fd00:1::1/64"
    assert request(ipam, six, "fd00:1::ff") == "fd00:1::ff/64"


@pytest.mark.parametrize(
    ("method", "arguments", "error"),
    [
        ("RequestPool", {"AddressSpace": "mars"}, "address space 'mars' not found"),
        ("RequestPool", {"AddressSpace": "local", "Pool": "x"}, "'x' is not a subnet"),
        ("RequestPool", {"AddressSpace": "local", "SubPool": "10.0.0.0/8"}, "without a pool"),
        (
            "RequestPool",
            {"AddressSpace": "local", "Pool": "10.1.0.0/24", "SubPool": "10.2.0.0/30"},
            "not a part of",
        ),
        (
            "RequestPool",
            {"AddressSpace": "local", "Pool": "10.1.0.0/24", "SubPool": "fd00::/64"},
            "not a part of",
        ),
        ("RequestAddress", {"PoolID": "local/10.9.0.0/24", "Address": "x"}, "is not an address"),
        ("RequestAddress", {"PoolID": "local/10.9.0.0/24", "Address": "10.8.0.1"}, "is not in"),
    ],
)
def test_what_cannot_be(ipam: Ask, method: str, arguments: dict[str, Any], error: str) -> None:
    request_pool(ipam, "10.9.0.0/24")
    assert error in ipam(method, 500, **arguments)


@pytest.mark.parametrize("method", ["RequestPool", "ReleasePool", "RequestAddress"])
def test_an_empty_request_is_not_a_request(ipam: Ask, method: str) -> None:
    assert "is missing" in ipam(method, 400)


def test_a_restart_remembers_everything(localpool: ModuleType, tmp_path: Path) -> None:
    first = localpool.LocalPool(tmp_path, [])
    first.request_pool({"addressspace": "local", "pool": "10.1.2.0/24", "subpool": "10.1.2.8/29"})
    first.request_address({"poolid": "local/10.1.2.0/24"})
    second = localpool.LocalPool(tmp_path, [])
    assert second.pools == first.pools
    answer = second.request_address({"poolid": "local/10.1.2.0/24"})
    assert answer["Address"] == "10.1.2.9/24"


def test_what_is_not_on_disk_has_not_happened(localpool: ModuleType, tmp_path: Path) -> None:
    driver = localpool.LocalPool(tmp_path / "state", [])
    (tmp_path / "state").rmdir()
    with pytest.raises(OSError, match=r"pools\.json"):
        driver.request_pool({"addressspace": "local", "pool": "10.1.2.0/24"})
    assert driver.pools == {}


@pytest.mark.parametrize(
    "state",
    ["{", "[]", {"format": 2}, {"format": 1, "pools": [{}]}, {"format": 1, "pools": [1]},
     {"format": 1, "pools": [{"space": "local", "subnet": "x", "range": "x", "taken": []}]}],
)  # fmt: skip
def test_a_broken_file_is_not_an_empty_one(
    localpool: ModuleType, tmp_path: Path, state: Any
) -> None:
    text = state if isinstance(state, str) else json.dumps(state)
    (tmp_path / "pools.json").write_text(text)
    with pytest.raises(statefile.BrokenState, match="cannot read"):
        localpool.LocalPool(tmp_path, [])
    assert (tmp_path / "pools.json").read_text() == text


@pytest.mark.parametrize(
    "setting", ["10.0.0.0/8", "base=10.0.0.0/8", "base=x,size=9", "base=10.0.0.0/8,size=7",
                "base=10.0.0.0/8,size=33"],
)  # fmt: skip
def test_a_wrong_setting_is_named(localpool: ModuleType, setting: str) -> None:
    with pytest.raises(DriverError):
        localpool.parse_sources(setting)
