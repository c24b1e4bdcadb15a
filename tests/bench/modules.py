# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One module over ssh with nothing to do, on an open connection: ours against community.docker's.

    python tests/bench/modules.py [--rounds N]

`ping` and `raw` say what of it is Ansible's and ssh's: the smallest module, and a command without any module.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from benchlib import engines, playbooks, plugins
from benchlib.cli import run
from benchlib.figures import Figure, figure

TASKS: list[playbooks.Task] = [
    {"name": "ours plugin", "plugind.engine.plugin": {"name": "bench", "grant": "all"}},
    {
        "name": "peer plugin",
        "community.docker.docker_plugin": {"plugin_name": "bench", "state": "enable"},
    },
    {"name": "ours volume", "plugind.engine.volume": {"name": "v", "driver": "bench"}},
    {"name": "peer volume", "community.docker.docker_volume": {"name": "v", "driver": "bench"}},
    {"name": "ping", "ansible.builtin.ping": {}},
    {"name": "raw", "ansible.builtin.raw": "true"},
]


def measure(*, rounds: int = 15) -> Iterator[Figure]:
    """All of them in turn, in one play."""
    engines.require("sshd")
    with plugins.made() as plugin, engines.both() as sides, playbooks.controller() as controller:
        for side in sides.values():
            side.create("bench", plugin)
            side.enable("bench")
            side.call("POST", "/volumes/create", {"Name": "v", "Driver": "bench"})
        play = controller.play(TASKS * rounds, sides)
    for module in ("plugin", "volume"):
        ours, peer = play.times(f"ours {module}"), play.times(f"peer {module}")
        yield figure(f"module_{module}", ours, peer)
    for name in ("ping", "raw"):
        yield figure(f"module_{name}", play.times(name))


if __name__ == "__main__":
    sys.exit(run(measure))
