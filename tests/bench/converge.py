# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One host over ssh, 5 plugins and 50 volumes: the first run, and one with nothing to do.

    python tests/bench/converge.py [--rounds N]

One task of `plugind.engine.apply` on plugind against tasks of community.docker on dockerd. `converge_*` is the time of
the tasks, `*_command` that of ansible-playbook from its start to its end.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchlib import declared, disk, engines, playbooks
from benchlib.cli import run
from benchlib.figures import Figure, figure, in_turn, without_sleep

from support import docker_registry

MEGABYTES = 6
#: A run with nothing to do of ours takes so little that it can be repeated.
REPEAT = {"ours": 5, "peer": 1}


def measure(*, rounds: int = 2) -> Iterator[Figure]:
    """Both in turn, from nothing each time."""
    engines.require("docker-registry", "sshd")
    with (
        disk.journaled() as place,
        docker_registry.run(place) as registry,
        engines.both() as sides,
        declared.published(sides["peer"], registry.host, MEGABYTES),
        playbooks.controller() as controller,
    ):
        tasks = {
            "ours": [
                {"name": "apply", "plugind.engine.apply": declared.ours(registry.host)},
            ],
            "peer": declared.peer(registry.host),
        }

        def once(side: str, _: int) -> Iterator[tuple[str, float]]:
            sides[side].clear()
            first = controller.play(tasks[side], sides)
            if not first.changed:
                raise SystemExit(f"{side}: nothing was changed, although there was nothing")
            yield from said("converge_first", first)
            for _ in range(REPEAT[side]):
                again = controller.play(tasks[side], sides)
                if again.changed:
                    raise SystemExit(f"{side}: a second run has changed something")
                yield from said("converge_noop", again)

        samples = in_turn(sides, rounds, once, warm_up=0)
    for name, values in samples.items():
        yield figure(name, values["ours"], values["peer"])
    yield figure("converge_noop_task", samples["converge_noop"]["ours"])
    yield without_sleep("converge_first", samples["converge_first"], declared.PLUGINS)


def said(name: str, play: playbooks.Run) -> Iterator[tuple[str, float]]:
    """Tasks, and all of it."""
    yield name, play.tasks
    yield f"{name}_command", play.command


if __name__ == "__main__":
    sys.exit(run(measure))
