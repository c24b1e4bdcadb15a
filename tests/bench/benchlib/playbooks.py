# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""ansible-playbook on this machine over ssh, timed task by task; community.docker beside our collection.

    with playbooks.controller() as controller:
        run = controller.play([{"name": "a", "ansible.builtin.ping": {}}], sides)
        run.times("a"), run.command

Both collections run on the same ansible-core, over the same open connection, with pipelining, and their modules on the
same Python.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchlib import ROOT, engines
from support import ssh_login

#: The package that has the peer in it, and what of it is needed. Its own ansible-core is not.
PACKAGE = "ansible>=12,<13"
PARTS = ("community/docker/", "community/library_inventory_filtering_v1/")
BIN = Path(sys.executable).parent
CALLBACKS = Path(__file__).resolve().parents[1] / "callback"
Task = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """One ansible-playbook. `command`: milliseconds from its start to its end; `lines`: what the callback wrote."""

    command: float
    lines: Sequence[dict[str, Any]]

    def times(self, task: str) -> list[float]:
        """Milliseconds of each task of that name."""
        return [line["ms"] for line in self.lines if line["task"] == task]

    @property
    def tasks(self) -> float:
        """Milliseconds of all tasks but those that only open the connection."""
        return sum(line["ms"] for line in self.lines if line["task"] != CONNECT["name"])

    @property
    def changed(self) -> bool:
        """True if any task has changed something."""
        return any(line["changed"] for line in self.lines)


def write_program(program: Path) -> None:
    """Write a copy of the program that is started as role `agent` has it."""
    head, _, rest = (BIN / "plugind").read_text().partition("\n")
    program.write_text(f"{head} -IS\n{rest}")
    program.chmod(0o755)


def defaults(program: Path, sides: Mapping[str, engines.Side]) -> dict[str, Any]:
    """How modules reach the engines."""
    socket = sides["ours"].url.removeprefix("unix://")
    return {
        "group/plugind.engine.plugind": {"executable": str(program), "socket": socket},
        "group/community.docker.docker": {"docker_host": sides["peer"].url},
    }


def timing(times: Path) -> dict[str, str]:
    """The environment in which ansible-playbook writes the times of its tasks to a file."""
    return {
        "ANSIBLE_CALLBACK_PLUGINS": str(CALLBACKS),
        "ANSIBLE_STDOUT_CALLBACK": "bench_times",
        "BENCH_TIMES": str(times),
    }


#: Modules find an open connection: this comes first in every play and does not count.
CONNECT: Task = {"name": "connect", "ansible.builtin.raw": "true", "changed_when": False}


class Controller:
    """An operator with one host."""

    def __init__(self, place: Path, login: ssh_login.Login) -> None:
        self._place = place
        write_program(place / "plugind")
        variables = {
            "ansible_host": "127.0.0.1",
            "ansible_port": login.port,
            "ansible_user": getpass.getuser(),
            "ansible_ssh_private_key_file": str(login.key),
            "ansible_ssh_common_args": " ".join(ssh_login.OPTIONS),
            "ansible_python_interpreter": sys.executable,
        }
        inventory = {"all": {"hosts": {"target": variables}}}
        (place / "inventory.yml").write_text(yaml.safe_dump(inventory))

    def play(self, tasks: Sequence[Task], sides: Mapping[str, engines.Side]) -> Run:
        """Run tasks; SystemExit with the output if one fails."""
        times = self._place / "times"
        times.write_text("")
        play = {
            "hosts": "all",
            "gather_facts": False,
            "module_defaults": defaults(self._place / "plugind", sides),
        }
        document = [{**play, "tasks": [CONNECT, *tasks]}]
        (self._place / "play.yml").write_text(yaml.safe_dump(document))
        started = time.perf_counter()
        done = subprocess.run(
            [str(BIN / "ansible-playbook"), "-i", "inventory.yml", "play.yml"],
            cwd=self._place, env=self._environment(times), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        spent = (time.perf_counter() - started) * 1000
        if done.returncode:
            raise SystemExit(f"cannot measure: {done.stdout[-3000:]}{done.stderr[-3000:]}")
        return Run(spent, [json.loads(line) for line in times.read_text().splitlines()])

    def _environment(self, times: Path) -> dict[str, str]:
        return {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": f"{ROOT / '.build/collections'}:{obtain_peer()}",
            "ANSIBLE_HOME": str(self._place / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._place),
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_NOCOLOR": "1",
            **timing(times),
        }


@contextlib.contextmanager
def controller() -> Iterator[Controller]:
    """Give a controller whose host is this machine, behind an sshd of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-ssh-") as name:
        home = Path(name, "home")
        home.mkdir()
        # An empty home: what somebody has in .bashrc would be part of every command.
        with ssh_login.run(Path(name), f"SetEnv HOME={home}") as login:
            yield Controller(Path(name), login)


def obtain_peer() -> Path:
    """A path for collections with the peer's in it, downloaded once."""
    cache = ROOT / ".build" / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    place = cache / "collections"
    with open(cache / "lock", "w") as lock, tempfile.TemporaryDirectory(dir=cache) as beside:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                 "--no-deps", f"--dest={beside}", PACKAGE],
                check=True, stdout=sys.stderr,
            )  # fmt: skip
            (wheel,) = Path(beside).glob("*.whl")
            with zipfile.ZipFile(wheel) as packed:
                wanted = tuple(f"ansible_collections/{part}" for part in PARTS)
                names = [name for name in packed.namelist() if name.startswith(wanted)]
                packed.extractall(Path(beside, "unpacked"), names)
            Path(beside, "unpacked").rename(place)
    return place
