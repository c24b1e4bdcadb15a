# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localdir that says everything it knows, in its output, its errors and its volumes' status.

Volumes called `bad...` cannot be mounted, mounting one called `crash...` ends the process, ones called
`refused...` cannot be created, and FAIL=1 ends it before it listens. What it knows it keeps in memory only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driver import ROOT, LocalDir
from volumeplugin import DriverError, complain, log, run, serve

SOCKET = Path("/run/docker/plugins/talker.sock")
CRASHED = 13


def say_settings() -> str:
    names = ("API_TOKEN", "LABELLED", "NAMED")
    return f"settings { ({name: os.environ.get(name) for name in names}) } {sys.argv[1:]}"


class Talker(LocalDir):
    """localdir without discretion."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.options: dict[str, dict[str, str]] = {}

    def say(self, name: str) -> str:
        return f"options {self.options.get(name)} {say_settings()}"

    def create(self, name: str, options: Mapping[str, str]) -> None:
        self.options[name] = dict(options)
        log(f"create {name}: {self.say(name)}")
        if name.startswith("refused"):
            raise DriverError(f"refused: {self.say(name)}")
        super().create(name, {})

    def get(self, name: str) -> dict[str, Any]:
        status = {"options": self.options.get(name), "all": self.say(name)}
        return {**super().get(name), "Status": status}

    def mount(self, name: str, mount_id: str) -> str:
        if name.startswith("bad"):
            raise DriverError(f"cannot mount: {self.say(name)}")
        if name.startswith("crash"):
            complain(f"crashing: {self.say(name)}")
            os._exit(CRASHED)
        return super().mount(name, mount_id)


def main() -> int:
    """Say it, then serve."""
    log(say_settings())
    if os.environ.get("FAIL"):
        complain(f"ending: {say_settings()}")
        return 3
    serve(Talker(ROOT), SOCKET)
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
