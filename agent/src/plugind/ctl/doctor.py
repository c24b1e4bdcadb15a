# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind doctor`: what this host lacks for running plugins, and what to do about it.

Each check is a function that returns findings; nothing is changed. Exit 0 if plugins can run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugind.ctl import http, screen
from plugind.host import cgroups, proc
from plugind.model.confinement import format_size
from plugind.model.seccomp import UNCONFINED

OK, WARN, FAIL = "ok", "warn", "FAIL"
_CAP_SYS_ADMIN = 21
_LOW_SPACE = 1 << 30
#: Which cgroup controller each limit of the agent's Confinement needs.
_CONTROLLERS = {"Memory": "memory", "CPUs": "cpu", "Pids": "pids"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `advice` says what to do."""

    level: str
    text: str
    advice: str = ""


def run(options: argparse.Namespace) -> int:
    """Print the report; return 1 if something is missing that plugins need."""
    found = [finding for check in CHECKS for finding in check(options)]
    if options.json:
        print(json.dumps([{"level": f.level, "text": f.text, "advice": f.advice} for f in found]))
    else:
        for finding in found:
            level = screen.paint_state(f"{finding.level:<5}", sys.stdout)
            print(f"{level} {finding.text}")
            if finding.advice:
                print(f"      -> {finding.advice}")
    return 1 if any(finding.level == FAIL for finding in found) else 0


def check_privileges(options: argparse.Namespace) -> Iterator[Finding]:
    """Root and CAP_SYS_ADMIN."""
    del options
    effective = _field(Path("/proc/self/status").read_text(), "CapEff")
    yield judge_privileges(os.geteuid(), int(effective or "0", 16))


def judge_privileges(uid: int, capabilities: int) -> Finding:
    """Judge an effective user id and a set of capabilities, a bit each."""
    if uid != 0:
        return Finding(FAIL, "not running as root", "run this, and the agent, as root")
    if capabilities >> _CAP_SYS_ADMIN & 1:
        return Finding(OK, "root, with CAP_SYS_ADMIN")
    return Finding(FAIL, "root without CAP_SYS_ADMIN", "plugins cannot mount: use a real host")


def check_tools(options: argparse.Namespace) -> Iterator[Finding]:
    """runc or crun, and conmon."""
    del options
    # Where the agent looks, whatever the operator's own PATH has.
    yield from look_for_tools(proc.ENVIRONMENT["PATH"])


def look_for_tools(path: str) -> Iterator[Finding]:
    """Look for what plugins are run with, in the directories of `path`."""
    runtime = shutil.which("runc", path=path) or shutil.which("crun", path=path)
    if runtime:
        yield Finding(OK, _version(runtime))
    else:
        yield Finding(FAIL, "neither runc nor crun is installed", "apt install runc")
    conmon = shutil.which("conmon", path=path)
    if conmon:
        yield Finding(OK, _version(conmon))
    else:
        yield Finding(FAIL, "conmon is not installed", "apt install conmon")


def check_cgroups(options: argparse.Namespace) -> Iterator[Finding]:
    """A mounted cgroup hierarchy."""
    del options
    table = Path("/proc/self/mounts").read_bytes().split(b"\n")
    yield judge_cgroups({line.split(b" ")[2].decode() for line in table if line})


def judge_cgroups(kinds: Set[str]) -> Finding:
    """Judge what kinds of file systems are mounted."""
    if kinds >= {"cgroup", "cgroup2"}:
        return Finding(OK, "cgroups: v1 with a hybrid v2 (crun refuses this, runc works)")
    if "cgroup2" in kinds:
        return Finding(OK, "cgroups: v2")
    if "cgroup" in kinds:
        return Finding(OK, "cgroups: v1")
    return Finding(FAIL, "no cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup")


def check_confinement(
    version: Mapping[str, Any], plugins: Sequence[Mapping[str, Any]]
) -> Iterator[Finding]:
    """What the agent confines plugins by, and whether this host can."""
    general = version.get("Confinement")
    if general is None:
        return  # an agent that is older than this program
    yield Finding(OK, f"plugins are confined by {describe_confinement(general)}")
    every = [general]
    for plugin in plugins:
        own = plugin["Status"]["Confinement"]
        if own != general:
            every.append(own)
            yield Finding(OK, f"plugin {plugin['Name']} by {describe_confinement(own)}")
    names = {plugin["Name"] for plugin in plugins}
    known = names | {name.rpartition(":")[0] for name in names}
    for name in sorted(set(version["ConfinedPlugins"]) - known):
        yield Finding(
            WARN, f"[confinement.plugins] names {name}, and no plugin is called so", "plugind ls"
        )
    yield from judge_limits(every, _controllers(), swap=cgroups.swap_is_accounted())
    if any(one["Seccomp"] != UNCONFINED for one in every):
        runtime = next((p["Status"]["Runtime"][0] for p in plugins), "runc")
        program = shutil.which(runtime, path=proc.ENVIRONMENT["PATH"])
        if program:
            yield from judge_seccomp(
                program, _output(program, "features"), _output(program, "--version")
            )


def describe_confinement(one: Mapping[str, Any]) -> str:
    """Return an agent's Confinement in words."""
    said = [f"seccomp {one['Seccomp']}"]
    if one["Memory"]:
        said.append(f"memory {format_size(one['Memory'])}")
    if one["CPUs"]:
        said.append(f"{one['CPUs']:g} processors")
    if one["Pids"]:
        said.append(f"{one['Pids']} processes")
    return ", ".join(said if len(said) > 1 else [*said, "no limits"])


def judge_limits(
    every: Iterable[Mapping[str, Any]], controllers: Set[str], *, swap: bool
) -> Iterator[Finding]:
    """Judge which limits the cgroups of this host can keep; `swap`: it can be limited, too."""
    wanted = {name for one in every for key, name in _CONTROLLERS.items() if one[key]}
    for name in sorted(wanted - controllers):
        yield Finding(
            FAIL,
            f"a limit is set that needs the cgroup controller {name}, which this host has not",
            f"enable it (kernel command line: cgroup_enable={name}), or remove the limit",
        )
    if "memory" in wanted & controllers and not swap:
        yield Finding(
            WARN,
            "a memory limit is set, and this host cannot limit swap",
            "swapaccount=1 on the kernel's command line, or no swap",
        )


def judge_seccomp(program: str, features: str, version: str) -> Iterator[Finding]:
    """Judge what a runtime says of itself; older ones do not have the command `features`."""
    try:
        enabled = bool(json.loads(features)["linux"]["seccomp"]["enabled"])
    except (ValueError, LookupError, TypeError):
        if "seccomp" not in version.lower():
            return
        enabled = True
    if enabled:
        yield Finding(OK, f"{program} supports seccomp")
        return
    yield Finding(
        FAIL,
        f"{program} does not support seccomp",
        'install another build of it, or set seccomp = "unconfined" in [confinement]',
    )


def check_fuse(options: argparse.Namespace) -> Iterator[Finding]:
    """/dev/fuse, which sshfs, s3fs and their like need."""
    del options
    if Path("/dev/fuse").exists():
        yield Finding(OK, "/dev/fuse is there")
    else:
        yield Finding(WARN, "/dev/fuse is missing", "modprobe fuse, if a plugin needs FUSE")


def check_space(options: argparse.Namespace) -> Iterator[Finding]:
    """Free space where plugins are kept."""
    del options
    place = Path("/var/lib/plugind")
    place = place if place.exists() else Path("/var/lib")
    yield judge_space(place, shutil.disk_usage(place).free)


def judge_space(place: Path, free: int) -> Finding:
    """Judge so many free bytes."""
    text = f"{free / 2**30:.1f} GiB free for {place}"
    if free >= _LOW_SPACE:
        return Finding(OK, text)
    return Finding(WARN, text, "plugins take 10 to 500 MB each")


def check_neighbours(options: argparse.Namespace) -> Iterator[Finding]:
    """A dockerd on the same host shares /run/docker/plugins."""
    del options
    if Path("/var/run/docker.sock").exists():
        yield Finding(
            OK, "a Docker Engine is here as well; both use /run/docker/plugins, without collision"
        )


def check_agent(options: argparse.Namespace) -> Iterator[Finding]:
    """Does the agent answer, and what do its plugins say?"""
    url = http.agent_url(http.agent_socket(options.socket))
    try:
        connection = http.connect(url)
        version = http.request_json(connection, "GET", "/plugind/version")
        plugins = http.request_json(connection, "GET", "/plugind/plugins")
        connection.close()
    except (http.Unreachable, http.Refused) as exc:
        yield Finding(WARN, "the agent does not answer", str(exc))
        return
    yield Finding(OK, f"agent {version['Version']} answers on {url}")
    if version.get("Degraded"):
        yield Finding(FAIL, f"the agent is degraded: {version['Degraded']}")
    for plugin in plugins:
        state = plugin["Status"]
        if state["State"] in ("backoff", "failed"):
            yield Finding(
                WARN,
                f"plugin {plugin['Name']} is {state['State']}: {state['LastError'] or ''}".strip(),
                f"plugind logs {plugin['Name']}",
            )
    yield from check_confinement(version, plugins)


CHECKS: tuple[Callable[[argparse.Namespace], Iterator[Finding]], ...] = (
    check_privileges,
    check_tools,
    check_cgroups,
    check_fuse,
    check_space,
    check_neighbours,
    check_agent,
)


def _version(program: str) -> str:
    return _output(program, "--version").partition("\n")[0] or program


def _output(program: str, *words: str) -> str:
    done = proc.run_blocking([program, *words], timeout=10, check=False)
    return (done.stdout or done.stderr).decode(errors="replace")


def _controllers() -> frozenset[str]:
    """Return the cgroup controllers of this host: v1's are mounted, v2's are in a file."""
    table = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    mounted = {word for line in table if line[2] == "cgroup" for word in line[3].split(",")}
    unified = cgroups.ROOT / "cgroup.controllers"
    return frozenset(mounted.union(unified.read_text().split() if unified.exists() else ()))


def _field(status: str, name: str) -> str | None:
    for line in status.splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return None
