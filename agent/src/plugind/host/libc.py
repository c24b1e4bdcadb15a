# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""System calls that Python 3.11 does not wrap, through libc; errors become OSError with the path."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_OPENAT2 = 437  # the same number on every architecture since Linux 5.6
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_IN_ROOT = 0x10
# Likewise, since 5.2 and 5.12.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_MOUNT_SETATTR = 442
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_OPEN_TREE_CLONE = 0x1
_MOVE_MOUNT_EMPTY_PATHS = 0x4 | 0x40
_MOUNT_ATTR_RDONLY = 0x1
_AGAIN = 32
_PR_SET_DUMPABLE = 4


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _raise(path: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    done = _libc.mount(
        os.fsencode(source),
        os.fsencode(target),
        fstype.encode(),
        ctypes.c_ulong(flags),
        data.encode() or None,
    )
    if done != 0:
        _raise(target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    if _libc.umount2(os.fsencode(target), ctypes.c_int(flags)) != 0:
        _raise(target)


def forbid_dumps() -> None:
    """prctl(PR_SET_DUMPABLE, 0): no core dump of this process, whose memory holds secrets.

    What it starts is not concerned: execve(2) sets the attribute anew.
    """
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        _raise("prctl")


def open_in_root(root_fd: int, path: str, flags: int, mode: int = 0) -> int:
    """openat2(2) with RESOLVE_IN_ROOT: `/` and every symlink mean something below `root_fd`.

    Links of /proc are refused: they are the one way out that RESOLVE_IN_ROOT leaves open.
    """
    how = _OpenHow(
        flags=flags | os.O_CLOEXEC, mode=mode, resolve=_RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS
    )
    for _ in range(_AGAIN):
        fd: int = _libc.syscall(
            ctypes.c_long(_OPENAT2),
            ctypes.c_int(root_fd),
            os.fsencode(path),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        if ctypes.get_errno() != 11:
            break
        # EAGAIN: something was renamed meanwhile and the kernel cannot vouch for "..".
    _raise(path)
    raise AssertionError("unreachable")


def open_directory(path: str) -> int:
    """openat2(2) of a directory as a place (O_PATH); no component of `path` may be a symlink."""
    how = _OpenHow(
        flags=os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, mode=0, resolve=_RESOLVE_NO_SYMLINKS
    )
    fd: int = _libc.syscall(
        ctypes.c_long(_OPENAT2),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(path),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if fd < 0:
        _raise(path)
    return fd


def clone_tree(path: str, directory: int = _AT_FDCWD) -> int:
    """open_tree(2): a copy of the mounts at `path` and below, not attached anywhere yet.

    With path "" it is what `directory` is open at.
    """
    fd: int = _libc.syscall(
        ctypes.c_long(_OPEN_TREE),
        ctypes.c_int(directory),
        os.fsencode(path),
        ctypes.c_uint(_OPEN_TREE_CLONE | _AT_RECURSIVE | _AT_EMPTY_PATH | os.O_CLOEXEC),
    )
    if fd < 0:
        _raise(path)
    return fd


def set_mount(fd: int, *, read_only: bool, propagation: int, recursive: bool) -> None:
    """mount_setattr(2) on a tree from `clone_tree`; `recursive` is about the propagation."""
    for flags, attr in (
        (_AT_RECURSIVE, _MountAttr(attr_set=_MOUNT_ATTR_RDONLY if read_only else 0)),
        (_AT_RECURSIVE if recursive else 0, _MountAttr(propagation=propagation)),
    ):
        done = _libc.syscall(
            ctypes.c_long(_MOUNT_SETATTR),
            ctypes.c_int(fd),
            b"",
            ctypes.c_uint(_AT_EMPTY_PATH | flags),
            ctypes.byref(attr),
            ctypes.c_size_t(ctypes.sizeof(attr)),
        )
        if done != 0:
            _raise("")


def move_mount(tree: int, place: int) -> None:
    """move_mount(2): attach a tree from `clone_tree` to a place from `open_directory`."""
    done = _libc.syscall(
        ctypes.c_long(_MOVE_MOUNT),
        ctypes.c_int(tree),
        b"",
        ctypes.c_int(place),
        b"",
        ctypes.c_uint(_MOVE_MOUNT_EMPTY_PATHS),
    )
    if done != 0:
        _raise("")
