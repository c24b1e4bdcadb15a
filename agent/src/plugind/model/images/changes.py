# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The `changes` of an import: Dockerfile instructions that change nothing but the config.

    CMD, ENTRYPOINT   ["exec", "form"] or a shell command
    ENV, LABEL        key=value key="value with blanks" ..., or the older `key value`
    WORKDIR, USER, STOPSIGNAL, EXPOSE, VOLUME

The result is the `config` member of an image's config blob. Others of Docker's instructions are
Unsupported, by name; `$` is, too, as there is no shell that could tell what it means.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from plugind import errors

Config = dict[str, Any]
_PORT = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?(?:/(tcp|udp|sctp))?", re.ASCII | re.IGNORECASE)
_UNSUPPORTED = ("HEALTHCHECK", "ONBUILD")


def apply(changes: Iterable[str]) -> Config:
    """Return the config that the instructions make, from an empty one."""
    config: Config = {}
    for line in (line.strip() for change in changes for line in change.splitlines()):
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            _apply(config, name.upper(), rest.strip())
    return config


def _apply(config: Config, name: str, rest: str) -> None:
    if name in _UNSUPPORTED:
        raise errors.Unsupported(f"change command {name} is not supported by plugind")
    instruction = _INSTRUCTIONS.get(name)
    if instruction is None:
        raise errors.InvalidParameter(f"{name} is not a valid change command")
    if not rest:
        raise errors.InvalidParameter(f"{name} requires at least one argument")
    if "$" in rest and name not in ("CMD", "ENTRYPOINT"):
        raise errors.Unsupported(f"variables in change command {name} are not supported by plugind")
    instruction(config, name, rest)


def _command(config: Config, name: str, rest: str) -> None:
    words: Any = None
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except (ValueError, RecursionError):
            words = None  # as in a Dockerfile, what is no JSON is a shell's
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        words = ["/bin/sh", "-c", rest]
    config["Cmd" if name == "CMD" else "Entrypoint"] = words


def _env(config: Config, name: str, rest: str) -> None:
    env: list[str] = config.setdefault("Env", [])
    for key, value in _pairs(name, rest):
        env[:] = [entry for entry in env if entry.partition("=")[0] != key]
        env.append(f"{key}={value}")


def _label(config: Config, name: str, rest: str) -> None:
    config.setdefault("Labels", {}).update(_pairs(name, rest))


def _workdir(config: Config, name: str, rest: str) -> None:
    (path,) = _words(name, rest, most=1)
    joined = posixpath.join("/", config.get("WorkingDir", "/"), path)
    config["WorkingDir"] = "/" + posixpath.normpath(joined).lstrip("/")


def _user(config: Config, name: str, rest: str) -> None:
    (config["User"],) = _words(name, rest, most=1)


def _stop_signal(config: Config, name: str, rest: str) -> None:
    (config["StopSignal"],) = _words(name, rest, most=1)


def _expose(config: Config, name: str, rest: str) -> None:
    ports = config.setdefault("ExposedPorts", {})
    for word in _words(name, rest):
        match = _PORT.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if match is None or not 0 < first <= last <= 65535:
            raise errors.InvalidParameter(f"invalid containerPort: {word}")
        protocol = (match[3] or "tcp").lower()
        ports.update({f"{port}/{protocol}": {} for port in range(first, last + 1)})


def _volume(config: Config, name: str, rest: str) -> None:
    words: Sequence[str] = _words(name, rest)
    if rest.startswith("["):
        holder: Config = {}
        _command(holder, "CMD", rest)
        words = holder["Cmd"]
    config.setdefault("Volumes", {}).update({word: {} for word in words})


def _words(name: str, rest: str, *, most: int | None = None) -> list[str]:
    try:
        words = shlex.split(rest)
    except ValueError as exc:
        raise errors.InvalidParameter(f"cannot read change command {name}: {exc}") from exc
    if not words or (most is not None and len(words) > most):
        raise errors.InvalidParameter(f"{name} requires exactly one argument")
    return words


def _pairs(name: str, rest: str) -> list[tuple[str, str]]:
    words = _words(name, rest)
    if "=" not in words[0]:
        key, _, value = rest.partition(" ")
        if not value.strip():
            raise errors.InvalidParameter(f"{name} must have two arguments")
        return [(key, value.strip())]
    pairs = [word.partition("=") for word in words]
    for key, equals, _ in pairs:
        if not key or not equals:
            raise errors.InvalidParameter(f"{name} names can not be blank, want key=value")
    return [(key, value) for key, _, value in pairs]


_INSTRUCTIONS: dict[str, Callable[[Config, str, str], None]] = {
    "CMD": _command,
    "ENTRYPOINT": _command,
    "ENV": _env,
    "LABEL": _label,
    "WORKDIR": _workdir,
    "USER": _user,
    "STOPSIGNAL": _stop_signal,
    "EXPOSE": _expose,
    "VOLUME": _volume,
}
