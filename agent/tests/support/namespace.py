# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A mount namespace that an agent and its consumers share, as they do on a host, and that is not this machine's.

    with namespace.private({"/etc/docker": directory / "etc"}) as prefix:
        subprocess.run([*prefix, "dockerd", ...])

What is mounted in it ends with the last process in it.
"""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def private(places: Mapping[str, Path], *options: str) -> Iterator[tuple[str, ...]]:
    """Show each directory at its place in a namespace of its own; give a command's prefix.

    `options` are unshare's, for other namespaces (`--net`), which the prefix enters as well. A
    network namespace has a loopback.
    """
    for place, directory in places.items():
        directory.mkdir(parents=True, exist_ok=True)
        Path(place).mkdir(parents=True, exist_ok=True)
    binds = [f"mount --bind {shlex.quote(str(d))} {shlex.quote(p)}" for p, d in places.items()]
    loopback = ["ip link set lo up"] if "--net" in options else []
    script = " && ".join([*binds, *loopback, "echo ready", "exec cat"])
    argv = ["unshare", "--mount", "--propagation", "private", *options, "sh", "-c", script]
    # It ends with its input, whatever becomes of us.
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "ready\n"
        yield ("nsenter", "-t", str(keeper.pid), "-m", *options)
