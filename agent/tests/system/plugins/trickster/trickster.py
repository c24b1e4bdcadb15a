# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""localdir that lies: what Mount answers is, or becomes, a symbolic link to TARGET.

The volume's name says when:

    before...   a link already when Mount answers
    flip...     directory and link change places all the time, from Mount on
    else        the link never takes the directory's place
"""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driver import ROOT, LocalDir
from volumeplugin import DriverError, complain, run, serve

SOCKET = Path("/run/docker/plugins/trickster.sock")
RENAME_EXCHANGE, AT_FDCWD = 2, -100
LIBC = ctypes.CDLL(None, use_errno=True)


class Trickster(LocalDir):
    """The driver."""

    def create(self, name: str, options: Mapping[str, str]) -> None:
        super().create(name, options)
        link = self.link(name)
        if not link.is_symlink():
            link.symlink_to(os.environ["TARGET"])

    def mount(self, name: str, mount_id: str) -> str:
        first = not self.holders.get(name)
        path = super().mount(name, mount_id)
        if name.startswith("before"):
            if not Path(path).is_symlink():
                self.exchange(name)
        elif name.startswith("flip") and first:
            threading.Thread(target=self.flip, args=(name,), daemon=True).start()
        return path

    def flip(self, name: str) -> None:
        while self.holders.get(name):
            self.exchange(name)

    def exchange(self, name: str) -> None:
        """Let directory and link change places, so that there is always one of them."""
        old, new = os.fsencode(self.link(name)), os.fsencode(self.root / name)
        if LIBC.renameat2(AT_FDCWD, old, AT_FDCWD, new, RENAME_EXCHANGE) != 0:
            raise DriverError(os.strerror(ctypes.get_errno()))

    def remove(self, name: str) -> None:
        for path in (self.root / name, self.link(name)):
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path)

    def link(self, name: str) -> Path:
        return self.root / f".{name}"

    def get(self, name: str) -> dict[str, Any]:
        return {"Name": name, "Mountpoint": str(self.find(name))}

    def find(self, name: str) -> Path:
        directory = self.root / name
        if not os.path.lexists(directory):
            raise DriverError(f"volume {name} not found")
        return directory


def main() -> int:
    try:
        serve(Trickster(ROOT), SOCKET)
    except (DriverError, OSError) as error:
        complain(f"trickster: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(run(main))
