# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Podman beside an agent: a host of their own, where each finds the other's files where they always are.

with podman.host(directory) as host:
    with daemon.run(directory / "agent", podman.OPTIONS, prefix=host.prefix) as agent:
        host.podman("volume", "create", "--driver", "sshfs", "data")
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support import daemon, image, namespace

OPTIONS = {"publish-podman": "true"}
#: Containers that run where systemd does not, and where limits may not be raised.
_CONF = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


@dataclass(frozen=True)
class Host:
    """`prefix` makes a command run there; `etc` is its /etc/containers."""

    prefix: tuple[str, ...]
    etc: Path

    def run(self, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program there."""
        return subprocess.run([*self.prefix, *argv], input=stdin, capture_output=True, check=False)

    def podman(self, *arguments: str, status: int = 0, stdin: bytes = b"") -> str:
        """Run podman; return what it printed, both streams."""
        done = self.run("podman", *arguments, stdin=stdin)
        said = (done.stdout + done.stderr).decode()
        assert done.returncode == status, f"podman {arguments}: {done.returncode}: {said}"
        return said.strip()

    @property
    def drop_in(self) -> Path:
        """The file by which the agent tells Podman of plugins."""
        return self.etc / "containers.conf.d" / "50-plugind.conf"


@contextlib.contextmanager
def host(directory: Path) -> Iterator[Host]:
    """Lay a host below `directory`, which is on an ordinary disk, with the image `busybox`."""
    daemon.require("podman", "runc", "conmon", "unshare", "nsenter")
    etc = directory / "etc"
    etc.mkdir(parents=True)
    (etc / "containers.conf").write_text(_CONF)
    (etc / "policy.json").write_text(_POLICY)
    places = {
        "/etc/containers": etc,
        "/var/lib/containers": directory / "storage",
        "/run/containers": directory / "containers",
        "/run/libpod": directory / "libpod",
        "/dev/shm": directory / "locks",  # libpod's locks
    }
    with namespace.private(places) as prefix:
        made = Host(prefix, etc)
        try:
            made.podman("load", stdin=image.archive("busybox:latest", *image.busybox()))
            yield made
        finally:
            made.run("podman", "rm", "--all", "--force", "--time", "0")
            shutil.rmtree(etc)
