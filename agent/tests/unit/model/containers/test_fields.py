# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The table of fields: what docker CLI 28 sends unasked passes, what it was asked for is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from plugind import errors
from plugind.model.containers import fields

#: As CLI 28.2 sends it for `docker run --rm -v sshvolume:/data busybox ls /data`.
CLI_28 = json.loads(
    """{"Hostname":"","Domainname":"","User":"","AttachStdin":false,"AttachStdout":true,
    "AttachStderr":true,"Tty":false,"OpenStdin":false,"StdinOnce":false,"Env":null,
    "Cmd":["ls","/data"],"Image":"busybox","Volumes":{},"WorkingDir":"","Entrypoint":null,
    "OnBuild":null,"Labels":{},"HostConfig":{"Binds":["sshvolume:/data"],"ContainerIDFile":"",
    "LogConfig":{"Type":"","Config":{}},"NetworkMode":"default","PortBindings":{},
    "RestartPolicy":{"Name":"no","MaximumRetryCount":0},"AutoRemove":true,"VolumeDriver":"",
    "VolumesFrom":null,"ConsoleSize":[0,0],"CapAdd":null,"CapDrop":null,"CgroupnsMode":"","Dns":[],
    "DnsOptions":[],"DnsSearch":[],"ExtraHosts":null,"GroupAdd":null,"IpcMode":"","Cgroup":"",
    "Links":null,"OomScoreAdj":0,"PidMode":"","Privileged":false,"PublishAllPorts":false,
    "ReadonlyRootfs":false,"SecurityOpt":null,"UTSMode":"","UsernsMode":"","ShmSize":0,
    "Isolation":"","CpuShares":0,"Memory":0,"NanoCpus":0,"CgroupParent":"","BlkioWeight":0,
    "BlkioWeightDevice":[],"BlkioDeviceReadBps":[],"BlkioDeviceWriteBps":[],
    "BlkioDeviceReadIOps":[],"BlkioDeviceWriteIOps":[],"CpuPeriod":0,"CpuQuota":0,
    "CpuRealtimePeriod":0,"CpuRealtimeRuntime":0,"CpusetCpus":"","CpusetMems":"","Devices":[],
    "DeviceCgroupRules":null,"DeviceRequests":null,"MemoryReservation":0,"MemorySwap":0,
    "MemorySwappiness":-1,"OomKillDisable":false,"PidsLimit":0,"Ulimits":[],"CpuCount":0,
    "CpuPercent":0,"IOMaximumIOps":0,"IOMaximumBandwidth":0,"MaskedPaths":null,
    "ReadonlyPaths":null},"NetworkingConfig":{"EndpointsConfig":{"default":{"IPAMConfig":null,
    "Links":null,"Aliases":null,"MacAddress":"","DriverOpts":null,"GwPriority":0,"NetworkID":"",
    "EndpointID":"","Gateway":"","IPAddress":"","IPPrefixLen":0,"IPv6Gateway":"",
    "GlobalIPv6Address":"","GlobalIPv6PrefixLen":0,"DNSNames":null}}}}"""
)
#: One value of each kind that says something.
LOUD = {"OnBuild": ["RUN x"], "MemorySwappiness": 0}


def loud_values(name: str) -> list[Any]:
    return [LOUD[name]] if name in LOUD else [True, 7, "x", ["x"], {"x": 1}]


def test_what_the_cli_sends_unasked_passes() -> None:
    config = fields.config_of(CLI_28)
    host_config = fields.host_config_of(CLI_28)
    fields.require_plain_network(CLI_28, host_config["NetworkMode"])
    assert config["Cmd"] == ["ls", "/data"]
    assert host_config["Binds"] == ["sshvolume:/data"]
    assert set(config) == set(fields.CONFIG_SERVED)
    assert set(host_config) == set(fields.HOST_SERVED)


def test_the_tables_know_every_field_that_the_cli_sends() -> None:
    own = set(CLI_28) - {"HostConfig", "NetworkingConfig"}
    assert own <= {*fields.CONFIG_SERVED, *fields.CONFIG_UNSERVED}
    assert set(CLI_28["HostConfig"]) <= {*fields.HOST_SERVED, *fields.HOST_UNSERVED}


@pytest.mark.parametrize("name", fields.CONFIG_UNSERVED)
def test_each_field_of_config_that_is_not_served_is_refused_by_name(name: str) -> None:
    for value in loud_values(name):
        with pytest.raises(errors.InvalidParameter, match=f"^plugind does not support {name}$"):
            fields.config_of({**CLI_28, name: value})


@pytest.mark.parametrize("name", fields.HOST_UNSERVED)
def test_each_field_of_host_config_that_is_not_served_is_refused_by_name(name: str) -> None:
    for value in loud_values(name):
        body = {**CLI_28, "HostConfig": {**CLI_28["HostConfig"], name: value}}
        pattern = f"^plugind does not support {re.escape('HostConfig.' + name)}$"
        with pytest.raises(errors.InvalidParameter, match=pattern):
            fields.host_config_of(body)


@pytest.mark.parametrize("name", [*fields.CONFIG_UNSERVED, *fields.HOST_UNSERVED])
def test_what_means_not_asked_for_passes(name: str) -> None:
    is_host = name in fields.HOST_UNSERVED
    table = fields.HOST_UNSERVED if is_host else fields.CONFIG_UNSERVED
    for value in (None, *table[name]):
        body = {"HostConfig": {name: value}} if is_host else {name: value}
        fields.config_of(body)
        fields.host_config_of(body)


def test_a_field_of_the_future_is_refused_unless_it_says_nothing() -> None:
    assert fields.config_of({"Future": None, "Other": 0})["Image"] == ""
    with pytest.raises(errors.InvalidParameter, match="does not support Future"):
        fields.config_of({"Future": {"a": 1}})
    with pytest.raises(errors.InvalidParameter, match=r"does not support HostConfig\.Future"):
        fields.host_config_of({"HostConfig": {"Future": 1}})


def test_names_are_matched_as_go_does() -> None:
    assert fields.config_of({"image": "x"})["Image"] == "x"
    assert fields.host_config_of({"hostconfig": {"autoremove": True}})["AutoRemove"] is True
    with pytest.raises(errors.InvalidParameter, match=r"HostConfig\.Privileged"):
        fields.host_config_of({"HostConfig": {"privileged": True}})


@pytest.mark.parametrize(
    ("networking", "refused"),
    [
        ({"EndpointsConfig": {"web": {}}}, "EndpointsConfig.web"),
        ({"EndpointsConfig": {"none": {"Aliases": ["a"]}}}, "EndpointsConfig.none.Aliases"),
        ({"Other": 1}, "NetworkingConfig.Other"),
    ],
)
def test_networks_are_refused_by_name(networking: dict[str, Any], refused: str) -> None:
    with pytest.raises(errors.InvalidParameter, match=re.escape(refused)):
        fields.require_plain_network({"NetworkingConfig": networking}, "none")


def test_no_networking_at_all_is_plain() -> None:
    for body in ({}, {"NetworkingConfig": None}, {"NetworkingConfig": {"EndpointsConfig": None}}):
        fields.require_plain_network(body, "none")


def test_an_object_must_be_one() -> None:
    with pytest.raises(errors.InvalidParameter, match="HostConfig is no object"):
        fields.host_config_of({"HostConfig": [1]})
