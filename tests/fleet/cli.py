# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A fleet by hand, and for tools that are not ours: python tests/fleet VERB DIRECTORY ...

    up DIR N [--registry]          make a fleet of N hosts; it stays until `down`
    down DIR                       end it and remove DIR; nothing to do is fine
    boot | kill | cut | join DIR HOST
    run DIR HOST COMMAND...        run a command on a host as root, not over the network
    play DIR PLAYBOOK...           ansible-playbook inside of the fleet's network, with these arguments
    publish DIR PLUGIN NAME:TAG    build an example plugin, push it to the fleet's registry
    wheelhouse DIR                 make DIR/wheelhouse, for the role's `agent_wheelhouse`
    connect DIR ADDRESS PORT       join standard input and output to a port inside, for ssh's ProxyCommand

DIR/inventory.json and DIR/ansible.cfg are for use inside of the network, DIR/outside.json is an inventory
for any program on this machine: it connects through `connect`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from fleet import keeper, processes, supplies
from fleet.fleet import Fleet, attach, lacking


def main(arguments: list[str]) -> int:
    """Carry out one verb."""
    parser = argparse.ArgumentParser(
        prog="python tests/fleet",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("verb", choices=VERBS)
    parser.add_argument("directory", type=Path)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    given = parser.parse_args(arguments)
    try:
        return VERBS[given.verb](given.directory, *given.rest) or 0
    except TypeError:
        parser.error(f"cannot {given.verb}: wrong number of arguments")
    except OSError as exc:
        print(exc, file=sys.stderr)
        return 1


def _up(directory: Path, number: str, *options: str) -> None:
    missing = lacking()
    if missing:
        raise OSError(f"cannot make a fleet: needs {', '.join(missing)}")
    fleet = Fleet(directory, int(number)).up()
    if "--registry" in options:
        fleet.registry.start()


def _down(directory: Path) -> None:
    if processes.load(directory / "keeper") is not None:
        attach(directory).down()
    if (directory / "fleet.json").exists():
        shutil.rmtree(directory)


def _boot(directory: Path, name: str) -> None:
    host = attach(directory)[name]
    host.boot()
    host.forget()


def _kill(directory: Path, name: str) -> None:
    attach(directory)[name].kill()


def _cut(directory: Path, name: str) -> None:
    attach(directory)[name].cut()


def _join(directory: Path, name: str) -> None:
    attach(directory)[name].join()


def _run(directory: Path, name: str, *command: str) -> int:
    done = attach(directory)[name].call(*command)
    print(done.stdout, end="")
    print(done.stderr, end="", file=sys.stderr)
    return done.returncode


def _play(directory: Path, *arguments: str) -> int:
    play = attach(directory).start_play(arguments[-1], *arguments[:-1])
    for line in play.follow():
        print(line, end="", flush=True)
    return play.finish().rc


def _publish(directory: Path, plugin: str, reference: str) -> None:
    repository, _, tag = reference.rpartition(":")
    supplies.publish(attach(directory), plugin, repository, {tag: {}})


def _wheelhouse(directory: Path) -> None:
    fleet = attach(directory)
    (fleet.directory / "wheelhouse").symlink_to(supplies.obtain_wheelhouse(fleet.ground.lower))


def _connect(directory: Path, address: str, port: str) -> None:
    process = attach(directory).ground.keeper
    code = "from fleet import forward; forward.main()"
    argv = keeper.enter(process, sys.executable, "-c", code, address, port)
    os.execvpe(argv[0], argv, {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])})


VERBS = {
    "up": _up, "down": _down, "boot": _boot, "kill": _kill, "cut": _cut, "join": _join,
    "run": _run, "play": _play, "publish": _publish, "wheelhouse": _wheelhouse, "connect": _connect,
}  # fmt: skip
