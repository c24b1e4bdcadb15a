# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The controller: keys, an inventory, and ansible-playbook or a terminal inside of the fleet's network."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet import keeper, registry
from fleet.hosts import Host
from fleet.processes import Process
from fleet.rootfs import REPOSITORY, USER

COLLECTIONS = REPOSITORY / ".build" / "collections"
BIN = Path(sys.executable).parent
_RECAP = re.compile(r"^(\S+) +: (ok=.*)$", re.MULTILINE)

# A host that is cut off is given up after six seconds. A command is sent over the connection that is there, so only a
# play's first task pays for making it.
_ANSIBLE_CFG = """\
[defaults]
inventory = {directory}/inventory.json
collections_path = {collections}
local_tmp = {directory}/tmp
forks = 25
timeout = 8
callback_result_format = yaml
nocolor = true

[connection]
pipelining = true

[ssh_connection]
ssh_args = -F {directory}/ssh_config -o ControlMaster=auto -o ControlPersist=20s
"""
# Commands end with a NUL; the line says which one has ended how.
_SHELL = """\
cd "$1"
while IFS= read -r -d '' text; do
    eval "$text" </dev/null
    echo "[$((++typed)) ended with $?]"
done
"""
_SSH_CONFIG = """\
Host *
    User {user}
    IdentityFile {directory}/user
    IdentitiesOnly yes
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    UpdateHostKeys no
    ServerAliveInterval 2
    ServerAliveCountMax 3
    ConnectTimeout 6
"""


@dataclass(frozen=True)
class Result:
    """How a play ended. `recap` is Ansible's, by host: {"h1": {"ok": 3, "changed": 0, ...}}."""

    rc: int
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """Ansible's last lines."""
        return parse_recap(self.output)

    @property
    def changed(self) -> int:
        """The number of changes on all hosts together."""
        return sum(counts["changed"] for counts in self.recap.values())

    def broken(self) -> set[str]:
        """The hosts that failed or could not be reached."""
        return {
            name for name, n in self.recap.items() if n["failed"] or n["unreachable"]
        }  # fmt: skip


def parse_recap(output: str) -> dict[str, dict[str, int]]:
    """Parse the lines "h1 : ok=3 changed=0 ..." of PLAY RECAP."""
    recap = output.rpartition("PLAY RECAP")[2]
    return {
        name: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)}
        for name, counts in _RECAP.findall(recap)
    }


