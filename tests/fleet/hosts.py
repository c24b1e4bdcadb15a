# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Hosts: they boot, run commands, lose their cable or their power, and keep their disks.

A host's directory holds its disk (`upper` and `work` of the overlay that is its root, `data` that is
its /var/lib/plugind), `console` (what its first process and sshd print) and `ids` while it is up.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleet import cgroups, keeper, processes
from fleet.init import ENVIRON
from fleet.processes import Process

INIT = Path(__file__).with_name("init.py")
#: Seconds from power on until sshd listens, at most.
BOOT_SECONDS = 60.0
#: Where the agent keeps its data. A disk of its own, because the agent makes overlays on it, which Linux
#: refuses on an overlay.
DATA = "/var/lib/plugind"


@dataclass(frozen=True)
class Ground:
    """What all hosts of a fleet stand on."""

    directory: Path
    keeper: Process
    lower: Path
    hierarchies: Sequence[Path]

    @property
    def group(self) -> str:
        """The name of the fleet's control group."""
        return f"fleet-{self.keeper.pid}-{self.keeper.started}"


class Host:
    """One of them, by its number from 1."""

    def __init__(self, ground: Ground, number: int) -> None:
        self.ground = ground
        self.name = f"h{number}"
        self.address = keeper.host_address(number)
        #: Fixed, so that no neighbour has to forget another one after a boot.
        self.hardware_address = f"02:00:00:00:00:{number + 10:02x}"
        self.directory = ground.directory / "hosts" / self.name
        self._outer: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return f"<host {self.name} {self.address}>"

    @property
    def data(self) -> Path:
        """The host's /var/lib/plugind, as this machine sees it."""
        return self.directory / "data"

    @property
    def console(self) -> str:
        """What it has printed since its disk was new."""
        path = self.directory / "console"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def is_up(self) -> bool:
        """True while it has power."""
        return self._find_init() is not None

    def boot(self) -> None:
        """Switch it on; return when its services have been started and sshd listens."""
        boot([self])

    def kill(self) -> None:
        """Cut its power: every process ends at once, no peer gets a word, /run and /tmp are gone.

        What was written stays, whether synced or not: it is the machine's kernel that survives.
        """
        first = self._find_init()
        if first is None:
            return
        self.cut()
        outer = processes.load(self.directory / "outer")
        first.end()
        if outer is not None:
            outer.wait()
        self.reap()
        keeper.batch_ip(self.ground.keeper, [f"link del dev {self.name}", f"netns del {self.name}"])
        cgroups.remove(self.ground.hierarchies, f"{self.ground.group}/{self.name}")

    def wipe(self) -> None:
        """Give it a new disk; it has to be off, and is afterwards."""
        if self.is_up:
            raise ValueError(f"cannot wipe {self.name}: it is up")
        for name in ("upper", "work", "data"):
            if (self.directory / name).exists():
                shutil.rmtree(self.directory / name)

    def cut(self) -> None:
        """Pull its network cable."""
        keeper.batch_ip(self.ground.keeper, [f"link set dev {self.name} down"])

    def join(self) -> None:
        """Put the cable back. A boot does so, too."""
        keeper.batch_ip(self.ground.keeper, [f"link set dev {self.name} up"])

    def run(self, *argv: str, input: str | None = None, check: bool = True) -> str:
        """Run a command on it as root, not over the network; return its standard output.

        AssertionError with all that it printed if it fails, unless `check` is false.
        """
        done = self.call(*argv, input=input)
        if check and done.returncode:
            raise AssertionError(
                f"{self.name}: {list(argv)} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        return done.stdout

    def call(self, *argv: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on it as root, however it ends."""
        first = self._find_init()
        if first is None:
            raise ValueError(f"cannot run {argv[0]} on {self.name}: it is down")
        groups = [h / self.ground.group / self.name for h in self.ground.hierarchies]
        enter = ["nsenter", "--target", str(first.pid), "--mount", "--uts", "--ipc", "--net", "--pid",
                 "--cgroup", "--root", "--wd", "--"]  # fmt: skip
        return subprocess.run(
            ["sh", "-c", cgroups.join_script(groups) + 'exec "$@"', "join", *enter, *argv],
            input=input, stdin=None if input is not None else subprocess.DEVNULL,
            capture_output=True, text=True, check=False, env=ENVIRON, cwd="/",
        )  # fmt: skip

    def find(self, command: str) -> Process:
        """The process on it whose command line has this text; ValueError unless there is one."""
        own = f"{self.ground.group}/{self.name}"
        found = [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/cgroup")
            if cgroups.is_member(_read(path), own)
            and command in _read(path.with_name("cmdline")).replace("\0", " ")
        ]
        if len(found) != 1:
            raise ValueError(f"cannot find {command!r} on {self.name}: {len(found)} of them")
        return processes.find(found[0])

    def forget(self) -> None:
        """Let go of it: it stays up when this process ends (if the fleet does)."""
        if self._outer is not None:
            self._outer.returncode = 0

    # ------------------------------------------------------------------------------------- what `boot` is made of

    def _find_init(self) -> Process | None:
        return processes.load(self.directory / "init")

    def reap(self) -> None:
        """Collect the process that booted it; it has ended or is about to."""
        if self._outer is not None:
            self._outer.wait(processes.SECONDS)
            self._outer = None

    def prepare(self) -> None:
        """Make its disk, if it has none, and what a boot needs."""
        for name in ("root", "state", "data", "upper/etc/ssh", "work"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        ssh = self.directory / "upper/etc/ssh"
        if not (ssh / "host_key").exists():
            etc = ssh.parent
            (etc / "hostname").write_text(f"{self.name}\n")
            (etc / "hosts").write_text(f"127.0.0.1 localhost\n{self.address} {self.name}\n")
            shutil.copy(self.ground.directory / "user.pub", ssh / "authorized_keys")
            shutil.copy(self.ground.directory / "host", ssh / "host_key")
        ready = self.directory / "state" / "sshd"
        ready.unlink(missing_ok=True)
        os.mkfifo(ready)
        # One kernel for all: without this, no host would know that it has been booted again.
        boot_id = self.directory / "state" / "boot_id"
        boot_id.write_text(f"{uuid.uuid4()}\n")
        hierarchies = [path.name for path in self.ground.hierarchies]
        spec = {
            "name": self.name,
            "proc": str(self.ground.directory / "proc"),
            "directory": str(self.directory),
            "lower": str(self.ground.lower),
            "binds": [
                [str(self.directory / "state"), "/run/fleet"],
                [str(boot_id), "/proc/sys/kernel/random/boot_id"],
                [str(self.data), DATA],
            ],
            "cgroups": [[name, *cgroups.options(name)] for name in hierarchies],
        }
        (self.directory / "spec.json").write_text(json.dumps(spec))

    def wire(self) -> list[str]:
        """Lines for ip(8) that give it a network interface on the fleet's bridge."""
        peer = f"peer name eth0 address {self.hardware_address} netns {self.name}"
        return [
            f"netns add {self.name}",
            f"link add name {self.name} type veth {peer}",
            f"link set dev {self.name} master {keeper.BRIDGE} up",
        ]

    def start(self) -> None:
        """Start its first process, in its control groups and its namespaces."""
        groups = cgroups.make(self.ground.hierarchies, f"{self.ground.group}/{self.name}")
        script = cgroups.join_script(groups) + (
            f"ip -n {self.name} -batch - <<END\n"
            f"link set dev lo up\naddr add {self.address}/24 dev eth0\nlink set dev eth0 up\nEND\n"
            f"exec nsenter --net=/run/netns/{self.name} unshare --mount --uts --ipc --pid --cgroup"
            ' --fork --propagation private "$@"'
        )
        argv = [sys.executable, "-I", "-S", str(INIT), str(self.directory / "spec.json")]
        with (self.directory / "console").open("ab") as console:
            self._outer = subprocess.Popen(
                keeper.enter(self.ground.keeper, "sh", "-c", script, "boot", *argv),
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, cwd="/",
                start_new_session=True,
            )  # fmt: skip

    def wait(self, ready: int) -> None:
        """Wait until sshd has written to the descriptor, which it does when it listens."""
        assert self._outer is not None
        ended = os.pidfd_open(self._outer.pid)
        try:
            poll = select.poll()
            poll.register(ready, select.POLLIN)
            poll.register(ended, select.POLLIN)
            if ready not in dict(poll.poll(BOOT_SECONDS * 1000)):
                raise OSError(f"{self.name} does not come up: {self.console[-2000:]}")
        finally:
            os.close(ended)


def _read(path: Path) -> str:
    """Of /proc, where a process may have ended since it was listed."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def boot(hosts: Iterable[Host]) -> None:
    """Switch on those that are off, all at once."""
    down = [host for host in hosts if not host.is_up]
    if not down:
        return
    for host in down:
        host.prepare()
    keeper.batch_ip(down[0].ground.keeper, [line for host in down for line in host.wire()])
    ready = {}
    try:
        for host in down:
            fifo = host.directory / "state" / "sshd"
            ready[host.name] = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            host.start()
        for host in down:
            host.wait(ready[host.name])
    finally:
        for descriptor in ready.values():
            os.close(descriptor)
