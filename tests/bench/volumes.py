# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Volume calls where there are 1, 100 and 1,000 volumes.

python tests/bench/volumes.py [--rounds N] [--most N]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchlib import engines, plugins
from benchlib.cli import run
from benchlib.figures import Figure, figures, in_turn, timed

COUNTS = (1, 100, 1000)


def measure(*, rounds: int = 30, most: int = 1000) -> Iterator[Figure]:
    """Create, inspect, list and remove one more volume."""
    engines.require()
    with plugins.made() as plugin, engines.both() as sides:
        for side in sides.values():
            side.create("bench", plugin)
            side.enable("bench")
        there = 0
        for count in (count for count in COUNTS if count <= most):
            for side in sides.values():
                # The one that comes and goes makes it `count`.
                for number in range(there, count - 1):
                    create(side, f"kept-{number}")
            there = count - 1
            yield from figures(
                in_turn(sides, rounds, lambda side, _, n=count: life(sides[side], n), warm_up=3)
            )


def create(side: engines.Side, name: str) -> None:
    """volume create."""
    side.call("POST", "/volumes/create", {"Name": name, "Driver": "bench"})


def life(side: engines.Side, count: int) -> Iterator[tuple[str, float]]:
    """One volume comes and goes."""
    yield f"volume_create_{count}", timed(lambda: create(side, "one"))
    yield f"volume_inspect_{count}", timed(lambda: side.call("GET", "/volumes/one"))
    yield f"volume_ls_{count}", timed(lambda: side.call("GET", "/volumes"))
    yield f"volume_rm_{count}", timed(lambda: side.call("DELETE", "/volumes/one"))


if __name__ == "__main__":
    sys.exit(run(measure))
