# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A fleet: its namespaces, hosts, controller and registry, from the first to the last moment."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from fleet import cgroups, keeper, processes, rootfs
from fleet.controller import Controller, Play, Result
from fleet.hosts import Ground, Host, boot
from fleet.registry import Registry

PROGRAMS = (
    "docker-registry", "ip", "mmdebstrap", "nsenter", "ssh", "ssh-keygen", "tini", "unshare",
)  # fmt: skip


def lacking() -> list[str]:
    """What this machine lacks for a fleet, in words."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root")
    with contextlib.suppress(OSError):
        try:
            cgroups.find()
        except cgroups.Unsupported as exc:
            missing.append(str(exc))
    return missing


class Fleet:
    """`n` hosts below `directory`, whose path should be short and lie on an ordinary disk.

    Their disks have `packages`, too. As a context manager it ends with the block; `up` and `attach` are for one that
    outlives its maker.
    """

    def __init__(self, directory: Path, n: int, *, packages: Sequence[str] = ()) -> None:
        self.directory = directory.resolve()
        self._packages = packages
        self._n = n
        self._lifeline: IO[str] | None = None
        self._hosts: list[Host] = []

    def __enter__(self) -> Fleet:
        return self.up(lasting=False)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    def __getitem__(self, name: str) -> Host:
        return next(host for host in self._hosts if host.name == name)

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def up(self, *, lasting: bool = True) -> Fleet:
        """Make the namespaces and boot all hosts; `lasting` ones stay until somebody calls `down`."""
        lower = rootfs.obtain(more=self._packages)
        self.directory.mkdir(parents=True, exist_ok=True)
        if processes.load(self.directory / "keeper") is not None:
            raise FileExistsError(f"cannot make a fleet in {self.directory}: there is one")
        (self.directory / "tmp").mkdir(exist_ok=True)
        sweep(cgroups.find())
        process, self._lifeline = keeper.start(self.directory, lasting=lasting)
        (self.directory / "fleet.json").write_text(json.dumps({"n": self._n, "lower": str(lower)}))
        try:
            self._assemble(process, lower)
            self.controller.make_keys()
            self.controller.write_files(self._hosts)
            boot(self._hosts)
        except BaseException:
            self.down()
            raise
        if lasting:
            for host in self._hosts:
                host.forget()
        return self

    def _assemble(self, process: processes.Process, lower: Path) -> None:
        self.ground = Ground(self.directory, process, lower, cgroups.find())
        self._hosts = [Host(self.ground, number + 1) for number in range(self._n)]
        self.controller = Controller(self.directory, process)
        self.registry = Registry(self.directory, process)

    def down(self) -> None:
        """End every process, and with them mounts, links and namespaces; remove the disks."""
        if self._lifeline is not None:
            self._lifeline.close()
        self.ground.keeper.end()
        self.controller.end_plays()
        for host in self._hosts:
            host.reap()
        cgroups.remove(self.ground.hierarchies, self.ground.group)
        for host in self._hosts:
            host.wipe()
        (self.directory / "keeper").unlink()

    def start_play(self, playbook: str | Path, *arguments: str) -> Play:
        """Start a playbook, by its path or its name in a collection, on all hosts."""
        return self.controller.start(playbook, *arguments)

    def play(self, playbook: str | Path, *arguments: str) -> Result:
        """Run a playbook to its end."""
        return self.start_play(playbook, *arguments).finish()


def sweep(hierarchies: list[Path]) -> None:
    """Remove the control groups of fleets whose maker was killed: everything else ended with it."""
    names = {path.name for here in hierarchies for path in here.glob("fleet-*-*")}
    for name in names:
        _, pid, started = name.split("-")
        if not processes.Process(int(pid), int(started)).is_alive():
            cgroups.remove(hierarchies, name)


def attach(directory: Path) -> Fleet:
    """The fleet that is up in this directory; FileNotFoundError if there is none."""
    directory = directory.resolve()
    process = processes.load(directory / "keeper")
    if process is None:
        raise FileNotFoundError(f"no fleet is up in {directory}")
    said = json.loads((directory / "fleet.json").read_text())
    fleet = Fleet(directory, said["n"])
    fleet._assemble(process, Path(said["lower"]))
    return fleet
