# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localdir: the smallest useful volume driver. Every volume is a directory below the propagated mount.

A directory's existence is the only record there is: create makes it, remove deletes it, and a restart
or an upgrade of the plugin finds everything where it was, because the engine keeps the propagated
mount outside the rootfs. Mounting is nothing but bookkeeping, so that a volume in use is not removed;
it is forgotten with the process, as the engine that made the mounts will make them again.

Start a driver of your own from this file: the protocol is in volumeplugin.py, and only the seven
methods below change.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from volumeplugin import NAME, DriverError, complain, run, serve

SOCKET = Path("/run/docker/plugins/localdir.sock")
ROOT = Path("/data")  # propagatedMount in config.json


def parse_mode(value: str) -> int:
    """Option "mode": permissions of the new directory, in octal."""
    if not re.fullmatch(r"[0-7]{3,4}", value):
        raise DriverError(f"option mode: {value!r} is not an octal number like 0750")
    return int(value, 8)


class LocalDir:
    """The driver."""

    scope = "local"

    def __init__(self, root: Path, mode: int = 0o755) -> None:
        self.root = root
        self.mode = mode
        self.holders: dict[str, set[str]] = {}  # volume name -> IDs of its mounts
        self.lock = threading.Lock()

    def create(self, name: str, options: Mapping[str, str]) -> None:
        unknown = set(options) - {"mode"}
        if unknown:
            raise DriverError(f"option {min(unknown)}: not known; known is: mode")
        mode = parse_mode(options["mode"]) if "mode" in options else self.mode
        if not NAME.fullmatch(name):
            raise DriverError(f"cannot create volume {name!r}: not a valid name")
        with self.lock:
            directory = self.root / name
            directory.mkdir(exist_ok=True)  # an engine that lost our answer asks again
            directory.chmod(mode)  # whatever the umask

    def get(self, name: str) -> dict[str, Any]:
        directory = self.find(name)
        made = datetime.fromtimestamp(directory.stat().st_mtime, UTC)
        return {
            "Name": name,
            "Mountpoint": str(directory),
            "CreatedAt": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "Status": {"mounts": len(self.holders.get(name, ()))},
        }

    def list(self) -> list[dict[str, Any]]:
        names = sorted(
            entry.name
            for entry in os.scandir(self.root)
            if entry.is_dir() and NAME.fullmatch(entry.name)
        )
        return [{"Name": name, "Mountpoint": str(self.root / name)} for name in names]

    def path(self, name: str) -> str:
        return str(self.find(name))

    def remove(self, name: str) -> None:
        with self.lock:
            directory = self.find(name)
            if self.holders.get(name):
                raise DriverError(
                    f"cannot remove volume {name}: mounted {len(self.holders[name])} times"
                )
            shutil.rmtree(directory)

    def mount(self, name: str, mount_id: str) -> str:
        with self.lock:
            directory = self.find(name)
            self.holders.setdefault(name, set()).add(mount_id)
            return str(directory)

    def unmount(self, name: str, mount_id: str) -> None:
        with self.lock:
            self.find(name)
            self.holders.get(name, set()).discard(
                mount_id
            )  # unknown after a restart, and no reason to fail

    def close(self) -> None:
        with self.lock:  # lets a call in progress finish
            pass

    def find(self, name: str) -> Path:
        directory = self.root / name
        if not NAME.fullmatch(name) or not directory.is_dir():
            raise DriverError(f"volume {name} not found")
        return directory


def main() -> int:
    parser = argparse.ArgumentParser(prog="localdir", description="Local directories as volumes.")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the volumes are")
    parser.add_argument("--socket", type=Path, default=SOCKET, help="where to listen")
    parser.add_argument("--mode", default="0755", help="permissions of new volumes")
    options = parser.parse_args(argument for argument in sys.argv[1:] if argument)
    try:
        options.root.mkdir(parents=True, exist_ok=True)
        serve(LocalDir(options.root, parse_mode(options.mode)), options.socket)
    except (DriverError, OSError) as error:
        complain(f"localdir: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
