# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Processes that are not ours to wait for: known by id and start time, ended and waited for without polling."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from dataclasses import dataclass
from pathlib import Path

#: Seconds that anything may take that has been killed.
SECONDS = 60.0


@dataclass(frozen=True)
class Process:
    """A process; its start time tells it from a later one with the same id."""

    pid: int
    started: int

    def is_alive(self) -> bool:
        """True while it runs; a zombie does not."""
        return _read_stat(self.pid) == (self.started, True)

    def end(self, number: int = signal.SIGKILL, timeout: float = SECONDS) -> None:
        """Send it a signal and wait until it has ended; TimeoutError if it does not."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor holds the process that has the id now; is it the one that we mean?
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
                    _wait(descriptor, f"process {self.pid}", timeout)
            finally:
                os.close(descriptor)

    def wait(self, timeout: float = SECONDS) -> None:
        """Wait until it has ended; TimeoutError if it does not."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                if self.is_alive():
                    _wait(descriptor, f"process {self.pid}", timeout)
            finally:
                os.close(descriptor)


def find(pid: int) -> Process:
    """The process that has this id now; ProcessLookupError if there is none."""
    found = _read_stat(pid)
    if found is None:
        raise ProcessLookupError(f"no process {pid}")
    return Process(pid, found[0])


def save(process: Process, path: Path) -> None:
    """Write it down for `load`."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(f"{process.pid} {process.started}\n", encoding="ascii")
    beside.replace(path)


def load(path: Path) -> Process | None:
    """The process that was written down, if it still runs."""
    try:
        pid, started = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    process = Process(int(pid), int(started))
    return process if process.is_alive() else None


def parse_stat(text: str) -> tuple[int, bool]:
    """Start time in ticks since boot, and whether it runs, out of /proc/PID/stat (proc(5))."""
    # The program's name is in parentheses and may hold any character, ")" and blanks too.
    fields = text.rpartition(")")[2].split()
    return int(fields[19]), fields[0] not in "ZX"


def _read_stat(pid: int) -> tuple[int, bool] | None:
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def _wait(descriptor: int, what: str, timeout: float) -> None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(timeout * 1000):
        raise TimeoutError(f"{what} has not ended after {timeout:.0f} s")
