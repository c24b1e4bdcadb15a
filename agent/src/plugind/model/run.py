# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A one-off container: what `plugind run` is told, and what it asks an engine for.

    {"image": "registry/app:1", "pull": "missing", "credentials": {...},
     "command": ["psql", "-c", "..."] or "psql -c ...", "entrypoint": the same,
     "env": {"A": "1"}, "working_dir": "/srv", "user": "1000:1000", "network": "none",
     "volumes": ["data:/data:ro", "/etc/app:/etc/app",
                 {"source": "data", "target": "/data", "read_only": true, "driver": "sshfs"}],
     "volume_driver": "sshfs", "name": "migrate", "labels": {"a": "b"}, "read_only": false,
     "stdin": "text", "timeout": 30.0, "creates": "/path", "removes": "/path", "dry_run": false}

Only the image is needed. Words split as a shell splits them, without a shell's expansions.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plugind import errors

MISSING, ALWAYS, NEVER = "missing", "always", "never"
_PULL = (MISSING, ALWAYS, NEVER)
_TEXTS = ("image", "working_dir", "user", "network", "volume_driver", "name", "stdin", "pull")
_PATHS = ("creates", "removes")
_WORDS = ("command", "entrypoint")
_MAPPINGS = ("env", "labels", "credentials")
_FLAGS = ("read_only", "dry_run")
_KEYS = frozenset((*_TEXTS, *_PATHS, *_WORDS, *_MAPPINGS, *_FLAGS, "volumes", "timeout"))
_VOLUME_KEYS = {"source": str, "target": str, "read_only": bool, "driver": str}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunVolume:
    """A volume's name or a host's path, and where the container sees it.

    `options` are what Docker allows behind the second colon, for example `ro`.
    """

    source: str
    target: str
    options: str = ""
    driver: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """What to run. None means that the image, or the engine, decides."""

    image: str
    pull: str = MISSING
    credentials: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    working_dir: str | None = None
    user: str | None = None
    network: str | None = None
    volumes: tuple[RunVolume, ...] = ()
    volume_driver: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    read_only: bool = False
    stdin: str | None = field(default=None, repr=False)
    timeout: float | None = None
    creates: str | None = None
    removes: str | None = None
    dry_run: bool = False

    def describe(self) -> str:
        """Return image and program; not the program's arguments, among which there may be a secret."""
        words = (self.entrypoint or ()) + (self.command or ())
        return " ".join((self.image, *words[:1]))


def parse_run(document: Mapping[str, Any]) -> RunOrder:
    """Check the document; InvalidParameter lists every problem, and shows no value."""
    given = {key: value for key, value in document.items() if value is not None}
    problems = [f".{key}: unknown" for key in sorted(given.keys() - _KEYS)]
    problems += _kinds(given)
    if not given.get("image"):
        problems.append(".image: is missing")
    if given.get("pull", MISSING) not in _PULL:
        problems.append(f".pull: want one of {', '.join(_PULL)}")
    for key in _PATHS:
        if not str(given.get(key, "/")).startswith("/"):
            problems.append(f".{key}: want an absolute path")
    timeout = given.get("timeout", 1.0)
    if _is_number(timeout) and not (timeout > 0 and math.isfinite(timeout)):
        problems.append(".timeout: want a number of seconds above 0")
    parsed: dict[str, Any] = {}
    for key in _WORDS:
        parsed[key] = _parsed(_words, given.get(key), f".{key}", problems)
    listed = given.get("volumes", [])
    entries = enumerate(listed if isinstance(listed, list) else ())
    volumes = [_parsed(_volume, entry, f".volumes[{n}]", problems) for n, entry in entries]
    if problems:
        raise errors.InvalidParameter("invalid run order: " + "; ".join(problems))
    return RunOrder(**{**given, **parsed, "volumes": tuple(volumes)})


