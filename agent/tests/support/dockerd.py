#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A private dockerd, and a private registry, for tests. Needs root.

    python agent/tests/support/dockerd.py start DIR     prints the engine's URL
    python agent/tests/support/dockerd.py stop DIR

Everything it makes is below DIR, on an ordinary disk. It runs in a mount namespace of its own with
a tmpfs on /run/docker, because dockerd puts plugins' sockets there whatever it is told, and the
host's own /run/docker is none of our business. No bridge and no iptables: plugins do not need them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

SECONDS = 60.0


def is_usable() -> bool:
    """True if this machine can run it."""
    tools = ("dockerd", "containerd", "runc", "unshare", "mount")
    return os.geteuid() == 0 and all(shutil.which(tool) for tool in tools)


def start(
    directory: Path,
    *arguments: str,
    prefix: Sequence[str] = (),
    legacy: Mapping[str, Path] | None = None,
    is_apart: bool = False,
) -> str:
    """Start dockerd below `directory`; return its URL once it answers.

    `prefix` is a command that becomes it (nsenter); `is_apart` says that it leads into a mount
    namespace where all is laid already. `legacy` are sockets of plugins that it does not manage, by
    name; its /run/docker is then DIR/run, so that they can find what it puts there.
    """
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    url = f"unix://{directory}/docker.sock"
    private = "true" if is_apart else "mount -t tmpfs tmpfs /run/docker"
    unshare = () if is_apart else ("unshare", "--mount", "--propagation", "private")
    if legacy is not None:
        private = _write_legacy(directory, legacy)
    inner = (
        f"{private} && exec dockerd --bridge=none --iptables=false "
        f"--data-root '{directory}/data' --exec-root '{directory}/exec' "
        f"--pidfile '{directory}/dockerd.pid' -H '{url}' " + " ".join(arguments)
    )
    Path("/run/docker").mkdir(exist_ok=True)
    with open(directory / "dockerd.log", "ab") as log:
        process = subprocess.Popen(
            [*prefix, *unshare, "sh", "-c", inner],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (directory / "pid").write_text(f"{process.pid}\n", encoding="ascii")
    process.returncode = 0  # stop() ends it by its pid, perhaps from another process
    try:
        wait_for(lambda: _answers(directory / "docker.sock"), f"dockerd at {url}")
    except TimeoutError:
        stop(directory)
        raise TimeoutError(
            (directory / "dockerd.log").read_text(errors="replace")[-4000:]
        ) from None
    return url


def _write_legacy(directory: Path, legacy: Mapping[str, Path]) -> str:
    """Write a .spec file for each socket; return the commands that show them to dockerd alone."""
    for name in ("run", "etc/plugins"):
        (directory / name).mkdir(parents=True, exist_ok=True)
    for name, socket_path in legacy.items():
        (directory / "etc/plugins" / f"{name}.spec").write_text(f"unix://{socket_path}\n")
    Path("/etc/docker").mkdir(exist_ok=True)
    return (
        f"mount --bind '{directory}/run' /run/docker && mount --bind '{directory}/etc' /etc/docker"
    )


def stop(directory: Path) -> None:
    """End dockerd and its containerd, and wait until they are gone. Safe to call twice."""
    path = directory.absolute() / "pid"
    if not path.exists():
        return
    _end(int(path.read_text(encoding="ascii")))
    # A dockerd that crashed leaves its containerd behind, and that one the next dockerd hanging.
    containerd = directory.absolute() / "exec/containerd/containerd.pid"
    if containerd.exists():
        pid = int(containerd.read_text(encoding="ascii"))
        # Process ids are used again, and this one may be somebody else's by now.
        if str(directory.absolute()) in _command_line(pid):
            _end(pid)
    path.unlink()


def _end(pid: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        with contextlib.suppress(TimeoutError):
            wait_for(lambda: not _is_alive(pid), f"the end of process {pid}")
            break


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextlib.contextmanager
def running(
    directory: Path,
    *arguments: str,
    prefix: Sequence[str] = (),
    legacy: Mapping[str, Path] | None = None,
    is_apart: bool = False,
) -> Iterator[str]:
    """Run dockerd for the length of a `with`."""
    try:
        yield start(directory, *arguments, prefix=prefix, legacy=legacy, is_apart=is_apart)
    finally:
        stop(directory)


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll until `condition` holds."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} after {SECONDS:.0f} s")
        time.sleep(0.05)


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(5)
        try:
            client.connect(str(path))
            client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b"200 OK" in client.recv(100)
        except OSError:
            return False


def _is_alive(pid: int) -> bool:
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> int:
    """Start or stop from the command line."""
    parser = argparse.ArgumentParser(description="A private dockerd for tests.")
    parser.add_argument("verb", choices=("start", "stop"))
    parser.add_argument("directory", type=Path)
    options, arguments = parser.parse_known_args()
    if options.verb == "stop":
        stop(options.directory)
    else:
        print(start(options.directory, *arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
