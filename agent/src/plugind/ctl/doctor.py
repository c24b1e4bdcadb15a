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
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from plugind.ctl import http, screen
from plugind.host import proc

OK, WARN, FAIL = "ok", "warn", "FAIL"
_CAP_SYS_ADMIN = 21
_LOW_SPACE = 1 << 30


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
    done = proc.run_blocking([program, "--version"], timeout=10, check=False)
    return (done.stdout or done.stderr).decode(errors="replace").partition("\n")[0] or program


def _field(status: str, name: str) -> str | None:
    for line in status.splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return None
