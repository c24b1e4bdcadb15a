# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""One file written to a directory and read back, to see whether a mounted volume does what it is for.

A plugin chose the directory and owns what leads there: see beneath.py. The file system may hang (FUSE,
NFS), and a thread in it cannot be ended: the work is a daemon thread of its own, which costs no place
among the others and keeps no process from ending.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import threading
from collections.abc import Iterator

from plugind import errors
from plugind.host import beneath, fs
from plugind.model.mountpoint import Mountpoint

_NAME = ".plugind-verify-"
_SIZE = 4096


async def try_out(mountpoint: Mountpoint, *, timeout: float) -> None:
    """Write a file into a directory, flush it, read it back, remove it.

    System says which step failed; Unavailable that it did not end within `timeout` seconds. The
    file may be left then.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(failure: errors.PlugindError | None) -> None:
        if done.done():
            return  # nobody waits any more
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)

    def work() -> None:
        failure: errors.PlugindError | None = None
        try:
            round_trip(mountpoint)
        except errors.PlugindError as exc:
            failure = exc
        except Exception as exc:  # noqa: BLE001 - else whoever waits would never know
            failure = errors.System(f"cannot use the volume: {type(exc).__name__}: {exc}")
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, failure)

    threading.Thread(target=work, name="round trip", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            await done
    except TimeoutError:
        raise errors.Unavailable(
            f"writing to the volume and reading back did not end within {timeout:g} s"
        ) from None


def round_trip(mountpoint: Mountpoint) -> None:
    """Do it. Blocking."""
    content = secrets.token_bytes(_SIZE)
    with beneath.opened(mountpoint) as place:
        found = _there_and_back(place.fd, content)
    if found != content:
        raise errors.System(
            f"the volume does not keep what is written: of {_SIZE} bytes {len(found)} came back"
            + (", and others" if found != content[: len(found)] else "")
        )


def _there_and_back(directory: int, content: bytes) -> bytes:
    name = _NAME + secrets.token_hex(8)
    try:
        _write(directory, name, content)
        return _read(directory, name)
    finally:
        with _doing("remove a file from the volume"), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=directory)


def _write(directory: int, name: str, content: bytes) -> None:
    with _doing("write a file to the volume"):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=directory)
        try:
            fs.write_all(fd, content)
            os.fsync(fd)
            # Else it would be read from this host's memory, whatever became of it.
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(fd)


def _read(directory: int, name: str) -> bytes:
    with _doing("read a file of the volume"):
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        with os.fdopen(fd, "rb") as file:
            return file.read(_SIZE + 1)


@contextlib.contextmanager
def _doing(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise errors.System(f"cannot {what}: {exc.strerror}") from exc
