# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Mounting and unmounting: sshfs, fusermount3 and the mount table.

sshfs goes into the background once the file system is mounted, and ends with a status and a message if
it cannot be. So its own end is the event to wait for; there is nothing to poll. The process that stays
behind belongs to init (volumeplugin.run), which collects it after the unmount.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Protocol

from sshfs_driver.options import Target, sshfs_argv
from volumeplugin import DriverError, complain, debugging, log

FILESYSTEM = "fuse.sshfs"
MOUNT_LIMIT = 60.0  # an engine gives up after 120 s, and an error is better than silence
UNMOUNT_LIMIT = 10.0
ALIVE_LIMIT = 5.0

NO_NEWS = "Warning: Permanently added"
LOST_SSH = "read: Connection reset by peer"


class Mounts(Protocol):
    """What the driver needs from the world."""

    def attach(self, target: Target, where: Path) -> None: ...
    def detach(self, where: Path) -> None: ...
    def alive(self, where: Path) -> bool: ...
    def detach_all(self, below: Path) -> list[Path]: ...


# --- pure -----------------------------------------------------------------------------------------


def unescape(field: str) -> str:
    """A path in the mount table: blanks and the like are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def mounted_below(mountinfo: str, below: Path) -> list[Path]:
    """Mount points of sshfs below a directory, the last mounted first."""
    found = []
    for line in mountinfo.splitlines():
        before, after = line.split(" - ", 1)
        point = Path(unescape(before.split(" ")[4]))
        if after.split(" ")[0] == FILESYSTEM and below in point.parents:
            found.append(point)
    return found[::-1]


def complaint(text: str) -> str:
    """What sshfs and ssh said, on one line, without the lines that are no help."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(NO_NEWS)]
    # sshfs reports every failure of ssh in the same words; they count if ssh itself said nothing.
    better = [line for line in told if line != LOST_SSH]
    return "; ".join((better or told)[-5:])


# --- effects --------------------------------------------------------------------------------------


class Sshfs:
    """The real world."""

    def __init__(self, known_hosts: Path, connect_timeout: int) -> None:
        self.known_hosts = known_hosts
        self.connect_timeout = connect_timeout

    def attach(self, target: Target, where: Path) -> None:
        """Mount; DriverError with sshfs's own words if that fails."""
        argv = sshfs_argv(target, str(where), str(self.known_hosts), self.connect_timeout)
        if debugging():
            log("running " + " ".join(argv))
        # A file and not a pipe: the ssh that stays in the background keeps it open for ever.
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            status = run_sshfs(argv, target.password, output.fileno())
            output.seek(0)
            said = complaint(output.read())
        if status == 0:
            return
        reason = "no answer in time" if status is None else said or f"status {status}"
        raise DriverError(f"cannot mount {target.source}: {reason}")

    def detach(self, where: Path) -> None:
        """Unmount; lazily if the other end is gone, because then nobody will ever be done with it."""
        status, said = run_briefly(["fusermount3", "-u", str(where)])
        if status == 0:
            return
        if self.alive(where):
            raise DriverError(f"cannot unmount {where}: {said or f'status {status}'}")
        complain(f"{where}: the connection is dead, detaching")
        status, said = run_briefly(["fusermount3", "-u", "-z", str(where)])
        if status != 0:
            raise DriverError(f"cannot detach {where}: {said or f'status {status}'}")

    def alive(self, where: Path) -> bool:
        """Is somebody still answering? Asked in a thread, for the answer may never come."""
        answers: list[int] = []

        def ask() -> None:
            try:
                os.statvfs(where)
                answers.append(0)
            except OSError as error:
                answers.append(error.errno or errno.EIO)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(ALIVE_LIMIT)
        return answers == [0]

    def detach_all(self, below: Path) -> list[Path]:
        """Detach every mount of ours below a directory, whatever its state."""
        points = mounted_below(Path("/proc/self/mountinfo").read_text(), below)
        for point in points:
            status, said = run_briefly(["fusermount3", "-u", "-z", str(point)])
            if status != 0:
                complain(f"cannot detach {point}: {said or f'status {status}'}")
        return points


def run_sshfs(argv: list[str], password: str, output: int) -> int | None:
    """Run sshfs until the mount is there or has failed; its status, or None if it took too long."""
    process = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=output, stderr=output, start_new_session=True
    )
    try:
        process.communicate(f"{password}\n".encode() if password else b"", timeout=MOUNT_LIMIT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # with the ssh that it waits for
        process.wait()
        return None
    return process.returncode


def run_briefly(argv: list[str]) -> tuple[int | None, str]:
    """Run a command that has no reason to take long."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=UNMOUNT_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, "no answer in time"
    return done.returncode, complaint(done.stdout.decode(errors="replace"))
