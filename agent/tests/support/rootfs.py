# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A rootfs for tests with real containers, made of the host's own /usr: nothing is downloaded.

The tree holds directories, the links of a merged /usr, and `fakes/plugin.py`; /usr is a read-only
bind of the plugin's settings. `REASON` says why real containers cannot be had here, if so.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from fakes import plugin as plugin_

PYTHON = "/usr/bin/python3"
ENTRYPOINT = (PYTHON, "-B", "/plugin.py")
_DIRECTORIES = ("data", "dev", "etc", "proc", "run", "sys", "tmp", "usr")
_MERGED = ("bin", "sbin", "lib", "lib64")


def _missing() -> str:
    if os.geteuid() != 0:
        return "needs root"
    tools = [name for name in ("runc", "conmon") if shutil.which(name) is None]
    tools += [path for path in (PYTHON,) if not os.path.exists(path)]
    return f"needs {', '.join(tools)}" if tools else ""


REASON = _missing()


def make_rootfs(target: Path) -> Path:
    """Create the rootfs of the test plugin at `target`."""
    for name in _DIRECTORIES:
        (target / name).mkdir(parents=True)
    for name in _MERGED:
        if Path("/", name).is_symlink():
            (target / name).symlink_to(os.readlink(Path("/", name)))
    shutil.copy(plugin_.__file__, target / "plugin.py")
    return target