class Play:
    """A running ansible-playbook: one operator, with connections of their own."""

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        cwd: Path,
        *,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self._process = subprocess.Popen(
            argv, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=environ, cwd=cwd,
        )  # fmt: skip
        self._lines: list[str] = []
        self._ended = False
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                with self._more:
                    self._lines.append(line)
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return "".join(self._lines)

    def follow(self) -> Iterator[str]:
        """Its lines as they are printed, from the first one."""
        for number in itertools.count():
            with self._more:
                while len(self._lines) <= number and not self._ended:
                    self._more.wait()
                if len(self._lines) <= number:
                    return
                line = self._lines[number]
            yield line

    def until(self, text: str, timeout: float = 120.0, *, times: int = 1) -> None:
        """Wait until it has printed this; AssertionError if it ends, or takes too long, without."""

        def is_printed() -> bool:
            return self.output.count(text) >= times

        with self._more:
            self._more.wait_for(lambda: is_printed() or self._ended, timeout)
        assert is_printed(), f"not {times} times {text!r} in:\n{self.output}"

    def finish(self, timeout: float = 900.0) -> Result:
        """Wait for its end."""
        try:
            return Result(self._process.wait(timeout), self._join())
        finally:
            self.end()

    def end(self) -> None:
        """End it, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def _join(self) -> str:
        self._reader.join()
        return self.output


class Terminal(Play):
    """A bash that is typed into. What it and its commands print comes together, those in the background as well."""

    def __init__(self, enter: Sequence[str], environ: Mapping[str, str], cwd: Path) -> None:
        argv = [*enter, "bash", "--noprofile", "--norc", "-c", _SHELL, "bash", str(cwd)]
        super().__init__(argv, environ, cwd, stdin=subprocess.PIPE)
        self._typed = 0

    def type(self, text: str, timeout: float = 600.0) -> Result:
        """Run a command to its end, with nothing on its standard input; AssertionError if it has none in time."""
        assert self._process.stdin is not None
        self._typed += 1
        end, begin = re.compile(rf"\[{self._typed} ended with (\d+)\]\n"), len(self.output)
        self._process.stdin.write(f"{text}\0")
        self._process.stdin.flush()
        with self._more:
            self._more.wait_for(lambda: self._ended or end.search(self.output, begin), timeout)
        found = end.search(self.output, begin)
        assert found, f"no end of $ {text}\n{self.output[begin:]}"
        return Result(int(found[1]), self.output[begin : found.start()])

    def close(self) -> None:
        """Let it end, which it does after what it is doing."""
        assert self._process.stdin is not None
        self._process.stdin.close()


class Controller:
    """What an operator has at hand."""

    def __init__(self, directory: Path, keeper_: Process) -> None:
        self.directory = directory
        self._keeper = keeper_
        self._plays: list[Play] = []

    def make_keys(self) -> None:
        """One key for the user and one that all hosts share, unless they are there."""
        for name in ("user", "host"):
            if not (self.directory / name).exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"fleet {name}",
                     "-f", str(self.directory / name)],
                    check=True,
                )  # fmt: skip

    def write_files(self, hosts: Sequence[Host]) -> None:
        """Write the inventory, ansible.cfg and what ssh reads."""
        names = {"directory": self.directory, "collections": COLLECTIONS, "user": USER}
        public = (self.directory / "host.pub").read_text()
        files = {
            "inventory.json": json.dumps(inventory(hosts), indent=1) + "\n",
            "outside.json": json.dumps(outside(hosts, self.directory), indent=1) + "\n",
            "ansible.cfg": _ANSIBLE_CFG.format(**names),
            "ssh_config": _SSH_CONFIG.format(**names),
            "known_hosts": f"{keeper.NETWORK}.* {public}",
        }
        for name, text in files.items():
            (self.directory / name).write_text(text)

    def start(self, playbook: str | Path, *arguments: str) -> Play:
        """Start ansible-playbook on the fleet, as a new operator."""
        command = [str(BIN / "ansible-playbook"), *arguments, str(playbook)]
        argv = keeper.enter(self._keeper, *command)
        self._plays.append(Play(argv, self._environ(), self.directory))
        return self._plays[-1]

    def open_terminal(self, directory: Path) -> Terminal:
        """Give a new operator a terminal in a directory."""
        terminal = Terminal(keeper.enter(self._keeper), self._environ(), directory)
        self._plays.append(terminal)
        return terminal

    def _environ(self) -> dict[str, str]:
        """The environment of a new operator."""
        place = self.directory / "op" / str(len(self._plays))
        place.mkdir(parents=True, exist_ok=True)
        return {
            **os.environ,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS),
            "ANSIBLE_HOME": str(place),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(place),
        }

    def end_plays(self) -> None:
        """End what nobody has waited for; the processes inside of the fleet have ended before."""
        for play in self._plays:
            play.end()


def inventory(hosts: Iterable[Host], **variables: object) -> dict[str, object]:
    """The hosts in Ansible's YAML inventory format."""
    common = {"ansible_user": USER, "ansible_python_interpreter": "/usr/bin/python3"}
    return {
        "fleet": {
            "hosts": {host.name: {"ansible_host": host.address} for host in hosts},
            "vars": {**common, **variables},
        }
    }


def outside(hosts: Iterable[Host], directory: Path) -> dict[str, object]:
    """An inventory for those who are not inside of the fleet's network, and what playbooks need to know of it."""
    command = shlex.join([sys.executable, str(Path(__file__).parent), "connect", str(directory)])
    return inventory(
        hosts,
        ansible_ssh_common_args=f"-F {directory}/ssh_config -o ProxyCommand='{command} %h %p'",
        fleet_registry=registry.HOST,
        fleet_wheelhouse=str(directory / "wheelhouse"),
    )
