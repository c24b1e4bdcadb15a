# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Where and when something was measured."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = {
    "dockerd": r"version ([0-9.]+)",
    "runc": r"runc version ([0-9.]+)",
    "conmon": r"version ([0-9.]+)",
}


@dataclass(frozen=True)
class Machine:
    """A machine at a moment. `load`: of the last minute, before and after; above 0.5 before, others were at
    work. Empty: not written down.
    """

    date: str
    cores: int
    processor: str
    memory: int
    kernel: str
    python: str
    versions: dict[str, str]
    load: list[float]

    def to_json(self) -> dict[str, object]:
        """As one line of JSON."""
        return dataclasses.asdict(self)

    def describe(self) -> str:
        """In a sentence."""
        versions = ", ".join(f"{name} {number}" for name, number in self.versions.items())
        text = (
            f"Measured {self.date} on {self.cores} cores ({self.processor}), {self.memory} GiB, "
            f"Linux {self.kernel}, Python {self.python}, {versions}"
        )
        if not self.load:
            return f"{text}."
        return f"{text}; load before and after {self.load[0]:.1f} and {self.load[1]:.1f}."


def load() -> float:
    """The load of the last minute."""
    return round(os.getloadavg()[0], 2)


def look(load_before: float) -> Machine:
    """This machine, now."""
    return Machine(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        cores=os.cpu_count() or 0,
        processor=_processor(),
        memory=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)),
        kernel=platform.release(),
        python=platform.python_version(),
        versions={name: _version(name, pattern) for name, pattern in PROGRAMS.items()},
        load=[load_before, load()],
    )


def _version(program: str, pattern: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(pattern, done.stdout)
    return found[1] if found else done.stdout.strip()


def _processor() -> str:
    found = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()
