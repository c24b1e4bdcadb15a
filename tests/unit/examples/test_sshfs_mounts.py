# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Running sshfs and fusermount3, with programs of ours in their place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sshfs_driver import mounts
from sshfs_driver.mounts import Sshfs, complaint, mounted_below
from sshfs_driver.options import Target
from volumeplugin import DriverError

MOUNTINFO = """\
22 1 254:0 / / rw shared:1 - ext4 /dev/vda rw
30 22 0:40 / /mnt/volumes/a rw shared:2 - fuse.sshfs u@h:/ rw,user_id=0
31 22 0:41 / /mnt/volumes/b\\040c rw shared:3 master:4 - fuse.sshfs u@h:/x rw
32 22 0:42 / /mnt/volumes rw - fuse.sshfs u@h:/ rw
33 22 0:43 / /mnt/volumes2/a rw - fuse.sshfs u@h:/ rw
34 22 0:44 / /mnt/volumes/d rw - ext4 /dev/vdb rw
"""


def test_only_mounts_of_ours_below_the_root() -> None:
    assert mounted_below(MOUNTINFO, Path("/mnt/volumes")) == [
        Path("/mnt/volumes/b c"), Path("/mnt/volumes/a"),
    ]  # fmt: skip


def test_complaints_are_one_line_of_what_matters() -> None:
    lost = "read: Connection reset by peer\n"
    added = "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n"
    assert complaint(f"{added}u@h: Permission denied.\r\n{lost}") == "u@h: Permission denied."
    assert complaint(lost) == "read: Connection reset by peer"
    assert complaint("a\n\nb\n") == "a; b"
    assert complaint("") == ""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """program("sshfs", "exit 1") puts a shell script of that name first in PATH."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, script: str) -> Path:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
        return tmp_path

    return put


@pytest.fixture
def sshfs(tmp_path: Path) -> Sshfs:
    return Sshfs(tmp_path / "known_hosts", 3)


TARGET = Target("u@h:/x", "s3cret")


def test_the_password_goes_over_stdin(program, sshfs: Sshfs) -> None:
    seen = program("sshfs", 'cat >"$(dirname "$0")/stdin"; echo "$@" >"$(dirname "$0")/argv"')
    sshfs.attach(TARGET, seen / "m")
    assert (seen / "stdin").read_text() == "s3cret\n"
    assert "s3cret" not in (seen / "argv").read_text()


def test_a_failure_is_told_in_the_words_of_sshfs(program, sshfs: Sshfs, tmp_path: Path) -> None:
    program("sshfs", "echo 'u@h: Permission denied.' >&2; exit 1")
    with pytest.raises(DriverError, match=r"^cannot mount u@h:/x: u@h: Permission denied\.$"):
        sshfs.attach(TARGET, tmp_path)
    program("sshfs", "exit 2")
    with pytest.raises(DriverError, match=r"^cannot mount u@h:/x: status 2$"):
        sshfs.attach(TARGET, tmp_path)


def test_what_stays_in_the_background_holds_nothing_up(program, sshfs: Sshfs) -> None:
    # As ssh does: a child that outlives sshfs and keeps its output open.
    seen = program("sshfs", 'sleep 60 & echo $! >"$(dirname "$0")/pid"')
    sshfs.attach(TARGET, seen / "m")
    os.kill(int((seen / "pid").read_text()), 9)


def test_a_server_that_never_answers_is_given_up(
    program, sshfs: Sshfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNT_LIMIT", 0.2)
    program("sshfs", "exec sleep 60")
    with pytest.raises(DriverError, match="no answer in time"):
        sshfs.attach(TARGET, tmp_path)


def test_an_unmount_that_fails_while_alive_is_an_error(program, sshfs: Sshfs) -> None:
    where = program("fusermount3", "echo 'Device or resource busy' >&2; exit 1")
    with pytest.raises(DriverError, match=r"^cannot unmount .*: Device or resource busy$"):
        sshfs.detach(where)


def test_a_dead_mount_is_detached(program, sshfs: Sshfs, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = program("fusermount3", 'echo "$@" >>"$(dirname "$0")/argv"; [ "$2" = -z ]')
    monkeypatch.setattr(Sshfs, "alive", lambda self, where: False)
    sshfs.detach(Path("/mnt/v"))
    assert (seen / "argv").read_text().splitlines() == ["-u /mnt/v", "-u -z /mnt/v"]


def test_alive(sshfs: Sshfs, tmp_path: Path) -> None:
    assert sshfs.alive(tmp_path)
    assert not sshfs.alive(tmp_path / "nothing")


def test_nothing_mounted_is_nothing_to_detach(sshfs: Sshfs, tmp_path: Path) -> None:
    assert sshfs.detach_all(tmp_path) == []
