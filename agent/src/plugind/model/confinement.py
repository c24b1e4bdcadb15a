# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a plugin is confined by: seccomp and limits, for all of them and for single ones.

    Policy.of(name)    what is said for `NAME:TAG`, then for `NAME`, then for every plugin

Each `parse_*` reads one value of plugind.toml; ValueError says what is wrong with it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from plugind.model.seccomp import Seccomp

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?([bkmgt]?)(?:i?b)?", re.ASCII | re.IGNORECASE)
_UNITS = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
#: Docker's; with less no program gets as far as its own first line.
_LEAST_MEMORY = 6 << 20
#: The kernel's: a thousandth of a second in each period of a tenth.
_LEAST_CPUS = 0.01
_MOST = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """`memory` is bytes, `cpus` a number of processors, `pids` of threads; 0 is no limit."""

    seccomp: Seccomp = field(default_factory=Seccomp)
    memory: int = 0
    cpus: float = 0.0
    pids: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as `plugind inspect` shows it."""
        return {
            "Seccomp": self.seccomp.name,
            "Memory": self.memory,
            "CPUs": self.cpus,
            "Pids": self.pids,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`general` is for every plugin, `plugins` what is different for one, by its name."""

    general: Confinement = field(default_factory=Confinement)
    plugins: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, name: str) -> Confinement:
        """Return what confines the plugin `name`, which has a tag."""
        own = {**self.plugins.get(name.rpartition(":")[0], {}), **self.plugins.get(name, {})}
        return replace(self.general, **own)


def parse_memory(value: Any) -> int:
    """Return bytes: a number, or a text with one of Docker's suffixes (b, k, m, g, t)."""
    if isinstance(value, str) and value:
        found = _SIZE.fullmatch(value)
        if found is None:
            raise ValueError(f'want bytes like 512m or 1g, got "{value}"')
        size = int(float(found[1]) * 1024 ** _UNITS[found[2].lower()])
    else:
        size = 0 if value == "" else parse_count(value)
    if 0 < size < _LEAST_MEMORY or size > _MOST:
        raise ValueError(f"want 6m or more, got {value!r}")
    return size


def parse_cpus(value: Any) -> float:
    """Return a number of processors."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"want a number, got {value!r}")
    try:
        cpus = float(value)
    except ValueError:
        cpus = math.nan
    # Not a number is not within any bounds.
    if cpus != 0 and not _LEAST_CPUS <= cpus <= 1 << 20:
        raise ValueError(f"want 0, or a number of processors from {_LEAST_CPUS} on, got {value!r}")
    return cpus


def parse_count(value: Any) -> int:
    """Return a whole number that is not negative."""
    text = value if isinstance(value, str) else str(value)
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,19}", text, re.ASCII):
        raise ValueError(f"want a whole number that is not negative, got {value!r}")
    return int(text)


def parse_plugins(value: Any, parsers: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """Return what is different for single plugins; `parsers` are by key."""
    if not isinstance(value, dict):
        raise ValueError("want a table")
    return {name: _parse_plugin(name, own, parsers) for name, own in value.items()}


def _parse_plugin(
    name: str, own: Any, parsers: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    if not isinstance(own, dict):
        raise ValueError(f'"{name}": want a table')
    read = {}
    for key, value in own.items():
        if key not in parsers:
            raise ValueError(f'"{name}": unknown key {key}; known: {", ".join(parsers)}')
        try:
            read[key] = parsers[key](value)
        except ValueError as exc:
            raise ValueError(f'"{name}".{key}: {exc}') from None
    return read


def format_size(size: int) -> str:
    """Return bytes in the largest unit that needs no fraction, or one digit of it."""
    unit, number = "bytes", float(size)
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number < 1024:
            break
        unit, number = larger, number / 1024
    return f"{number:.1f}".removesuffix(".0") + f" {unit}"
