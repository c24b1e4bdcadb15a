# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A container's bundle, and the few files that its life leaves on /run.

    <run>/bundles/<id>/     0700, because config.json holds the plugin's environment
        config.json         the runtime spec
        launch.json         pids and start times; written before the process may run
        pidfile conmon.pid  written by conmon
        ctl attach winsz    conmon's fifos and socket
    <run>/exits/<id>        the exit status, written by conmon before it ends

Everything is on a tmpfs and means nothing after a reboot, so nothing is fsynced.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plugind import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Who is who: a pid together with its start time names one process for good."""

    pid: int
    start_time: int
    conmon_pid: int
    conmon_start_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Paths of one container's files below `run`."""

    run: Path
    id: str

    @property
    def path(self) -> Path:
        """The directory that the OCI runtime gets."""
        return self.run / "bundles" / self.id

    @property
    def pidfile(self) -> Path:
        """The pid of the container's first process."""
        return self.path / "pidfile"

    @property
    def conmon_pidfile(self) -> Path:
        """The pid of conmon."""
        return self.path / "conmon.pid"

    @property
    def control(self) -> Path:
        """The fifo that tells conmon to reopen its log."""
        return self.path / "ctl"

    @property
    def attach(self) -> Path:
        """The socket through which conmon passes output on and takes input."""
        return self.path / "attach"

    @property
    def exits(self) -> Path:
        """The directory in which conmon leaves exit statuses."""
        return self.run / "exits"

    def write(self, spec: dict[str, Any]) -> None:
        """Create the bundle with `spec` in it; what an earlier container left there goes."""
        self.remove()
        try:
            self.exits.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.mkdir(mode=0o700, parents=True)
            self._write("config.json", spec)
        except OSError as exc:
            raise errors.System(f'cannot write bundle "{self.path}": {exc.strerror}') from exc

    def write_launch(self, launch: Launch) -> None:
        """Note who runs, for an agent that comes later."""
        try:
            self._write("launch.json", asdict(launch))
        except OSError as exc:
            raise errors.System(f'cannot write bundle "{self.path}": {exc.strerror}') from exc

    def read_launch(self) -> Launch | None:
        """Return what `write_launch` noted, None if there is nothing (or nothing readable)."""
        try:
            text = (self.path / "launch.json").read_text(encoding="utf-8")
            fields: dict[str, int] = json.loads(text)
            return Launch(**{key: int(value) for key, value in fields.items()})
        except (OSError, ValueError, TypeError, AttributeError):
            return None

    def read_cgroup(self) -> str | None:
        """Return the control group that the spec names, None if there is nothing readable."""
        try:
            spec = json.loads((self.path / "config.json").read_text(encoding="utf-8"))
            return str(spec["linux"]["cgroupsPath"])
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def read_exit_status(self) -> int | None:
        """Return the exit status that conmon left, None if it left none."""
        try:
            return int((self.exits / self.id).read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return None

    def remove(self) -> None:
        """Remove every file of the container. Safe to call twice."""
        try:
            (self.exits / self.id).unlink(missing_ok=True)
            if self.path.exists():
                shutil.rmtree(self.path)
        except OSError as exc:
            raise errors.System(f'cannot remove bundle "{self.path}": {exc.strerror}') from exc

    def _write(self, name: str, document: dict[str, Any]) -> None:
        """Write a file so that no reader ever sees half of it."""
        staged = self.path / f".{name}"
        flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC
        with os.fdopen(os.open(staged, flags, 0o600), "w", encoding="utf-8") as file:
            json.dump(document, file)
        staged.rename(self.path / name)


def bundle_ids(run: Path) -> list[str]:
    """Return the ids that have a bundle below `run`."""
    try:
        return sorted(os.listdir(run / "bundles"))
    except FileNotFoundError:
        return []
