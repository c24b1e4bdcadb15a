# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Debian's docker-registry on the controller's address, inside of the fleet. It can be stopped and started."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

from fleet import keeper, processes
from fleet.processes import Process

PORT = 5000
HOST = f"{keeper.CONTROLLER}:{PORT}"
# tee goes on writing the log when nobody listens to it any more.
_SCRIPT = """
{
    read -r pid rest <"$1/proc/self/stat"
    echo "$pid"
    exec docker-registry serve "$1/registry/config.yml" 2>&1
} | tee -p "$1/registry/log"
"""


class Registry:
    """A registry without credentials, over plain HTTP."""

    host = HOST

    def __init__(self, directory: Path, keeper_: Process) -> None:
        self._directory = directory
        self._place = directory / "registry"
        self._keeper = keeper_

    def start(self) -> None:
        """Start it, unless it runs, with what it had before; return when it listens."""
        if processes.load(self._place / "process") is not None:
            return
        self._place.mkdir(exist_ok=True)
        (self._place / "config.yml").write_text(json.dumps(_config(self._place / "storage")))
        outer = subprocess.Popen(
            keeper.enter(self._keeper, "sh", "-c", _SCRIPT, "registry", str(self._directory)),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            start_new_session=True,
        )  # fmt: skip
        outer.returncode = 0  # `stop` ends the registry by its own id, and the rest follows
        assert outer.stdout is not None
        with outer.stdout as lines:
            pid = int(next(lines))
            if not any("listening on" in line for line in lines):
                said = (self._place / "log").read_text()
                raise OSError(f"cannot start docker-registry: {said[-2000:]}")
            processes.save(processes.find(pid), self._place / "process")

    def stop(self) -> None:
        """Stop it; connections are refused from now on."""
        process = processes.load(self._place / "process")
        if process is not None:
            process.end(signal.SIGTERM)


def _config(storage: Path) -> dict[str, object]:
    return {
        "version": 0.1,
        "log": {"level": "info", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(storage)}, "delete": {"enabled": True}},
        "http": {"addr": HOST},
    }
