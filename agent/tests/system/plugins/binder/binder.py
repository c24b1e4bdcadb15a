# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localdir that really mounts: a volume is a directory in /data/store, bind-mounted at /data/mnt/NAME while used.

Who uses it is known by the IDs of its mounts and forgotten with the process, so a restart shows whether an engine
takes the mounts of a dead process away, and makes them again. A mount that is there already is an error here:
nothing else would show that one was left behind.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

from driver import ROOT, LocalDir
from volumeplugin import DriverError, complain, run, serve

SOCKET = Path("/run/docker/plugins/binder.sock")
MS_BIND = 0x1000
LIBC = ctypes.CDLL(None, use_errno=True)


class Binder(LocalDir):
    """The driver."""

    def __init__(self, root: Path) -> None:
        super().__init__(root / "store")
        self.mounts = root / "mnt"
        for directory in (self.root, self.mounts):
            directory.mkdir(parents=True, exist_ok=True)

    def mount(self, name: str, mount_id: str) -> str:
        source, target = self.find(name), self.mounts / name
        with self.lock:
            holders = self.holders.setdefault(name, set())
            if not holders:
                if is_mounted(target):
                    raise DriverError(f"cannot mount volume {name}: a mount was left behind")
                target.mkdir(exist_ok=True)
                check(LIBC.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None))
            holders.add(mount_id)
        return str(target)

    def unmount(self, name: str, mount_id: str) -> None:
        target = self.mounts / name
        with self.lock:
            holders = self.holders.get(name, set())
            holders.discard(mount_id)
            if holders:
                return
            if is_mounted(target):
                check(LIBC.umount2(os.fsencode(target), 0))
            if target.is_dir():
                # Not empty if somebody wrote while the mount of a dead process was away.
                shutil.rmtree(target)


def is_mounted(path: Path) -> bool:
    """True if something is mounted at `path`; a bind mount has its parent's device number."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        return any(line.split(" ", 5)[4] == str(path) for line in table)


def check(status: int) -> None:
    """Raise what errno says."""
    if status:
        number = ctypes.get_errno()
        raise DriverError(os.strerror(number))


def main() -> int:
    try:
        serve(Binder(ROOT), SOCKET)
    except (DriverError, OSError) as error:
        complain(f"binder: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
