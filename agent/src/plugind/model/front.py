# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a plugin's front socket says: the protocol between consumers (Podman, a real dockerd) and plugins.

A front stands for a plugin towards consumers that know nothing of managed plugins. So it answers
`Plugin.Activate` from config.json, puts host paths where the plugin names its own, and gives errors
in the form that every consumer understands:

    VolumeDriver     status 200 with `Err`  -> 500 with `Err`     Podman takes 200 for success
    every interface  an error in plain text -> `{"Err": text}`    Podman loses the text otherwise
    IpamDriver       `Err` or `Error`       -> both               dockerd reads either, by status
    NetworkDriver    404                    -> 404                "not implemented", which is no error
    AuthZPlugin      passed on unchanged
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from plugind import errors
from plugind.model import volume as volume_
from plugind.model.config import HTTP_V1, Interface

JSON = "application/vnd.docker.plugins.v1.1+json"
ACTIVATE = "Plugin.Activate"
VOLUME, IPAM, AUTHZ = "VolumeDriver", "IpamDriver", "AuthZPlugin"
READ_LOGS = "LogDriver.ReadLogs"
#: What a consumer looks for in the answer to Activate, by the capability in config.json.
_IMPLEMENTS = {
    "volumedriver": VOLUME,
    "networkdriver": "NetworkDriver",
    "ipamdriver": IPAM,
    "logdriver": "LogDriver",
    "authz": "authz",
    "metricscollector": "MetricsCollector",
    "secretprovider": "secretprovider",
    "graphdriver": "GraphDriver",
}
_GRPC = frozenset(("csicontroller", "csinode"))
_INTERFACES = frozenset(
    (VOLUME, "NetworkDriver", IPAM, "LogDriver", AUTHZ, "SecretProvider", "GraphDriver")
)
#: Methods without arguments, and the body that dockerd sends with them; consumers differ in it.
_NO_ARGUMENTS = {
    ACTIVATE: b"",
    "VolumeDriver.List": b"{}\n",
    "VolumeDriver.Capabilities": b"{}\n",
    "NetworkDriver.GetCapabilities": b"",
    "IpamDriver.GetCapabilities": b"",
    "IpamDriver.GetDefaultAddressSpaces": b"",
    "LogDriver.Capabilities": b"",
    "GraphDriver.Status": b"",
    "GraphDriver.Cleanup": b"",
    "GraphDriver.Capabilities": b"",
}
_METHOD = re.compile(r"[A-Za-z0-9_./-]+", re.ASCII)
#: Methods of a volume driver whose answers tell of a volume's `Status`.
SHOWING = frozenset(f"{VOLUME}.{name}" for name in ("Get", "List"))
#: Those that change nothing.
READING = frozenset(f"{VOLUME}.{name}" for name in ("Get", "List", "Path", "Capabilities"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer on the wire. `content_type` may be empty, as many plugins leave it."""

    status: int
    content: bytes
    content_type: str = JSON

    @property
    def is_success(self) -> bool:
        """True if the plugin did what it was asked for."""
        return self.status == 200


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeArguments:
    """The arguments of a volume driver's method; `id` is the mount's, "" if there is none."""

    name: str
    options: Mapping[str, str] | None = None
    id: str = ""


def implements(interface: Interface) -> list[str]:
    """Return the names that `Plugin.Activate` answers, in the order of the config."""
    known = [
        _IMPLEMENTS[kind.capability]
        for kind in interface.types or ()
        if kind.prefix == "docker" and kind.capability in _IMPLEMENTS
    ]
    return list(dict.fromkeys(known))


def is_raw(interface: Interface) -> bool:
    """True if the socket speaks something else than this protocol (gRPC, for CSI)."""
    if interface.protocol_scheme not in ("", HTTP_V1):
        return True
    return any(interface.serves(capability) for capability in _GRPC)


def activation(interface: Interface) -> Reply:
    """Return the answer to `Plugin.Activate`."""
    return document({"Implements": implements(interface)})


def prepare(method: str, content: bytes) -> bytes:
    """Return the body to send on; InvalidParameter if a method with arguments has none.

    So it is if that is no name of a method: a plugin that decodes it, or drops a query, would carry
    out what nobody here understood.

    dockerd's second try of a request comes with an empty body (moby sends a buffer that is used up).
    A plugin would make a volume with an empty name of it.
    """
    if not _METHOD.fullmatch(method):
        raise errors.InvalidParameter(f"{method[:80]!r} is no name of a method")
    if not content.strip():
        if method in _NO_ARGUMENTS:
            return _NO_ARGUMENTS[method]
        if method.partition(".")[0] in _INTERFACES:
            raise errors.InvalidParameter(f"{method}: the request has no body")
    return content


def volume_arguments(method: str, content: bytes) -> VolumeArguments:
    """Read the arguments of a volume driver's method; InvalidParameter says what is wrong."""
    arguments = parse(content)
    if not isinstance(arguments, dict):
        raise errors.InvalidParameter(f"{method}: the body is no JSON object")
    name, options, mount_id = (field(arguments, key) for key in ("Name", "Opts", "ID"))
    if not isinstance(name, str) or not name:
        raise errors.InvalidParameter(f"{method}: the request names no volume")
    volume_.require_plugin_volume_name(name)
    if options is not None and not isinstance(options, dict):
        raise errors.InvalidParameter(f"{method}: Opts is no object")
    return VolumeArguments(
        name=name,
        options={str(key): _text(value) for key, value in options.items()} if options else None,
        id=_text(mount_id),
    )


def volume_name(content: bytes) -> str:
    """Return the name of a volume in a request, "" if there is none."""
    arguments = parse(content)
    name = field(arguments, "Name") if isinstance(arguments, dict) else None
    return name if isinstance(name, str) else ""


def normalise(method: str, reply: Reply, host_path: Callable[[str], str]) -> Reply:
    """Return a plugin's answer as consumers understand it; `host_path` scopes a mountpoint."""
    interface = method.partition(".")[0]
    if interface == AUTHZ:
        return reply
    answer = parse(reply.content)
    error = error_of(method, reply, answer)
    # An error with a status of success or of a redirection is understood by nobody.
    status = reply.status if reply.is_success or reply.status >= 400 else 500
    if interface == VOLUME:
        if error:
            return failure(method, error, 500 if reply.is_success else status)
        if not isinstance(answer, dict):
            return failure(method, "plugin answered with something that is no JSON object")
        return reply if not _rescope(answer, host_path) else document(answer)
    if not error:
        return reply
    if interface == IPAM:
        return failure(method, error, status)
    if status == reply.status and (isinstance(answer, dict) or status == 404):
        return reply
    return failure(method, error, status)


def with_words(method: str, reply: Reply, change: Callable[[str], str]) -> Reply:
    """Return a reply whose error, if it carries one, is what `change` makes of it."""
    error = (
        error_of(method, reply, parse(reply.content)) if method.partition(".")[0] != AUTHZ else ""
    )
    changed = change(error) if error else error
    return reply if changed == error else failure(method, changed, reply.status)


def with_statuses(reply: Reply, change: Callable[[str, Any], Any]) -> Reply:
    """Return an answer to Get or List; `change` gets each volume's name and `Status`."""
    answer = parse(reply.content)
    changed = False
    for volume in _volumes_in(answer) if isinstance(answer, dict) else ():
        for key in [key for key in volume if key.lower() == "status"]:
            status = change(_text(field(volume, "Name")), volume[key])
            changed = changed or status != volume[key]
            volume[key] = status
    return document(answer, reply.status) if changed else reply


def failure(method: str, text: str, status: int = 500) -> Reply:
    """Return an error in the words that the consumers of `method` read."""
    if method.startswith(IPAM + "."):
        return document({"Err": text, "Error": text}, status)
    return document({"Err": text}, status)


def document(content: Mapping[str, Any], status: int = 200) -> Reply:
    """Return a JSON answer."""
    return Reply(status=status, content=json.dumps(content).encode() + b"\n")


def recorded_volume(volume: volume_.Volume) -> Reply:
    """Return an answer to `VolumeDriver.Get` for a driver that cannot answer now.

    A consumer asks Get for each volume of a list: without it one driver hides everything.
    """
    return document({"Volume": _recorded(volume), "Err": ""})


def recorded_volumes(volumes: Iterable[volume_.Volume]) -> Reply:
    """Return an answer to `VolumeDriver.List` for a driver that cannot answer now.

    What a driver does not list, or an error, makes `podman volume reload` forget the volumes.
    """
    return document({"Volumes": [_recorded(volume) for volume in volumes], "Err": ""})


def _recorded(volume: volume_.Volume) -> dict[str, Any]:
    found = {"Name": volume.name, "Mountpoint": ""}
    if volume.created_at != volume_.ZERO_TIME:
        found["CreatedAt"] = volume.created_at
    return found


def error_of(method: str, reply: Reply, answer: Any) -> str:
    """Return the error that an answer carries, "" if it carries none."""
    error = _text(field(answer, "Err")) if isinstance(answer, dict) else ""
    if not error and isinstance(answer, dict) and method.startswith(IPAM + "."):
        error = _text(field(answer, "Error"))
    if reply.is_success or error:
        return error
    return reply.content.decode("utf-8", "replace").strip()[:2000] or f"status {reply.status}"


def mountpoint_of(reply: Reply) -> str:
    """Return the mountpoint in an answer to Mount, "" if there is none."""
    answer = parse(reply.content)
    return _text(field(answer, "Mountpoint")) if isinstance(answer, dict) else ""


def with_mountpoint(reply: Reply, path: str) -> Reply:
    """Return an answer to Mount with another path in it."""
    return document({**parse(reply.content), "Mountpoint": path})


def parse(content: bytes) -> Any:
    """Return the first JSON value, as Go's decoder does; None if there is none."""
    try:
        return json.JSONDecoder().raw_decode(content.decode("utf-8", "replace").lstrip())[0]
    except (ValueError, RecursionError):
        return None


def field(found: Mapping[str, Any], name: str) -> Any:
    """Return a member by its name in any case, as Go's decoder finds it; None if absent."""
    if name in found:
        return found[name]
    folded = name.lower()
    return next((value for key, value in found.items() if key.lower() == folded), None)


def _rescope(answer: dict[str, Any], host_path: Callable[[str], str]) -> bool:
    """Put host paths into an answer to Mount, Path, Get or List; True if something changed."""
    changed = False
    for found in (answer, *_volumes_in(answer)):
        for key in [key for key in found if key.lower() == "mountpoint"]:
            path = found.pop(key)
            found["Mountpoint"] = host_path(path) if isinstance(path, str) else ""
            changed = True
    return changed


def _volumes_in(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the volumes that an answer to Get or List holds."""
    listed = field(answer, "Volumes")
    inner = [field(answer, "Volume"), *(listed if isinstance(listed, list) else ())]
    return [volume for volume in inner if isinstance(volume, dict)]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