def create_body(order: RunOrder) -> dict[str, Any]:
    """Return the body of `POST /containers/create`.

    The engine removes the container when it ends (AutoRemove), whatever becomes of the client.
    """
    plain = [volume for volume in order.volumes if not volume.driver]
    host = {
        "AutoRemove": True,
        "Binds": [":".join(filter(None, (v.source, v.target, v.options))) for v in plain],
        "Mounts": [_mount(volume) for volume in order.volumes if volume.driver],
        "NetworkMode": order.network,
        "ReadonlyRootfs": order.read_only,
        "VolumeDriver": order.volume_driver,
    }
    body = {
        "Image": order.image,
        "Cmd": None if order.command is None else list(order.command),
        # Docker's way to say that there is to be none, although the image has one.
        "Entrypoint": None if order.entrypoint is None else list(order.entrypoint) or [""],
        "Env": [f"{name}={value}" for name, value in order.env.items()],
        "WorkingDir": order.working_dir,
        "User": order.user,
        "Labels": dict(order.labels),
        "Tty": False,
        "OpenStdin": order.stdin is not None,
        "StdinOnce": order.stdin is not None,
        "AttachStdin": order.stdin is not None,
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {key: value for key, value in host.items() if value is not None},
    }
    return {key: value for key, value in body.items() if value is not None}


def _mount(volume: RunVolume) -> dict[str, Any]:
    return {
        "Type": "volume",
        "Source": volume.source,
        "Target": volume.target,
        "ReadOnly": volume.options == "ro",
        "VolumeOptions": {"DriverConfig": {"Name": volume.driver}},
    }


def _kinds(given: Mapping[str, Any]) -> list[str]:
    problems = [
        f".{key}: want a text"
        for key in (*_TEXTS, *_PATHS)
        if not isinstance(given.get(key, ""), str)
    ]
    problems += [
        f".{key}: want true or false"
        for key in _FLAGS
        if not isinstance(given.get(key, False), bool)
    ]
    for key in _MAPPINGS:
        found = given.get(key, {})
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            problems.append(f".{key}: want a mapping of texts")
        elif key == "env" and any(not name or "=" in name for name in found):
            problems.append(f'.{key}: a variable needs a name without "="')
    if not isinstance(given.get("volumes", []), list):
        problems.append(".volumes: want a list")
    if not _is_number(given.get("timeout", 1.0)):
        problems.append(".timeout: want a number of seconds above 0")
    return problems


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _parsed(parse: Any, value: Any, where: str, problems: list[str]) -> Any:
    """Parse one value; what is wrong with it joins the other problems."""
    try:
        return None if value is None else parse(value)
    except ValueError as exc:
        problems.append(f"{where}: {exc}")
        return None


def _words(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return tuple(shlex.split(value))
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return tuple(value)
    raise ValueError("want a text or a list of texts")


def _volume(value: Any) -> RunVolume:
    if isinstance(value, str):
        source, target, options = [*value.split(":", 2), "", ""][:3]
        found = {"source": source, "target": target, "options": options}
    elif isinstance(value, dict):
        if value.keys() - _VOLUME_KEYS.keys():
            raise ValueError(f"knows only {', '.join(_VOLUME_KEYS)}")
        found = {key: item for key, item in value.items() if item is not None}
        if not all(isinstance(item, _VOLUME_KEYS[key]) for key, item in found.items()):
            raise ValueError("want texts, and for read_only true or false")
        found["options"] = "ro" if found.pop("read_only", False) else ""
        if ":" in found.get("source", "") + found.get("target", ""):
            raise ValueError('there is no ":" in a source or a target')
    else:
        raise ValueError("want source:target[:options] or a mapping")
    if not found.get("source") or not found.get("target", "").startswith("/"):
        raise ValueError("want a source, and a target that is an absolute path in the container")
    if found.get("driver") and found["source"].startswith("/"):
        raise ValueError("a path of the host has no driver")
    return RunVolume(**found)
