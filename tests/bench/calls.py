# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Calls of the API that concern one plugin, or one volume where there are few.

    python tests/bench/calls.py [--rounds N]

`plugin_enable` is given a second time without the 500 ms that the peer always sleeps.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from benchlib import engines, plugins
from benchlib.cli import run
from benchlib.figures import Figure, figures, in_turn, timed, without_sleep


def measure(*, rounds: int = 15) -> Iterator[Figure]:
    """Take a plugin through its life on both sides."""
    engines.require()
    with plugins.made() as plugin, engines.both() as sides:

        def once(side: str, number: int) -> Iterator[tuple[str, float]]:
            plugins.change(plugin, f"{number} {side}")
            sides[side].settle()
            yield from life(sides[side], plugin)

        samples = in_turn(sides, rounds, once)
    yield from figures(samples)
    yield without_sleep("plugin_enable", samples["plugin_enable"])


def life(side: engines.Side, plugin: Path) -> Iterator[tuple[str, float]]:
    """Create, use, remove."""
    yield "plugin_create", side.create("bench", plugin)
    yield "plugin_enable", timed(lambda: side.enable("bench"))
    yield "plugin_inspect", timed(lambda: side.call("GET", "/plugins/bench/json"))
    yield "plugin_ls", timed(lambda: side.call("GET", "/plugins"))
    yield "plugin_disable", timed(lambda: side.call("POST", "/plugins/bench/disable"))
    yield "plugin_rm", timed(lambda: side.call("DELETE", "/plugins/bench"))


if __name__ == "__main__":
    sys.exit(run(measure))
