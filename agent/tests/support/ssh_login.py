# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A private sshd on loopback that lets this very user in, with a key of its own.

with ssh_login.run(directory) as login:
    login.port, login.key, login.options
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
#: No host key is remembered, none is asked about.
OPTIONS = ("-o", "UserKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=no")


@dataclass(frozen=True)
class Login:
    """How to get in."""

    port: int
    key: Path

    @property
    def arguments(self) -> list[str]:
        """Arguments for ssh; LogLevel spares the warning about the new host key."""
        return [*OPTIONS, "-o", "LogLevel=ERROR", "-p", str(self.port), "-i", str(self.key)]


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def run(place: Path, *settings: str) -> Iterator[Login]:
    """Run it for the length of the block; its files are in `place`, `settings` are more lines of its configuration."""
    if os.geteuid() != 0 or SSHD is None:
        pytest.skip("needs root and sshd")
    for key in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / key], check=True
        )
    shutil.copy(place / "user.pub", place / "authorized")
    port = _free_port()
    config = place / "config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {place}/authorized\nStrictModes no\nPermitRootLogin yes\n"
        + "".join(f"{setting}\n" for setting in settings)
    )
    # It stays: by the end, another sshd on this machine may have come to need it.
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen([SSHD, "-D", "-q", "-f", str(config)])
    try:
        deadline = time.monotonic() + 20
        while not _answers(port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Login(port, place / "user")
    finally:
        process.terminate()
        process.wait(20)
