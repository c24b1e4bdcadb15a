# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Containers as the Engine API shows them: the list of `docker ps`, and `inspect`.

Everything that clients of API 1.47 look up without asking first is there, also where this engine
has nothing to say: networks are empty, there is no restart count.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

from plugind.model.containers import fields as fields_
from plugind.model.containers.container import Container, ContainerState, Status
from plugind.model.containers.mounts import ContainerMount

_UNITS = (
    (7 * 24 * 3600 * 2, 7 * 24 * 3600, "weeks"),
    (48 * 3600, 24 * 3600, "days"),
    (90 * 60, 3600, "hours"),
    (60, 60, "minutes"),
    (0, 1, "seconds"),
)


def summary(container: Container, *, now: float, places: Mapping[str, str]) -> dict[str, Any]:
    """Return a line of `GET /containers/json`.

    `now` is Unix time in seconds; `places` maps the targets of volumes to where they are mounted.
    """
    created = _timestamp(container.created_at)
    return {
        "Id": container.id,
        "Names": [f"/{container.name}"],
        "Image": container.image,
        "ImageID": container.image_id,
        "Command": " ".join(container.process.args),
        "Created": int(created),
        "Ports": [],
        "Labels": container.labels,
        "State": container.state.status.value,
        "Status": describe(container.state, now),
        "HostConfig": {"NetworkMode": container.network},
        "NetworkSettings": {"Networks": {}},
        "Mounts": [_mount_point(one, places) for one in container.mounts if one.type != "tmpfs"],
    }


def inspect(
    container: Container, *, paths: Mapping[str, str], places: Mapping[str, str]
) -> dict[str, Any]:
    """Return `GET /containers/{id}/json`.

    `paths` has the host's paths of `log`, `hosts`, `resolv.conf`, `hostname` and `merged`.
    """
    args = container.process.args
    return {
        "Id": container.id,
        "Created": container.created_at,
        "Path": args[0],
        "Args": list(args[1:]),
        "State": _state(container.state),
        "Image": container.image_id,
        "ResolvConfPath": paths["resolv.conf"],
        "HostnamePath": paths["hostname"],
        "HostsPath": paths["hosts"],
        "LogPath": paths["log"],
        "Name": f"/{container.name}",
        "RestartCount": 0,
        "Driver": "overlay2",
        "Platform": "linux",
        "MountLabel": "",
        "ProcessLabel": "",
        "AppArmorProfile": "",
        "ExecIDs": None,
        "HostConfig": fields_.shown_host_config(container.host_config),
        "GraphDriver": {"Name": "overlay2", "Data": {"MergedDir": paths["merged"]}},
        "Mounts": [_mount_point(one, places) for one in container.mounts if one.type != "tmpfs"],
        "Config": {"Domainname": "", "OnBuild": None, **container.config},
        "NetworkSettings": _network_settings(container),
    }


def describe(state: ContainerState, now: float) -> str:
    """Return what `docker ps` shows as status: `Up 2 minutes`, `Exited (1) 3 hours ago`."""
    if state.status is Status.CREATED:
        return "Created"
    if state.running:
        return f"Up {_age(now - _timestamp(state.started_at))}"
    return f"Exited ({state.exit_code}) {_age(now - _timestamp(state.finished_at))} ago"


def _state(state: ContainerState) -> dict[str, Any]:
    return {
        "Status": state.status.value,
        "Running": state.running,
        "Paused": False,
        "Restarting": False,
        "OOMKilled": False,
        "Dead": False,
        "Pid": state.pid,
        "ExitCode": state.exit_code,
        "Error": state.error,
        "StartedAt": state.started_at,
        "FinishedAt": state.finished_at,
    }


def _mount_point(mount: ContainerMount, places: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = {"Type": mount.type}
    if mount.type == "volume":
        shown |= {"Name": mount.source, "Source": places.get(mount.target, "")}
    else:
        shown["Source"] = mount.source
    shown["Destination"] = mount.target
    if mount.type == "volume":
        shown["Driver"] = mount.driver
    propagation = "rprivate" if mount.type == "bind" else ""
    mode = "ro" if mount.read_only else ""
    return {**shown, "Mode": mode, "RW": not mount.read_only, "Propagation": propagation}


def _network_settings(container: Container) -> dict[str, Any]:
    endpoint = {
        "IPAMConfig": None,
        "Links": None,
        "Aliases": None,
        "MacAddress": "",
        "DriverOpts": None,
        "NetworkID": "",
        "EndpointID": "",
        "Gateway": "",
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "DNSNames": None,
    }
    name = "host" if container.network == "host" else "none"
    return {
        "Bridge": "",
        "SandboxID": "",
        "SandboxKey": "",
        "Ports": {},
        "HairpinMode": False,
        "LinkLocalIPv6Address": "",
        "LinkLocalIPv6PrefixLen": 0,
        "SecondaryIPAddresses": None,
        "SecondaryIPv6Addresses": None,
        "EndpointID": "",
        "Gateway": "",
        "GlobalIPv6Address": "",
        "GlobalIPv6PrefixLen": 0,
        "IPAddress": "",
        "IPPrefixLen": 0,
        "IPv6Gateway": "",
        "MacAddress": "",
        "Networks": {name: endpoint},
    }


def _timestamp(text: str) -> float:
    """Return RFC 3339 with nanoseconds as Unix time."""
    seconds, _, fraction = text.rstrip("Z").partition(".")
    moment = datetime.datetime.fromisoformat(seconds + "+00:00")
    return moment.timestamp() + float(f"0.{fraction or '0'}")


def _age(seconds: float) -> str:
    """Return a duration as people say it, in the words of `docker ps`."""
    if seconds < 1:
        return "Less than a second"
    unit, name = next((unit, name) for least, unit, name in _UNITS if seconds >= least)
    number = int(seconds // unit)
    if number == 1:
        return {"minutes": "About a minute", "hours": "About an hour"}.get(name, "1 second")
    return f"{number} {name}"
