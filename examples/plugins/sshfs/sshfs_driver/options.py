# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a user may say with ``docker volume create -o``, and the sshfs command line that follows from it.

Three options are ours: ``sshcmd`` (user@host:/path, required), ``password`` and ``port``. Everything else
is handed to sshfs as it is, so its manual page, not this file, says what there is. Only options that
would run a command in the plugin, or take our hand off the process, are refused.

Nothing here touches the world; the password never becomes part of a command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from volumeplugin import DriverError

# Without a leading dash, which ssh would take for an option.
SSHCMD = re.compile(
    r"(?:[^\s:/-][^\s:/]*@)?"
    r"(?:\[[0-9A-Fa-f:.]+(?:%\w+)?\]|[A-Za-z0-9][A-Za-z0-9._-]*)"
    r":[^\x00-\x1f]*"
)
OPTION = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

OWN = ("sshcmd", "password", "port")
RUNS_A_COMMAND = {"ssh_command", "proxycommand", "localcommand", "knownhostscommand"}
OURS_ALONE = {"password_stdin", "passive", "slave", "fsname", "subtype"}

# A server's key is remembered at the first mount, and a changed one refuses the password. The keepalives
# turn a vanished server into an error after 45 s, instead of processes that hang for ever.
DEFAULTS = {
    "StrictHostKeyChecking": "no",
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "3",
}


@dataclass(frozen=True)
class Target:
    """What a volume mounts."""

    source: str
    password: str = field(default="", repr=False)
    port: int | None = None
    options: tuple[tuple[str, str], ...] = ()


def parse_target(options: Mapping[str, str]) -> Target:
    """Check a volume's options. An error names the option."""
    source = options.get("sshcmd", "")
    if not source:
        raise DriverError("option sshcmd: required, for example -o sshcmd=user@host:/path")
    if not SSHCMD.fullmatch(source):
        raise DriverError(f"option sshcmd: {source!r} is not of the form [user@]host:[/path]")
    password = options.get("password", "")
    if CONTROL.search(password):
        raise DriverError("option password: must not contain line breaks or control characters")
    others = {key: value for key, value in options.items() if key not in OWN}
    for name, value in others.items():
        check_option(name, value)
    port = parse_port(options["port"]) if "port" in options else None
    return Target(source, password, port, tuple(sorted(others.items())))


def parse_port(value: str) -> int:
    """Option port."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
        raise DriverError(f"option port: {value!r} is not a port number")
    return int(value)


def check_option(name: str, value: str) -> None:
    """An option for sshfs: a name, and perhaps a value."""
    if not OPTION.fullmatch(name):
        raise DriverError(f"option {name!r}: not the name of an sshfs option")
    if name.lower() in RUNS_A_COMMAND:
        raise DriverError(f"option {name}: refused, it would run a command inside the plugin")
    if name.lower() in OURS_ALONE:
        raise DriverError(f"option {name}: refused, the driver sets it")
    if CONTROL.search(value):
        raise DriverError(f"option {name}: must not contain line breaks or control characters")


def escape(value: str) -> str:
    """Commas separate options within one -o, and the backslash protects them."""
    return value.replace("\\", "\\\\").replace(",", "\\,")


def sshfs_argv(target: Target, where: str, known_hosts: str, connect_timeout: int) -> list[str]:
    """The command that mounts a target. Without -f it ends when the mount is there, or has failed."""
    given = {option[0].lower() for option in target.options}
    ours = {
        **DEFAULTS,
        "UserKnownHostsFile": known_hosts,
        "ConnectTimeout": str(connect_timeout),
        "fsname": target.source,
    }
    if not target.password:
        ours["BatchMode"] = "yes"  # nobody is there to be asked
    chosen = [(name, value) for name, value in ours.items() if name.lower() not in given]
    argv = ["sshfs", target.source, where]
    if target.port is not None:
        argv += ["-p", str(target.port)]
    for name, value in [*chosen, *target.options]:
        argv += ["-o", f"{name}={escape(value)}" if value else name]
    if "sshfs_verbose" not in given:
        argv += ["-o", "sshfs_verbose"]  # else what ssh says goes nowhere
    if target.password:
        argv += ["-o", "password_stdin"]
    return argv
