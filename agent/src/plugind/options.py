# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The daemon's options: defaults, then plugind.toml, then the environment, then argv.

[daemon]
root = "/var/lib/plugind"         state
run = "/run/plugind"              what a reboot may lose
logs = "/var/log/plugind"         plugins' output
sockets = "/run/docker/plugins"   where the documentation says plugins' sockets are
socket = "/run/plugind/api.sock"  the API; below `run` if only that is given
group = "plugind"                 may use the socket, besides root
log_level = "info"                or debug, warning, error
enable_timeout = 30               seconds, where a client names none
log_max_bytes = 10485760          per plugin, then rotated once
[registry]
insecure = ["registry.example:5000"]      plain HTTP or unverified TLS
ca_file = "/etc/ssl/certs/registry.pem"   trusted besides what the host trusts
[registry.mirrors]
"docker.io" = ["mirror.example"]          asked first
[runtime]
binary = "runc"                   or "crun"
conmon = "conmon"                 found on PATH, or a path
[confinement]
seccomp = "default"               of plugins and one-off containers: or "unconfined", or the path of a
                                  profile as `docker run --security-opt seccomp=` takes it
memory = 0                        bytes that a plugin may use, or a text like "512m"; 0: no limit
cpus = 0.0                        processors, 1.5 is one and a half; 0: no limit
pids = 0                          processes and threads; 0: no limit
[confinement.plugins]
"sshfs" = {memory = "64m"}        what is different for a plugin, by its name in `plugind ls`, with or
                                  without tag
[secrets]
patterns = ["password", "key"]    words in the names of settings and options whose values are secrets,
                                  in place of the built-in ones (plugind.model.secrets.PATTERNS)
also = ["*_headers"]              more of them
[publish]
docker = false                    tell a real dockerd of plugins, as legacy ones: .spec files, and the
                                  host's /run/docker/logging in log plugins
docker_directory = "/etc/docker/plugins"  where dockerd looks for them
podman = false                    tell Podman of volume plugins: a drop-in of containers.conf
podman_file = "/etc/containers/containers.conf.d/50-plugind.conf"  the drop-in
podman_timeout = 120              whole seconds that Podman waits for a volume plugin, all of them
[restart]
first = 0.1                       seconds; grows by `factor` up to `longest`
factor = 2.0                      each pause is so many times the one before
longest = 60.0                    seconds
limit = 10                        failures in a row before giving up
healthy_after = 10.0              a run of that many seconds ends the row
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from plugind import errors
from plugind.model import confinement, publishing, secrets
from plugind.model.seccomp import DEFAULT, UNCONFINED, Seccomp, parse_profile

