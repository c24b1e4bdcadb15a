# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.store.writeback import Writeback


class Disk:
    """Counts syncs; each goes on until `may_end` is set, and then fails if `fault` is."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.may_end = threading.Event()
        self.fault: OSError | None = None
        self.syncs = 0

    def sync(self, fd: int) -> None:
        os.fstat(fd)
        self.syncs += 1
        self.begun.release()
        self.may_end.wait()
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def writeback(disk: Disk, tmp_path: Path) -> Iterator[Writeback]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Writeback(fd, every=10, sync=disk.sync)
    os.close(fd)


def test_one_sync_at_a_time_and_none_for_little(disk: Disk, writeback: Writeback) -> None:
    writeback.wrote(9)
    assert disk.syncs == 0
    writeback.wrote(1)
    disk.begun.acquire()
    writeback.wrote(100)
    assert disk.syncs == 1
    disk.may_end.set()
    writeback.join()
    writeback.wrote(0)  # what came meanwhile is still waiting
    writeback.finish()
    assert disk.syncs == 2


def test_a_fault_of_any_sync_is_raised_at_the_end(disk: Disk, writeback: Writeback) -> None:
    disk.may_end.set()
    disk.fault = OSError(errno.EIO, os.strerror(errno.EIO))
    writeback.wrote(10)
    writeback.join()
    disk.fault = None
    writeback.wrote(10)
    with pytest.raises(errors.System, match="cannot write to the disk: Input/output error"):
        writeback.finish()
    assert disk.syncs == 2


def test_nothing_to_wait_for(writeback: Writeback) -> None:
    writeback.join()
    writeback.finish()


def test_a_real_disk(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    writeback = Writeback(fd, every=1)
    (tmp_path / "file").write_bytes(b"x")
    writeback.wrote(1)
    writeback.finish()
    os.close(fd)
