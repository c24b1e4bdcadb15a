# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Every field of `POST /containers/create`: which are served, and what the others say unasked.

    SERVED     name -> value if the client names none
    UNSERVED   name -> values that mean "not asked for", besides the zero values of its kind

A field that is not served and says anything else is refused by its name, and so is a field that no
table knows: what a container would silently lack is worse than no container. Names are matched
without regard to case, as Go's decoder does. The tables hold what docker CLI 28 sends, which is all
of API 1.50, and what older clients and the docker SDK add.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugind import errors

CONFIG_SERVED: Mapping[str, Any] = {
    "Hostname": "",
    "User": "",
    "AttachStdin": False,
    "AttachStdout": False,
    "AttachStderr": False,
    "Tty": False,
    "OpenStdin": False,
    "StdinOnce": False,
    "Env": None,
    "Cmd": None,
    "Image": "",
    "Volumes": None,
    "WorkingDir": "",
    "Entrypoint": None,
    "Labels": None,
    "StopSignal": "",
    "StopTimeout": None,
}
CONFIG_UNSERVED: Mapping[str, tuple[Any, ...]] = {
    "Domainname": (),
    "ExposedPorts": (),
    "ArgsEscaped": (),
    "Healthcheck": ({"Test": ["NONE"]}, {"Test": []}),
    "NetworkDisabled": (),
    "MacAddress": (),
    "OnBuild": (),
    "PublishService": (),
    "Runtime": (),
    "Shell": (),
}
HOST_SERVED: Mapping[str, Any] = {
    "Binds": None,
    "ContainerIDFile": "",
    "NetworkMode": "default",
    "AutoRemove": False,
    "VolumeDriver": "",
    "ConsoleSize": [0, 0],
    "ReadonlyRootfs": False,
    "Tmpfs": None,
    "Mounts": None,
}
HOST_UNSERVED: Mapping[str, tuple[Any, ...]] = {
    "LogConfig": ({"Type": "", "Config": {}}, {"Type": "json-file", "Config": {}}),
    "PortBindings": (),
    "RestartPolicy": (
        {"Name": "no", "MaximumRetryCount": 0},
        {"Name": "", "MaximumRetryCount": 0},
        {"Name": "no"},
        {"Name": ""},
    ),
    "VolumesFrom": (),
    "Annotations": (),
    "CapAdd": (),
    "CapDrop": (),
    "CgroupnsMode": (),
    "Dns": (),
    "DnsOptions": (),
    "DnsSearch": (),
    "ExtraHosts": (),
    "GroupAdd": (),
    "IpcMode": ("private",),
    "Cgroup": (),
    "Links": (),
    "OomScoreAdj": (),
    "PidMode": (),
    "Privileged": (),
    "PublishAllPorts": (),
    "SecurityOpt": (),
    "StorageOpt": (),
    "UTSMode": (),
    "UsernsMode": (),
    "ShmSize": (),
    "Sysctls": (),
    "Runtime": ("runc",),
    "Isolation": ("default",),
    "CpuShares": (),
    "Memory": (),
    "NanoCpus": (),
    "CgroupParent": (),
    "BlkioWeight": (),
    "BlkioWeightDevice": (),
    "BlkioDeviceReadBps": (),
    "BlkioDeviceWriteBps": (),
    "BlkioDeviceReadIOps": (),
    "BlkioDeviceWriteIOps": (),
    "CpuPeriod": (),
    "CpuQuota": (),
    "CpuRealtimePeriod": (),
    "CpuRealtimeRuntime": (),
    "CpusetCpus": (),
    "CpusetMems": (),
    "Devices": (),
    "DeviceCgroupRules": (),
    "DeviceRequests": (),
    "KernelMemory": (),
    "KernelMemoryTCP": (),
    "MemoryReservation": (),
    "MemorySwap": (),
    "MemorySwappiness": (-1,),
    "OomKillDisable": (),
    "PidsLimit": (),
    "Ulimits": (),
    "CpuCount": (),
    "CpuPercent": (),
    "IOMaximumIOps": (),
    "IOMaximumBandwidth": (),
    "MaskedPaths": (),
    "ReadonlyPaths": (),
    "Init": (),
}
#: Fields in which even a zero says something.
_ZERO_COUNTS = frozenset({"MemorySwappiness"})
#: What `inspect` shows of a field that nobody may ask for.
_SHOWN: Mapping[str, Any] = {
    "LogConfig": {"Type": "json-file", "Config": {}},
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "CapAdd": None,
    "CapDrop": None,
    "Devices": [],
    "IpcMode": "private",
    "Links": None,
    "PortBindings": {},
    "Privileged": False,
    "PublishAllPorts": False,
    "Runtime": "runc",
    "Memory": 0,
    "NanoCpus": 0,
    "CpuShares": 0,
    "ShmSize": 64 << 20,
}


