# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A seccomp profile in the form that `docker run --security-opt seccomp=FILE` takes.

    parse_profile(document) -> Profile        every rule with what it depends on
    profile.resolve(capabilities, kernel)     -> the OCI runtime's `linux.seccomp`

A rule counts if the process may have every capability of `includes` and none of `excludes`, the
machine is among the architectures, and the kernel is new enough.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from plugind import errors
from plugind.model.facts import Kernel

DEFAULT, UNCONFINED = "default", "unconfined"
_ACTIONS = frozenset(
    f"SCMP_ACT_{name}"
    for name in ["ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "TRACE", "TRAP"]
)
_OPERATORS = frozenset(
    f"SCMP_CMP_{name}" for name in ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]
)
#: Go's names of machines, which profiles use, by the kernel's.
_GO_MACHINES = {
    "x86_64": "amd64",
    "i686": "x86",
    "aarch64": "arm64",
    "armv7l": "arm",
    "armv6l": "arm",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
#: What a machine's kernel runs, its own first. One that is not listed would be a way around.
_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "i686": ("SCMP_ARCH_X86",),
    "aarch64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "armv7l": ("SCMP_ARCH_ARM",),
    "armv6l": ("SCMP_ARCH_ARM",),
    "ppc64le": ("SCMP_ARCH_PPC64LE",),
    "riscv64": ("SCMP_ARCH_RISCV64",),
    "s390x": ("SCMP_ARCH_S390X", "SCMP_ARCH_S390"),
}
_MAX_INDEX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Capabilities, machines (Go's names) and a kernel's version; what is empty says nothing."""

    capabilities: frozenset[str] = frozenset()
    machines: frozenset[str] = frozenset()
    kernel: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A comparison of one argument of a call; MASKED_EQ: argument & value == value_two."""

    index: int
    value: int
    value_two: int = 0
    operator: str = "SCMP_CMP_EQ"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to some calls, if all of `arguments` fit."""

    names: tuple[str, ...]
    action: str
    errno: int | None = None
    arguments: tuple[Argument, ...] = ()
    includes: Condition = field(default_factory=Condition)
    excludes: Condition = field(default_factory=Condition)

    def counts(self, capabilities: Collection[str], kernel: Kernel) -> bool:
        """True if the rule is for a process with these capabilities on this kernel."""
        needs, bars = self.includes, self.excludes
        machine = _GO_MACHINES.get(kernel.machine, kernel.machine)
        return (
            needs.capabilities <= set(capabilities)
            and (not needs.machines or machine in needs.machines)
            and (needs.kernel is None or kernel.version >= needs.kernel)
            and bars.capabilities.isdisjoint(capabilities)
            and machine not in bars.machines
            and (bars.kernel is None or kernel.version < bars.kernel)
        )

    def to_oci(self) -> dict[str, Any]:
        """Return the rule as the runtime takes it."""
        made: dict[str, Any] = {"names": list(self.names), "action": self.action}
        if self.errno is not None:
            made["errnoRet"] = self.errno
        if self.arguments:
            made["args"] = [
                {"index": a.index, "value": a.value, "valueTwo": a.value_two, "op": a.operator}
                for a in self.arguments
            ]
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """Rules, and what happens to calls that no rule names.

    `architectures` is what the profile covers, `sub_architectures` the same by the machine's own;
    with neither it is all that the machine runs.
    """

    default_action: str
    default_errno: int | None = None
    architectures: tuple[str, ...] = ()
    sub_architectures: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    flags: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    def resolve(self, capabilities: Collection[str], kernel: Kernel) -> dict[str, Any]:
        """Return `linux.seccomp` for a process that may have these capabilities."""
        made: dict[str, Any] = {"defaultAction": self.default_action}
        if self.default_errno is not None:
            made["defaultErrnoRet"] = self.default_errno
        if architectures := self._covered(_ARCHITECTURES.get(kernel.machine, ())):
            made["architectures"] = list(architectures)
        if self.flags:
            made["flags"] = list(self.flags)
        made["syscalls"] = [
            rule.to_oci() for rule in self.rules if rule.counts(capabilities, kernel)
        ]
        return made

    def _covered(self, runs: tuple[str, ...]) -> tuple[str, ...]:
        if self.architectures or not self.sub_architectures:
            return self.architectures or runs
        own = runs[:1]
        return own + tuple(sub for name in own for sub in self.sub_architectures.get(name, ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seccomp:
    """A choice: DEFAULT, UNCONFINED, or the path of a file and the profile that it held."""

    name: str = DEFAULT
    profile: Profile | None = None

    def __str__(self) -> str:
        return self.name


# --- reading a profile ------------------------------------------------------------------------


def parse_profile(document: Any) -> Profile:
    """Read a profile; InvalidParameter says which part of it is wrong."""
    top = _table(document, "profile")
    architectures, mapped = _texts(top, "architectures", ""), _list(top, "archMap", "")
    if architectures and mapped:
        raise errors.InvalidParameter("use either architectures or archMap")
    subs = {}
    for number, item in enumerate(mapped):
        entry = _table(item, f"archMap[{number}]")
        name = _text(entry, "architecture", f"archMap[{number}].")
        subs[name] = _texts(entry, "subArchitectures", f"archMap[{number}].")
    return Profile(
        default_action=_one_of(top, "defaultAction", "", _ACTIONS),
        default_errno=_number(top, "defaultErrnoRet", ""),
        architectures=architectures,
        sub_architectures=subs,
        flags=_texts(top, "flags", ""),
        rules=tuple(
            _parse_rule(item, f"syscalls[{number}]")
            for number, item in enumerate(_list(top, "syscalls", ""))
        ),
    )


def _parse_rule(item: Any, where: str) -> Rule:
    entry, at = _table(item, where), f"{where}."
    names = _texts(entry, "names", at)
    if entry.get("name"):
        if names:
            raise errors.InvalidParameter(f"{where}: use either name or names")
        names = (_text(entry, "name", at),)
    if not names:
        raise errors.InvalidParameter(f"{where}: names no call")
    return Rule(
        names=names,
        action=_one_of(entry, "action", at, _ACTIONS),
        errno=_number(entry, "errnoRet", at),
        arguments=tuple(
            _parse_argument(one, f"{at}args[{number}]")
            for number, one in enumerate(_list(entry, "args", at))
        ),
        includes=_parse_condition(entry, "includes", at),
        excludes=_parse_condition(entry, "excludes", at),
    )


def _parse_argument(item: Any, where: str) -> Argument:
    entry, at = _table(item, where), f"{where}."
    index = _number(entry, "index", at) or 0
    if index > _MAX_INDEX:
        raise errors.InvalidParameter(f"{at}index: want 0 to {_MAX_INDEX}, got {index}")
    return Argument(
        index=index,
        value=_number(entry, "value", at) or 0,
        value_two=_number(entry, "valueTwo", at) or 0,
        operator=_one_of(entry, "op", at, _OPERATORS),
    )


def _parse_condition(entry: Mapping[str, Any], key: str, at: str) -> Condition:
    kept, at = _table(entry.get(key) or {}, at + key), f"{at}{key}."
    kernel = None
    if kept.get("minKernel"):
        found = re.fullmatch(r"(\d{1,4})\.(\d{1,4})", _text(kept, "minKernel", at), re.ASCII)
        if found is None:
            raise errors.InvalidParameter(
                f'{at}minKernel: want a version like "5.4", got "{kept["minKernel"]}"'
            )
        kernel = (int(found[1]), int(found[2]))
    return Condition(
        capabilities=frozenset(_texts(kept, "caps", at)),
        machines=frozenset(_texts(kept, "arches", at)),
        kernel=kernel,
    )


def _table(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise errors.InvalidParameter(f"{where}: want an object")
    return value


def _list(entry: Mapping[str, Any], key: str, at: str) -> list[Any]:
    value = entry.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise errors.InvalidParameter(f"{at}{key}: want a list")
    return value


def _text(entry: Mapping[str, Any], key: str, at: str) -> str:
    value = entry.get(key)
    if not isinstance(value, str) or not value:
        raise errors.InvalidParameter(f"{at}{key}: want a string")
    return value


def _texts(entry: Mapping[str, Any], key: str, at: str) -> tuple[str, ...]:
    values = _list(entry, key, at)
    if not all(isinstance(value, str) and value for value in values):
        raise errors.InvalidParameter(f"{at}{key}: want a list of strings")
    return tuple(values)


def _number(entry: Mapping[str, Any], key: str, at: str) -> int | None:
    value = entry.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
        raise errors.InvalidParameter(f"{at}{key}: want a whole number that is not negative")
    return value


def _one_of(entry: Mapping[str, Any], key: str, at: str, known: Collection[str]) -> str:
    value = _text(entry, key, at)
    if value not in known:
        raise errors.InvalidParameter(f'{at}{key}: "{value}" is none of {", ".join(sorted(known))}')
    return value
