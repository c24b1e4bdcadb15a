# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Read from the host what a plugin's runtime spec depends on."""

from __future__ import annotations

import os
import re
from pathlib import Path

from plugind.host import cgroups, devices
from plugind.model import facts, settings

_ROOT = Path("/")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> str:
    """Return the random id that the kernel gave this boot."""
    return _BOOT_ID.read_text(encoding="ascii").strip()


def kernel() -> facts.Kernel:
    """Return what this host's kernel is."""
    host = os.uname()
    found = re.match(r"(\d+)\.(\d+)", host.release)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return facts.Kernel(machine=host.machine, version=version)


def gather_facts(chosen: settings.Settings, *, root: Path = _ROOT) -> facts.HostFacts:
    """Look up the devices that the settings name, and what else a spec needs. Blocking.

    `root` is where sys/ and etc/ are looked for; devices are always the host's.
    """
    cpus = root / "sys/devices/system/cpu"
    throttles = sorted(cpus.glob("cpu[0-9]*/thermal_throttle"))
    paths = {device.path for device in chosen.devices if device.path is not None}
    return facts.HostFacts(
        devices={path: devices.device_nodes(path) for path in sorted(paths)},
        thermal_throttle=tuple("/" + str(path.relative_to(root)) for path in throttles),
        network_files=tuple(
            name for name in facts.NETWORK_FILES if (root / name.lstrip("/")).exists()
        ),
        cgroup_v2=(root / "sys/fs/cgroup/cgroup.controllers").exists(),
        swap_accounted=cgroups.swap_is_accounted(root / "sys/fs/cgroup"),
        kernel=kernel(),
    )