CONFIG_FILE = Path("/etc/plugind/plugind.toml")
_TABLES = {
    "daemon": "",
    "registry": "registry_",
    "runtime": "runtime_",
    "restart": "restart_",
    "secrets": "secrets_",
    "publish": "publish_",
    "confinement": "confinement_",
}
#: What only the file can say.
TABLES = ("registry_mirrors", "confinement_plugins")
_PATTERN = re.compile(r"[A-Za-z0-9]+|[\w.*?-]*[*?][\w.*?-]*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """Everything `plugind serve` can be told."""

    root: Path = Path("/var/lib/plugind")
    run: Path = Path("/run/plugind")
    logs: Path = Path("/var/log/plugind")
    sockets: Path = Path("/run/docker/plugins")
    socket: Path = Path("/run/plugind/api.sock")
    group: str = "plugind"
    log_level: str = "info"
    enable_timeout: float = 30.0
    log_max_bytes: int = 10 * 1024 * 1024
    registry_insecure: tuple[str, ...] = ()
    registry_ca_file: str = ""
    registry_mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    runtime_binary: str = "runc"
    runtime_conmon: str = "conmon"
    confinement_seccomp: Seccomp = field(default_factory=Seccomp)
    confinement_memory: int = 0
    confinement_cpus: float = 0.0
    confinement_pids: int = 0
    confinement_plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    secrets_patterns: tuple[str, ...] = secrets.PATTERNS
    secrets_also: tuple[str, ...] = ()
    publish_docker: bool = False
    publish_docker_directory: Path = Path(publishing.DOCKER_PLACE)
    publish_podman: bool = False
    publish_podman_file: Path = Path(publishing.PODMAN_PLACE)
    publish_podman_timeout: int = 120
    restart_first: float = 0.1
    restart_factor: float = 2.0
    restart_longest: float = 60.0
    restart_limit: int = 10
    restart_healthy_after: float = 10.0

    @property
    def secret_policy(self) -> secrets.SecretPolicy:
        """Which names mean secrets."""
        patterns = (*self.secrets_patterns, *self.secrets_also)
        return secrets.SecretPolicy(patterns=tuple(pattern.lower() for pattern in patterns))

    @property
    def confinement(self) -> confinement.Policy:
        """What plugins are confined by."""
        general = confinement.Confinement(
            seccomp=self.confinement_seccomp,
            memory=self.confinement_memory,
            cpus=self.confinement_cpus,
            pids=self.confinement_pids,
        )
        return confinement.Policy(general=general, plugins=self.confinement_plugins)


def load(
    file: Path | None, environment: Mapping[str, str], arguments: Mapping[str, str]
) -> DaemonOptions:
    """Read options in order of precedence; InvalidParameter names file and key.

    Without `file` the default one is read if it exists. Environment variables are
    `PLUGIND_<FIELD>`, for example `PLUGIND_ROOT`; `arguments` are named like the fields.
    """
    path = file or CONFIG_FILE
    options = DaemonOptions()
    if file is not None or path.exists():
        options = _from_toml(options, path)
    for item in fields(DaemonOptions):
        name = f"PLUGIND_{item.name.upper()}"
        if name in environment:
            options = _set(options, item.name, environment[name], name)
        if item.name in arguments:
            options = _set(options, item.name, arguments[item.name], f"--{item.name}")
    return _finish(options)


def _from_toml(options: DaemonOptions, path: Path) -> DaemonOptions:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise errors.InvalidParameter(f"cannot read {path}: {exc}") from exc
    known = {item.name for item in fields(DaemonOptions)}
    for table, values in document.items():
        if table not in _TABLES or not isinstance(values, dict):
            raise errors.InvalidParameter(
                f"{path}: unknown table [{table}]; known: {', '.join(_TABLES)}"
            )
        for key, value in values.items():
            name = _TABLES[table] + key
            if name not in known:
                raise errors.InvalidParameter(f"{path}: unknown key {table}.{key}")
            options = _set(options, name, value, f"{path}: {table}.{key}")
    return options


def _set(options: DaemonOptions, name: str, value: Any, where: str) -> DaemonOptions:
    try:
        return replace(options, **{name: _read(name, value)})
    except (TypeError, ValueError) as exc:
        raise errors.InvalidParameter(f"{where}: {exc}") from None


def _read(name: str, value: Any) -> Any:
    """Return the value of a field; ValueError or TypeError says what is wrong."""
    table, _, key = name.partition("_")
    if table != "confinement":
        return _convert(getattr(DaemonOptions(), name), value)
    if key == "plugins":
        return confinement.parse_plugins(value, _CONFINEMENT)
    return _CONFINEMENT[key](value)


def _read_seccomp(value: Any) -> Seccomp:
    """Return the choice, with the profile if it is a file's; ValueError says what is wrong."""
    if value in (DEFAULT, UNCONFINED):
        return Seccomp(name=value)
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError(
            f'want "{DEFAULT}", "{UNCONFINED}" or the absolute path of a profile, got {value!r}'
        )
    try:
        document = json.loads(Path(value).read_text(encoding="utf-8"))
        return Seccomp(name=value, profile=parse_profile(document))
    except (OSError, ValueError, RecursionError) as exc:
        raise ValueError(f"cannot read {value}: {exc}") from None
    except errors.InvalidParameter as exc:
        raise ValueError(f"{value} is no seccomp profile: {exc}") from None


_CONFINEMENT: dict[str, Callable[[Any], Any]] = {
    "seccomp": _read_seccomp,
    "memory": confinement.parse_memory,
    "cpus": confinement.parse_cpus,
    "pids": confinement.parse_count,
}


def _convert(like: Any, value: Any) -> Any:
    """Return `value` as the type of `like`; ValueError or TypeError says what is wrong."""
    if isinstance(like, Path):
        path = Path(value)
        if not path.is_absolute():
            raise ValueError(f'want an absolute path, got "{value}"')
        return path
    if isinstance(like, bool):
        words = {"true": True, "false": False}
        if str(value).lower() not in words:
            raise ValueError(f"want true or false, got {value!r}")
        return words[str(value).lower()]
    if isinstance(like, tuple):
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
            raise ValueError("want a list of strings")
        return tuple(item for item in items if item)
    if isinstance(like, dict):
        if not isinstance(value, dict):
            raise ValueError("want a table")
        return {str(key): _convert((), items) for key, items in value.items()}
    if isinstance(like, int | float):
        number = type(like)(value)
        if number < 0 or isinstance(value, bool):
            raise ValueError(f"want a number that is not negative, got {value!r}")
        return number
    if not isinstance(value, str):
        raise ValueError(f"want a string, got {value!r}")
    return value


def _finish(options: DaemonOptions) -> DaemonOptions:
    if options.log_level not in ("debug", "info", "warning", "error"):
        raise errors.InvalidParameter(
            f'log_level is "{options.log_level}", want debug, info, warning or error'
        )
    for pattern in (*options.secrets_patterns, *options.secrets_also):
        if not _PATTERN.fullmatch(pattern):
            raise errors.InvalidParameter(
                f'secrets: pattern "{pattern}": want letters and digits, or a name with * or ?'
            )
    default = DaemonOptions()
    if options.run != default.run and options.socket == default.socket:
        return replace(options, socket=options.run / "api.sock")
    return options
