# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`POST /containers/create` and its body: parsed, refused where it must be, merged with the image.

    parse(body) -> Request            what the client wants
    merge(request, image) -> parts    the process and Docker's Config with the image's defaults

Precedence as in moby `daemon/commit.go`: an entrypoint of the client's drops the image's Cmd.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from plugind import errors
from plugind.model import signals
from plugind.model.containers import fields as fields_
from plugind.model.containers import mounts as mounts_
from plugind.model.containers.container import SHORT_ID, Process
from plugind.model.containers.mounts import ContainerMount
from plugind.model.images.image import ImageConfig

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
NETWORKS = ("default", "none", "host")
NO_NETWORK = (
    'plugind has no bridge network: the container runs as with "--network none", '
    "with a loopback interface and nothing else"
)
_NAME = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]+", re.ASCII)
_HOSTNAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9.-]{0,61}[a-zA-Z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A parsed body: `config` and `host_config` hold the served fields, each of the right kind."""

    config: Mapping[str, Any]
    host_config: Mapping[str, Any]

    @property
    def image(self) -> str:
        """What the client calls the image."""
        return str(self.config["Image"])

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the client has to know although the container was created."""
        return (NO_NETWORK,) if self.host_config["NetworkMode"] == "default" else ()


def parse(body: Mapping[str, Any]) -> Request:
    """Parse the body; InvalidParameter names the first field that is wrong or not served."""
    config = fields_.config_of(body)
    host_config = fields_.host_config_of(body)
    _require_kinds(config, host_config)
    for key in ("Cmd", "Entrypoint", "Env"):
        config[key] = _strings(config[key], key)
    config["Cmd"] = config["Cmd"] or None  # an empty Entrypoint, though, takes the image's away
    config["Volumes"] = dict(_object(config["Volumes"], "Volumes"))
    config["Labels"] = dict(_object(config["Labels"], "Labels"))
    for value in config["Labels"].values():
        _require(value, str, "Labels")
    host_config["Tmpfs"] = dict(_object(host_config["Tmpfs"], "HostConfig.Tmpfs"))
    mode = host_config["NetworkMode"]
    if mode not in NETWORKS:
        raise fields_.unsupported("HostConfig.NetworkMode", mode)
    fields_.require_plain_network(body, mode)
    if not config["Image"]:
        raise errors.InvalidParameter("config cannot be empty in order to create a container")
    _require_values(config)
    return Request(config=config, host_config=host_config)


def require_name(name: str) -> str:
    """Return a container's name without Docker's leading slash; InvalidParameter if it is none."""
    if not _NAME.fullmatch(name):
        raise errors.InvalidParameter(
            f"Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return name.removeprefix("/")


def mounts(request: Request, image: ImageConfig) -> tuple[ContainerMount, ...]:
    """Return everything that the container mounts."""
    return mounts_.parse_mounts(request.host_config, request.config["Volumes"], image.volumes)


def merge(
    request: Request, image: ImageConfig, container_id: str, host_name: str
) -> tuple[Process, dict[str, Any]]:
    """Return the process and Docker's `Config`; InvalidParameter if there is nothing to run.

    `host_name` is this machine's, which a container with the host's network shares.
    """
    config = dict(request.config)
    if not config["Entrypoint"] and config["Cmd"] is None:
        config["Cmd"] = None if image.cmd is None else list(image.cmd)
    if config["Entrypoint"] is None:
        config["Entrypoint"] = None if image.entrypoint is None else list(image.entrypoint)
    entrypoint = config["Entrypoint"] or []
    if entrypoint == [""]:  # what `--entrypoint ""` sends: none at all
        entrypoint, config["Entrypoint"] = [], None
    args = (*entrypoint, *(config["Cmd"] or ()))
    if not args:
        raise errors.InvalidParameter("no command specified")
    own = request.host_config["NetworkMode"] != "host"
    hostname = config["Hostname"] or (container_id[:SHORT_ID] if own else host_name)
    config["Hostname"] = hostname
    config["Env"] = _merge_env(config["Env"] or (), image.env)
    config["Labels"] = {**image.labels, **config["Labels"]}
    config["User"] = config["User"] or image.user
    config["WorkingDir"] = config["WorkingDir"] or image.working_dir
    config["Volumes"] = {name: {} for name in (*image.volumes, *config["Volumes"])} or None
    config["StopSignal"] = config["StopSignal"] or image.stop_signal
    process = Process(
        args=args,
        env=_process_env(config["Env"], hostname, tty=config["Tty"]),
        working_dir=config["WorkingDir"],
        user=config["User"],
        hostname=hostname,
        tty=config["Tty"],
        stdin=config["OpenStdin"],
        stdin_once=config["StdinOnce"],
        stop_signal=config["StopSignal"],
        stop_timeout=config["StopTimeout"],
    )
    return process, config


def _require_values(config: Mapping[str, Any]) -> None:
    if config["Hostname"] and not _HOSTNAME.fullmatch(config["Hostname"]):
        raise errors.InvalidParameter(f"invalid hostname: {config['Hostname']}")
    if config["WorkingDir"] and not config["WorkingDir"].startswith("/"):
        raise errors.InvalidParameter(
            f"the working directory '{config['WorkingDir']}' is invalid, "
            "it needs to be an absolute path"
        )
    for entry in config["Env"] or ():
        if not entry or entry.startswith("="):
            raise errors.InvalidParameter(f"invalid environment variable: {entry}")
    if config["StopSignal"]:
        signals.parse(config["StopSignal"])


def _require_kinds(config: Mapping[str, Any], host_config: Mapping[str, Any]) -> None:
    """Compare each field with the kind of its default."""
    for served, given, prefix in (
        (fields_.CONFIG_SERVED, config, ""),
        (fields_.HOST_SERVED, host_config, "HostConfig."),
    ):
        for name, default in served.items():
            if default is not None:
                _require(given[name], type(default), prefix + name)
    _require(config["StopTimeout"], (int, type(None)), "StopTimeout")
    for name in ("Binds", "Mounts"):
        _require(host_config[name], (list, type(None)), f"HostConfig.{name}")
    size = host_config["ConsoleSize"]
    if len(size) != 2 or not all(isinstance(part, int) and 0 <= part < 1 << 16 for part in size):
        raise errors.InvalidParameter("invalid JSON: HostConfig.ConsoleSize is no pair of numbers")


def _require(value: object, kind: type | tuple[type, ...], name: str) -> None:
    if not isinstance(value, kind):
        shown = type(value).__name__
        raise errors.InvalidParameter(f"invalid JSON: {name} must not be of type {shown}")


def _object(value: object, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    _require(value, dict, name)
    return value  # type: ignore[return-value]


def _strings(value: object, name: str) -> list[str] | None:
    """Return a list of strings; one string alone is a list of it, as in Docker."""
    if value is None:
        return None
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise errors.InvalidParameter(f"invalid JSON: {name} is no list of strings")
    return value


def _merge_env(own: tuple[str, ...] | list[str], image: tuple[str, ...]) -> list[str]:
    """Return the client's variables, and those of the image that it does not name."""
    named = {entry.partition("=")[0] for entry in own}
    kept = [entry for entry in image if entry.partition("=")[0] not in named]
    if not any(entry.startswith("PATH=") for entry in (*own, *kept)):
        kept.append(f"PATH={PATH}")
    return [*own, *kept]


def _process_env(env: list[str], hostname: str, *, tty: bool) -> tuple[str, ...]:
    """Return the environment of the process; a name without a value takes the variable away."""
    variables = {"PATH": PATH, "HOSTNAME": hostname}
    if tty:
        variables["TERM"] = "xterm"
    for entry in env:
        name, equals, value = entry.partition("=")
        if equals:
            variables[name] = value
        else:
            variables.pop(name, None)
    return tuple(f"{name}={value}" for name, value in variables.items())
