# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""All benchmarks, or those that are named, one after the other; then docs/performance.md out of them.

    make bench                  all but load; installing the agent on 50 hosts takes most of the time
    make bench ARGS="load"      one or several of them by name; load takes three minutes
    python tests/bench/NAME.py  one of them without the document; --help says what it takes

One JSON object a line: medians with minimum and maximum, `ratio` is ours / peer.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchlib import document, machine
from benchlib.catalogue import TABLES

HERE = Path(__file__).resolve().parent
#: What only runs by its name: its figures are kept until then.
APART = ("load",)


def main(names: list[str]) -> int:
    """Measure, print, write. 1 if any benchmark has failed; the others are kept."""
    unknown = set(names) - TABLES.keys()
    if unknown:
        print(
            f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}",
            file=sys.stderr,
        )
        return 2
    wanted = names or [name for name in TABLES if name not in APART]
    failed = [name for name in wanted if not measure(name)]
    document.write()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str) -> bool:
    """Run one benchmark and keep what it prints; False if it has failed."""
    load, started, lines = machine.load(), time.monotonic(), []
    # Our Ansible plugins are compiled once, as they are where somebody uses them; nox forbids that.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    argv = [sys.executable, str(HERE / f"{name}.py")]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(json.loads(line))
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if process.returncode == 0:
        document.keep(name, machine.look(load), lines)
    return process.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
