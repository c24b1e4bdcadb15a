# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The namespaces around a whole fleet, and the process that keeps them.

Every process of a fleet is in its pid namespace, every link and address in its network namespace,
every mount in its mount namespace. When its first process ends, the kernel ends all of them,
whatever became of us.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from fleet import processes
from fleet.processes import Process

#: The fleet's bridge, and the address of the controller and the registry on it (RFC 5737).
BRIDGE = "fleet0"
NETWORK = "192.0.2"
CONTROLLER = f"{NETWORK}.1"
#: Hosts have .11 to .254.
MOST = 244

# $1 is the fleet's directory. /proc/self is the machine's still when the shell reads its own id there, and remains in
# $1/proc. The bridge has a fixed address: its own choice changes with the hosts that come and go, and then the others
# send to nobody. /run is private, because `ip netns` keeps its names there.
_SCRIPT = f"""
set -e
read -r pid rest </proc/self/stat
mount --bind /proc "$1/proc"
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
ip -batch - <<END
link set lo up
link add name {BRIDGE} address 02:00:00:00:00:01 type bridge
addr add {CONTROLLER}/24 dev {BRIDGE}
link set {BRIDGE} up
END
shift
echo "$pid"
exec tini -s -- "$@"
"""


def start(directory: Path, *, lasting: bool) -> tuple[Process, IO[str] | None]:
    """Make the namespaces; the second is what holds them, unless they are to last.

    They end when that is closed, which is at the latest when this process ends.
    """
    (directory / "proc").mkdir(exist_ok=True)
    stay = ("sleep", "infinity") if lasting else ("cat",)
    log = directory / "keeper.log"
    with log.open("wb") as errors:
        outer = subprocess.Popen(
        ["unshare", "--mount", "--net", "--pid", "--fork", "--propagation", "private",
         "sh", "-c", _SCRIPT, "fleet", str(directory), *stay],
        stdin=subprocess.DEVNULL if lasting else subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=errors, text=True, cwd="/", start_new_session=True,
    )  # fmt: skip
    assert outer.stdout is not None
    with outer.stdout:
        said = outer.stdout.readline()
    if not said:
        outer.wait()
        raise OSError(f"cannot make the namespaces of a fleet: {log.read_text()}")
    process = processes.find(int(said))
    # `end` waits for it by its id, perhaps from another process.
    processes.save(process, directory / "keeper")
    outer.returncode = 0
    return process, outer.stdin


def enter(keeper: Process, *argv: str) -> list[str]:
    """The command that runs another one on the controller, inside of the namespaces."""
    return ["nsenter", "--target", str(keeper.pid), "--mount", "--net", "--pid", "--", *argv]


def batch_ip(keeper: Process, lines: Sequence[str]) -> None:
    """Carry out lines of ip(8), all in one go."""
    done = subprocess.run(
        enter(keeper, "ip", "-batch", "-"),
        input="\n".join(lines) + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"cannot do {list(lines)}: {done.stderr.strip()}")


def host_address(number: int) -> str:
    """The address of the host with this number, from 1."""
    if not 1 <= number <= MOST:
        raise ValueError(f"a fleet has 1 to {MOST} hosts, not {number}")
    return f"{NETWORK}.{number + 10}"
