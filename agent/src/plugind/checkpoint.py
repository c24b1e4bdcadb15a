# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Named crash points: how tests kill the agent between two writes and look at what remains.

    checkpoint("remove:before-commit")
      |-- hook set              hook("remove:before-commit"), which may raise
      |-- PLUGIND_CRASH_AT set  its name, or `name:N` for the N-th time: SIGKILL, as in a power cut
      `-- otherwise             nothing

NAMES lists every point; a test compares it with the calls in the source.
"""

from __future__ import annotations

import collections
import os
import signal
from collections.abc import Callable

VARIABLE = "PLUGIND_CRASH_AT"

NAMES = (
    "create:before-commit",
    "create:after-commit",
    "pull:before-commit",
    "pull:after-commit",
    "install:before-commit",
    "install:after-commit",
    "upgrade:before-commit",
    "upgrade:after-commit",
    "swap:rootfs-aside",
    "swap:rootfs-placed",
    "swap:record-placed",
    "rollback:before-commit",
    "rollback:after-commit",
    "save:before-commit",
    "save:after-commit",
    "remove:before-commit",
    "remove:after-commit",
    "pull:after-layer",
    "enable:after-start",
    "enable:before-commit",
    "enable:after-commit",
    "replace:after-stop",
    "replace:after-commit",
    "replace:after-start",
    "replace:after-mounts",
    "replace:after-revert",
    "disable:before-stop",
    "disable:before-commit",
    "disable:after-commit",
    "volume-create:after-driver",
    "volume-create:before-commit",
    "volume-create:before-sync",
    "volume-create:after-commit",
    "mount:after-reference",
    "mount:after-driver",
    "unmount:after-driver",
    "volume-seal:after-options",
    "host-mount:before-commit",
    "host-mount:after-commit",
    "host-mount:after-volume",
    "host-mount:before-bind",
    "host-mount:after-bind",
    "host-mount:after-detach",
    "host-unmount:after-bind",
    "host-unmount:after-volume",
    "host-unmount:before-commit",
    "host-unmount:after-commit",
    "volume-remove:before-commit",
    "volume-remove:after-commit",
    "front-create:after-driver",
    "front-remove:after-driver",
    "front-mount:after-reference",
    "front-mount:after-driver",
    "front-unmount:after-driver",
    "container-create:before-commit",
    "container-create:after-commit",
    "container-remove:before-commit",
    "container-remove:after-commit",
    "container-start:after-volumes",
    "container-start:after-create",
    "container-start:before-commit",
    "container-exit:before-commit",
    "container-exit:after-commit",
    "image-pull:after-layer",
    "image-load:after-layer",
    "image:before-commit",
    "image:after-commit",
    "image-save:before-commit",
    "image-save:after-commit",
    "image-remove:before-commit",
    "image-remove:after-commit",
    "probe:after-create",
    "probe:after-mount",
    "undo-begin:before-commit",
    "undo-begin:after-commit",
    "undo-done:before-commit",
    "undo-done:after-commit",
    "undo-drop:before-commit",
    "undo-drop:after-commit",
)

hook: Callable[[str], None] | None = None
_hits: collections.Counter[str] = collections.Counter()


def checkpoint(name: str) -> None:
    """Die here if the environment names this point; call `hook` if a test has set it."""
    if hook is not None:
        hook(name)
    wanted = os.environ.get(VARIABLE)
    if wanted is None:
        return
    _hits[name] += 1
    if wanted in (name, f"{name}:{_hits[name]}"):
        os.kill(os.getpid(), signal.SIGKILL)
