# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Can this host run a plugin's entrypoint? Asked before launching, for an answer that says why.

The runtime reports a binary of another architecture as "exec format error" in the plugin's own
output, after the start succeeded; here the same thing has names. Everything is looked up inside
the rootfs (openat2 RESOLVE_IN_ROOT), by the runtime's rules: a bare name along PATH, a relative
one from workdir. What lies below one of the plugin's mounts cannot be known before, and passes.
"""

from __future__ import annotations

import os
import platform
import posixpath
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from plugind import errors
from plugind.host import libc
from plugind.model import config as config_
from plugind.model import settings as settings_
from plugind.spec import defaults

#: ELF's e_machine, by the name that uname -m uses. Those that differ in word size share a number.
MACHINES = {
    3: "i686",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390x",
    40: "armv7l",
    62: "x86_64",
    183: "aarch64",
    243: "riscv64",
    258: "loongarch64",
}
#: What a kernel runs besides its own: 32 bit programs.
COMPATIBLE = {"x86_64": ("i686",), "aarch64": ("armv7l", "armv8l"), "armv8l": ("armv7l",)}
_ELF = b"\x7fELF"
_MAX_SCRIPTS = 4  # as the kernel: a script's interpreter may be a script


def check_entrypoint(
    rootfs: Path,
    config: config_.PluginConfig,
    env: Sequence[str] | None = None,
    *,
    machine: str | None = None,
) -> None:
    """Raise System unless `config.entrypoint` can be executed on this host. Blocking.

    `env` is the plugin's environment after `set` (the config's defaults if None); `machine` is the
    host's architecture as uname calls it.
    """
    if not config.entrypoint or not config.entrypoint[0]:
        raise errors.InvalidParameter("cannot start plugin: its config has no entrypoint")
    if env is None:
        env = settings_.default_settings(config).env
    try:
        root_fd = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise errors.System(f'cannot check rootfs "{rootfs}": {exc.strerror}') from exc
    try:
        _Rootfs(root_fd, config, machine or platform.machine()).check(config.entrypoint[0], env)
    finally:
        os.close(root_fd)


def elf_machine(head: bytes) -> str | None:
    """Return the architecture in an ELF header, None if it is not one."""
    if len(head) < 20 or not head.startswith(_ELF):
        return None
    big = head[5] == 2
    number = int.from_bytes(head[18:20], "big" if big else "little")
    if number == 21 and not big:
        return "ppc64le"
    return MACHINES.get(number, f"machine {number}")


def script_interpreter(head: bytes) -> str | None:
    """Return the program in a `#!` line, None if there is no such line."""
    if not head.startswith(b"#!"):
        return None
    words = head[2:].split(b"\n", 1)[0].split()
    return os.fsdecode(words[0]) if words else ""


class _Rootfs:
    """One check: the rootfs by descriptor, and where the plugin's mounts will lie on it."""

    def __init__(self, root_fd: int, config: config_.PluginConfig, machine: str) -> None:
        self._root_fd = root_fd
        self._work_dir = config.work_dir or "/"
        self._machine = machine
        destinations = (mount.destination for mount in config.mounts)
        self._mounted = [_normal(path) for path in (*destinations, config.propagated_mount) if path]

    def check(self, name: str, env: Iterable[str]) -> None:
        candidates = self._candidates(name, env)
        reasons = []
        for path in candidates:
            if self._is_below_mount(path):
                return
            try:
                head = self._read_head(path)
            except OSError as exc:
                reasons.append(f"{path}: {exc.strerror}")
                continue
            self._check_head(path, head, f"entrypoint {path}", 0)
            return
        if "/" in name:
            raise errors.System(f'cannot start plugin: entrypoint "{name}": {reasons[0]}')
        raise errors.System(
            f'cannot start plugin: entrypoint "{name}" is not in the rootfs, looked in '
            + ", ".join(posixpath.dirname(path) for path in candidates)
        )

    def _candidates(self, name: str, env: Iterable[str]) -> list[str]:
        if "/" in name:
            return [_normal(posixpath.join(self._work_dir, name))]
        paths = [entry[5:] for entry in (defaults.PATH, *env) if entry.startswith("PATH=")]
        return [
            _normal(posixpath.join(self._work_dir, directory, name))
            for directory in paths[-1].split(":")
        ]

    def _is_below_mount(self, path: str) -> bool:
        return any(
            path == mounted or path.startswith(mounted.rstrip("/") + "/")
            for mounted in self._mounted
        )

    def _read_head(self, path: str) -> bytes:
        """Return the first bytes of an executable regular file; OSError otherwise."""
        fd = libc.open_in_root(self._root_fd, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            found = os.fstat(fd)
            if stat.S_ISDIR(found.st_mode):
                raise OSError(21, "is a directory", path)
            if not stat.S_ISREG(found.st_mode) or not found.st_mode & 0o111:
                raise OSError(13, "is not executable", path)
            return os.read(fd, 256)
        finally:
            os.close(fd)

    def _check_head(self, path: str, head: bytes, what: str, depth: int) -> None:
        machine = elf_machine(head)
        if machine is not None:
            if machine != self._machine and machine not in COMPATIBLE.get(self._machine, ()):
                raise errors.System(
                    f"cannot start plugin: {what} is built for {machine}, "
                    f"this host is {self._machine}"
                )
            return
        interpreter = script_interpreter(head)
        if interpreter is None:
            raise errors.System(
                f"cannot start plugin: {what} is neither an ELF program nor a #! script"
            )
        resolved = _normal(posixpath.join(self._work_dir, interpreter))
        if not interpreter or depth >= _MAX_SCRIPTS:
            raise errors.System(f"cannot start plugin: {what} has no usable #! line")
        if self._is_below_mount(resolved):
            return
        try:
            head = self._read_head(resolved)
        except OSError as exc:
            raise errors.System(
                f'cannot start plugin: {what} is a script for "{interpreter}": {exc.strerror}'
            ) from exc
        self._check_head(resolved, head, f'"{interpreter}", interpreter of {path},', depth + 1)


def _normal(path: str) -> str:
    """Normalise without following anything: links are the kernel's business."""
    return "/" + posixpath.normpath("/" + path).lstrip("/")
