# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What stays resident with 1 and 20 enabled plugins that do nothing, the plugins themselves aside: PSS.

    python tests/bench/memory.py [--count N]

plugind is its process and a conmon for each plugin; dockerd is itself, containerd and a shim for each plugin.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchlib import engines, plugins, processes
from benchlib.cli import run
from benchlib.figures import Figure, figure

READINGS = 3


def measure(*, count: int = 20) -> Iterator[Figure]:
    """Read with one plugin, then with all."""
    engines.require()
    with plugins.made() as plugin, engines.both() as sides:
        for number in (1, count):
            for side in sides.values():
                side.fill(plugin, number)
            yield reading(sides, number)


def reading(sides: dict[str, engines.Side], count: int) -> Figure:
    """The sum of all, and what it is made of."""
    found = {
        name: [processes.resident(str(side.directory)) for _ in range(READINGS)]
        for name, side in sides.items()
    }
    totals = {name: [sum(each.values()) for each in readings] for name, readings in found.items()}
    parts = {
        f"{name}_parts": {program: round(size, 1) for program, size in sorted(readings[-1].items())}
        for name, readings in found.items()
    }
    return figure(f"memory_{count}_plugins", totals["ours"], totals["peer"], "MiB", **parts)


if __name__ == "__main__":
    sys.exit(run(measure))
