# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Control groups, v1 and v2: what the kernel tells of memory that has run out.

A group is named as in a runtime spec (`/plugind/ID`). Its files last until the runtime deletes the
container, also after its last process has ended.
"""

from __future__ import annotations

from pathlib import Path

from plugind.model.facts import MemoryKill

ROOT = Path("/sys/fs/cgroup")
#: v1 writes "no limit" as the largest number of whole pages.
_UNLIMITED = 1 << 62
#: How much a processor takes at once: so close to its limit a group may be when it is full.
_BATCH = 64 * 4096


def read_memory_kill(group: str, *, root: Path = ROOT) -> MemoryKill | None:
    """Return whether a process of the group was killed for want of memory, and whose.

    None also if the group is not there, or the kernel does not count its memory.
    """
    name = group.lstrip("/")
    v1, v2 = root / "memory" / name, root / name
    if (v1 / "memory.oom_control").exists():
        kills = _counters(v1 / "memory.oom_control").get("oom_kill", 0)
        limit = _number(v1 / "memory.limit_in_bytes")
        # Not failcnt: newer kernels do not count there. With swap it is the sum that is limited.
        most = max(_number(v1 / f"memory.{name}max_usage_in_bytes") for name in ("", "memsw."))
        reached = int(most > limit - _BATCH)
    else:
        events = _counters(v2 / "memory.events")
        kills, reached = events.get("oom_kill", 0), events.get("oom", 0)
        limit = _number(v2 / "memory.max")
    if not kills:
        return None
    return MemoryKill(limit=limit if reached and 0 < limit < _UNLIMITED else None)


def swap_is_accounted(root: Path = ROOT) -> bool:
    """True if a group's swap can be limited; a kernel may be told not to count it.

    On v2 the root has no such files, but every group below it that counts memory does.
    """
    if (root / "memory" / "memory.limit_in_bytes").exists():
        return (root / "memory" / "memory.memsw.limit_in_bytes").exists()
    return any(root.glob("*/memory.swap.max"))


def _counters(file: Path) -> dict[str, int]:
    """Read lines of a name and a number."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    pairs = [line.split() for line in lines]
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _number(file: Path) -> int:
    """Read a number; 0 if there is none, or the word for no limit."""
    try:
        text = file.read_text(encoding="ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdigit() else 0
