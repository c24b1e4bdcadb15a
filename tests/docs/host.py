# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A host for one page: this machine's programs, and places, processes, names and a network of its own.

    with host.running(directory, env) as shell:
        shell.type("plugind ls")        -> Typed(status, output)

Commands run one after the other in one bash, as the page's reader types them. What they write to /etc, /var/lib,
/opt and so on is theirs alone, and everything that they start ends with the host.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from support import daemon

#: Seen as they are here, and written to nowhere but in the host.
LAYERED = (
    "/etc",
    "/usr/local",
    "/opt",
    "/root",
    "/srv",
    "/mnt",
    "/var/lib",
    "/var/log",
    "/var/cache",
)
#: On the disk itself: an overlay cannot lie on another one.
OWN = ("/var/lib/plugind", "/var/lib/containers", "/var/lib/docker", "/run", "/dev/shm")
BEGIN = """
set -e
place=$1
for path in {layered}; do
    mkdir -p "$place/layers$path.upper" "$place/layers$path.work" "$path"
    mount -t overlay page -o "lowerdir=$path,upperdir=$place/layers$path.upper,workdir=$place/layers$path.work" "$path"
done
for path in {own}; do
    mkdir -p "$place/own$path" "$path"
    chmod 0755 "$place/own$path"
    mount --bind "$place/own$path" "$path"
done
ip link set lo up
# Whoever mounts on this host wants to be seen by everybody on it.
mount --make-rshared /
"""
#: What every script ends with: commands come one by one, and it says how each ended.
LOOP = """
cd "$place/home"
set +e
while read -r file; do . "$file" >"$place/output" 2>&1 <"$place/input"; echo "$?"; done
"""
#: What the agent's plugins and containers leave in the machine's control groups when they are just killed.
END = """
for root in runc crun runc-containers crun-containers; do
    for id in $(ls /run/plugind/$root 2>/dev/null); do ${root%-containers} --root /run/plugind/$root delete -f $id; done
done
true
"""


@dataclass(frozen=True)
class Typed:
    """What became of a command."""

    status: int
    output: str


class Shell:
    """The host's one shell."""

    def __init__(self, process: subprocess.Popen[str], place: Path) -> None:
        self._process = process
        self.place = place
        self.home = place / "home"

    def type(self, command: str, answers: str = "") -> Typed:
        """Run a command to its end; `answers` is its standard input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        (self.place / "input").write_text(answers)
        (self.place / "command").write_text(command + "\n")
        self._process.stdin.write(f"{self.place / 'command'}\n")
        self._process.stdin.flush()
        status = self._process.stdout.readline()
        output = (self.place / "output").read_text(errors="replace")
        assert status, f"{command}: the shell has ended\n{output}"
        return Typed(int(status), output)


@contextlib.contextmanager
def running(directory: Path, env: Mapping[str, str]) -> Iterator[Shell]:
    """Run a host below `directory`, which is on an ordinary disk; everything there is gone afterwards."""
    daemon.require("unshare", "runc", "conmon", "docker")
    for name in ("layers", "own"):
        (directory / name).mkdir(parents=True)
    script = BEGIN.format(layered=" ".join(LAYERED), own=" ".join(OWN)) + LOOP
    with started(directory, script, env, "--net") as shell:
        yield shell


@contextlib.contextmanager
def started(directory: Path, script: str, env: Mapping[str, str], *more: str) -> Iterator[Shell]:
    """Run a script, which ends with the loop of a shell, in namespaces of its own; `directory` is removed at the end.

    The script's argument is the directory. `more` are namespaces beside those of every host.
    """
    (directory / "home").mkdir(parents=True, exist_ok=True)
    namespaces = ("--uts", "--ipc", "--mount", "--pid", *more)
    argv = [
        "unshare",
        *namespaces,
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation=private",
    ]
    argv += ["bash", "--noprofile", "--norc", "-c", script, "page", str(directory)]
    process = subprocess.Popen(
        argv, env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/"
    )
    with process:
        shell = Shell(process, directory)
        try:
            yield shell
        finally:
            with contextlib.suppress(AssertionError, BrokenPipeError):
                shell.type(END)
            assert process.stdin is not None
            process.stdin.close()
            process.wait(30)
            shutil.rmtree(directory, ignore_errors=True)
