# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Debian's docker-registry on a free loopback port, storing in a temporary directory.

    with docker_registry.run(tmp_path, credentials=True) as registry:
        reference.parse(f"{registry.host}/vieux/sshfs")

It is ended by its own process id, and its log is in `directory/registry.log`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

PROGRAM = "docker-registry"
USERNAME = "tester"
PASSWORD = "a secret for tests"
# bcrypt is the only hash that docker-registry reads, and nothing here can compute one.
_HTPASSWD = "$2b$04$EOs6drEJs9ftlUCsPrRBDOKgq8agKRzl4FLujPS6wxbXefzMNNlBq"
_LISTENING = re.compile(r"listening on (127\.0\.0\.1:[0-9]+)")


@dataclasses.dataclass(frozen=True)
class DockerRegistry:
    """A running registry."""

    host: str
    directory: Path


def require() -> None:
    """Skip the test if there is no docker-registry."""
    if shutil.which(PROGRAM) is None:
        pytest.skip(f"{PROGRAM} is not installed")


@contextlib.contextmanager
def run(
    directory: Path, *, credentials: bool = False, prefix: Sequence[str] = ()
) -> Iterator[DockerRegistry]:
    """Run a registry until the block ends; `prefix` is a command that becomes it (nsenter)."""
    require()
    config = _write_config(directory, credentials=credentials)
    with subprocess.Popen(
        [*prefix, PROGRAM, "serve", str(config)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        found: queue.Queue[str | None] = queue.Queue()
        log = directory / "registry.log"
        # Somebody has to read for as long as it runs: a full pipe stops it.
        reader = threading.Thread(target=_pump, args=(process.stderr, log, found))
        reader.start()
        try:
            host = found.get(timeout=30)
            if host is None:
                raise RuntimeError(f"{PROGRAM} did not start: {log.read_text()}")
            yield DockerRegistry(host, directory)
        finally:
            process.terminate()
            reader.join()


def _pump(output: IO[str], log: Path, found: queue.Queue[str | None]) -> None:
    """Copy the registry's output to `log`; the address that it names goes to `found`."""
    with log.open("w") as file:
        for line in output:
            file.write(line)
            if match := _LISTENING.search(line):
                found.put(match.group(1))
    found.put(None)


def _write_config(directory: Path, *, credentials: bool) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(directory / "storage")},
            "delete": {"enabled": True},
        },
        # Port 0: the kernel picks one that is free, and the log says which.
        "http": {"addr": "127.0.0.1:0"},
    }
    if credentials:
        htpasswd = directory / "htpasswd"
        htpasswd.write_text(f"{USERNAME}:{_HTPASSWD}\n")
        config["auth"] = {"htpasswd": {"realm": "docker-registry", "path": str(htpasswd)}}
    path = directory / "config.yml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path
