# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A host's control groups: one in every hierarchy, below one for the fleet.

Hierarchies of version 1, with or without an empty one of version 2 beside them ("hybrid"). A machine
with version 2 alone has its controllers in one hierarchy, whose inner groups hold no processes: see `find`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

HERE = Path("/sys/fs/cgroup")


class Unsupported(Exception):
    """This machine's control groups are not what a fleet needs."""


def find(here: Path = HERE) -> list[Path]:
    """The machine's hierarchies; Unsupported if they are of version 2 alone."""
    if (here / "cgroup.controllers").exists():
        raise Unsupported("needs control groups of version 1 (a machine with version 2 alone)")
    return sorted(path for path in here.iterdir() if (path / "cgroup.procs").exists())


def options(hierarchy: str) -> tuple[str, str]:
    """File system type and options to mount a hierarchy by its directory's name."""
    if hierarchy == "unified":
        return "cgroup2", ""
    if hierarchy == "systemd":
        return "cgroup", "none,name=systemd"
    return "cgroup", hierarchy


def make(hierarchies: list[Path], name: str) -> list[Path]:
    """Make the group `name` ("fleet/host") in every hierarchy; return their directories."""
    made = []
    for hierarchy in hierarchies:
        group = hierarchy
        for part in Path(name).parts:
            group /= part
            group.mkdir(exist_ok=True)
            _prepare(group)
        made.append(group)
    return made


def _prepare(group: Path) -> None:
    # A new group of cpuset has no processors and no memory, so that nobody may join it.
    for name in ("cpuset.cpus", "cpuset.mems"):
        if (group / name).exists():
            (group / name).write_text((group.parent / name).read_text())
    if (group / "cgroup.clone_children").exists():
        (group / "cgroup.clone_children").write_text("1")


def is_member(membership: str, group: str) -> bool:
    """True if a process with this /proc/PID/cgroup is in the group, or in one below it."""
    paths = (line.split(":", 2)[2] for line in membership.splitlines())
    # Anywhere in the path: the root of the hierarchies may be a group of what this runs in.
    return any(f"/{group}/" in f"{path}/" for path in paths)


def remove(hierarchies: list[Path], name: str) -> None:
    """Remove the group and what is below it; its processes have ended."""
    for hierarchy in hierarchies:
        for group in _deepest_first(hierarchy / name):
            group.rmdir()


def _deepest_first(group: Path) -> Iterator[Path]:
    if group.is_dir():
        for path, _, _ in os.walk(group, topdown=False):
            yield Path(path)


def join_script(groups: list[Path]) -> str:
    """Shell commands with which a shell joins the groups."""
    return "".join(f"echo 0 > '{group}/cgroup.procs'\n" for group in groups)