def config_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the served fields of the body's own level; refuse the rest by name."""
    own = {
        key: value
        for key, value in body.items()
        if str(key).lower() not in ("hostconfig", "networkingconfig")
    }
    return _select(own, CONFIG_SERVED, CONFIG_UNSERVED, "")


def host_config_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the served fields of `HostConfig`; refuse the rest by name."""
    chosen = _select(member(body, "HostConfig"), HOST_SERVED, HOST_UNSERVED, "HostConfig.")
    chosen["NetworkMode"] = chosen["NetworkMode"] or "default"
    return chosen


def require_plain_network(body: Mapping[str, Any], mode: str) -> None:
    """Refuse `NetworkingConfig` unless all that it names is the network mode once more."""
    networking = member(body, "NetworkingConfig")
    for key, endpoints in networking.items():
        if is_zero(endpoints):
            continue
        if str(key).lower() != "endpointsconfig" or not isinstance(endpoints, Mapping):
            raise unsupported(f"NetworkingConfig.{key}")
        for name, settings in endpoints.items():
            if name != mode:
                raise unsupported(f"NetworkingConfig.EndpointsConfig.{name}")
            for field, value in (settings or {}).items():
                if not is_zero(value):
                    raise unsupported(f"NetworkingConfig.EndpointsConfig.{name}.{field}")


def shown_host_config(served: Mapping[str, Any]) -> dict[str, Any]:
    """Return `HostConfig` as `inspect` shows it: the served fields, and what the rest amount to."""
    return {**_SHOWN, **served}


def member(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return an object below the body, empty if it is missing or null."""
    found = next((value for key, value in body.items() if key.lower() == name.lower()), None)
    if found is None:
        return {}
    if not isinstance(found, Mapping):
        raise errors.InvalidParameter(f"invalid JSON: {name} is no object")
    return found


def unsupported(name: str, value: object = "") -> errors.InvalidParameter:
    """Return the refusal of a field or a value of it."""
    shown = f' "{value}"' if value else ""
    return errors.InvalidParameter(f"plugind does not support {name}{shown}")


def is_zero(value: Any) -> bool:
    """True for what Go's decoder makes of a field that is not there."""
    return value is None or value in ("", [], {}) or (value == 0 and not isinstance(value, str))


def _select(
    given: Mapping[str, Any],
    served: Mapping[str, Any],
    unserved: Mapping[str, tuple[Any, ...]],
    prefix: str,
) -> dict[str, Any]:
    """Return every served field with its value or its default."""
    served_names = {name.lower(): name for name in served}
    unserved_names = {name.lower(): name for name in unserved}
    chosen = dict(served)
    for key, value in given.items():
        name = served_names.get(str(key).lower())
        if name is not None:
            if value is not None:
                chosen[name] = value
            continue
        name = unserved_names.get(str(key).lower(), str(key))
        quiet = is_zero(value) and (name not in _ZERO_COUNTS or value is None)
        if not quiet and value not in unserved.get(name, ()):
            raise unsupported(f"{prefix}{name}")
    return chosen
