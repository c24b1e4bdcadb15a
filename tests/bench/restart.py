# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A restart of the engine while 20 plugins are enabled, until its API answers that they are.

    python tests/bench/restart.py [--rounds N] [--count N]

Both get SIGTERM and are started again. dockerd stops its plugins and starts them again; it has an option live-restore,
but one of version 20.10 that has left its plugins alone so drops the connection of whoever lists volumes afterwards.
`plugins_restarted` says how many plugins have another process than before.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchlib import disk, engines, plugins, processes
from benchlib.cli import run
from benchlib.figures import Figure, figure, in_turn, timed

from support import daemon, dockerd

#: The command line of the plugin, as /proc has it; other plugins may come and go meanwhile.
PLUGIN = "-S\0-B\0/driver.py"
#: Seconds between two looks at an engine that is starting.
LOOK = 0.002


@dataclass(frozen=True)
class Restartable:
    """An engine, and how it is stopped and started."""

    side: engines.Side
    stop: Callable[[], object]
    start: Callable[[], object]


def measure(*, rounds: int = 5, count: int = 20) -> Iterator[Figure]:
    """Stop and start both in turn."""
    engines.require()
    with plugins.made() as plugin, both() as restartable:
        for engine in restartable.values():
            engine.side.fill(plugin, count)

        def once(name: str, _: int) -> Iterator[tuple[str, float]]:
            yield from restart(restartable[name], count)

        samples = in_turn(restartable, rounds, once, warm_up=0)
    for name in ("restart", "start"):
        values = samples[name]
        yield figure(f"{name}_{count}_plugins", values["ours"], values["peer"])
    values = samples["plugins_restarted"]
    yield figure("plugins_restarted", values["ours"], values["peer"], "plugins")


@contextlib.contextmanager
def both() -> Iterator[dict[str, Restartable]]:
    """Run both, so that they can be restarted."""
    with disk.journaled() as one, disk.journaled() as other:
        beside = other / "peer"
        with (
            daemon.run(one / "ours") as agent,
            dockerd.running(beside) as url,
        ):
            yield {
                "ours": Restartable(engines.ours(agent), agent.stop, agent.start),
                "peer": Restartable(
                    engines.peer(url, beside),
                    lambda: dockerd.stop(beside),
                    lambda: dockerd.start(beside),
                ),
            }


def restart(engine: Restartable, count: int) -> Iterator[tuple[str, float]]:
    """Once."""
    before = processes.find(PLUGIN)
    stopped = timed(engine.stop)
    started = timed(lambda: start(engine, count))
    yield "restart", stopped + started
    yield "start", started
    yield "plugins_restarted", float(len(processes.find(PLUGIN) - before))


def start(engine: Restartable, count: int) -> None:
    """Start it and look, more often than what starts it does, until all plugins are enabled."""
    starter = threading.Thread(target=engine.start)
    starter.start()
    while enabled(engine.side) < count:
        time.sleep(LOOK)


def enabled(side: engines.Side) -> int:
    """How many plugins it says are enabled; none while it does not answer."""
    with contextlib.suppress(Exception):
        return sum(plugin["Enabled"] for plugin in side.call("GET", "/plugins"))
    return 0


if __name__ == "__main__":
    sys.exit(run(measure))
