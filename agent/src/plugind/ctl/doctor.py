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
from collections.abc import Callable, Iterator
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
    if os.geteuid() != 0:
        yield Finding(FAIL, "not running as root", "run this, and the agent, as root")
        return
    capabilities = int(_field(Path("/proc/self/status"), "CapEff") or "0", 16)
    if capabilities >> _CAP_SYS_ADMIN & 1:
        yield Finding(OK, "root, with CAP_SYS_ADMIN")
    else:
        yield Finding(FAIL, "root without CAP_SYS_ADMIN", "plugins cannot mount: use a real host")


def check_tools(options: argparse.Namespace) -> Iterator[Finding]:
    """runc or crun, and conmon."""
    del options
    runtimes = [name for name in ("runc", "crun") if shutil.which(name)]
    if "runc" in runtimes or runtimes:
        yield Finding(OK, f"{_version(runtimes[0])}")
    else:
        yield Finding(FAIL, "neither runc nor crun is installed", "apt install runc")
    if shutil.which("conmon"):
        yield Finding(OK, _version("conmon"))
    else:
        yield Finding(FAIL, "conmon is not installed", "apt install conmon")


def check_cgroups(options: argparse.Namespace) -> Iterator[Finding]:
    """A mounted cgroup hierarchy."""
    del options
    table = Path("/proc/self/mounts").read_bytes().split(b"\n")
    kinds = {line.split(b" ")[2].decode() for line in table if line}
    if "cgroup2" in kinds and "cgroup" in kinds:
        yield Finding(OK, "cgroups: v1 with a hybrid v2 (crun refuses this, runc works)")
    elif "cgroup2" in kinds:
        yield Finding(OK, "cgroups: v2")
    elif "cgroup" in kinds:
        yield Finding(OK, "cgroups: v1")
    else:
        yield Finding(
            FAIL, "no cgroup hierarchy is mounted", "mount -t cgroup2 none /sys/fs/cgroup"
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
    free = shutil.disk_usage(place).free
    level = OK if free >= _LOW_SPACE else WARN
    advice = "" if level == OK else "plugins take 10 to 500 MB each"
    yield Finding(level, f"{free / 2**30:.1f} GiB free for {place}", advice)


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


def _field(path: Path, name: str) -> str | None:
    for line in path.read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].strip()
    return None
