# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The real host behind `container_ports.ContainerHost`: overlays, users, binds, name resolution."""

from __future__ import annotations

import os
from pathlib import Path

from plugind import errors
from plugind.engine.container_ports import Dirs
from plugind.host import (
    beneath,
    binds,
    copying,
    facts,
    fs,
    libc,
    mounts,
    overlay,
    rootfs,
    users,
)
from plugind.model.facts import Kernel
from plugind.model.mountpoint import Mountpoint
from plugind.model.settings import Settings
from plugind.spec.container import UserIds

_DIRECTORIES = ("/dev/pts", "/dev/shm", "/proc", "/sys")  # noqa: S108  in there
_HOSTS = """127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


class ContainerMachine:
    """This machine."""

    def assemble(self, image: Path, dirs: Dirs) -> None:
        """Mount the image below the container's changes, and lay what a container expects."""
        overlay.assemble(
            overlay.View(lower=image, upper=dirs.upper, work=dirs.work, merged=dirs.merged)
        )
        rootfs.prepare_rootfs(dirs.merged, _DIRECTORIES)

    def release(self, dirs: Dirs) -> None:
        """Unmount everything below the container's directory."""
        mounts.unmount_tree(dirs.root)

    def write_files(self, dirs: Dirs, hostname: str, *, own_network: bool) -> None:
        """Write the names; with the host's network they are the host's."""
        hosts = _HOSTS.encode() if own_network else _read(Path("/etc/hosts"), _HOSTS.encode())
        for name, data in (
            ("hosts", hosts),
            ("hostname", f"{hostname}\n".encode()),
            ("resolv.conf", _read(Path("/etc/resolv.conf"), b"")),
        ):
            try:
                # In place: a container that runs has the file mounted.
                dirs.file(name).write_bytes(data)
            except OSError as exc:
                raise errors.System(f'cannot write "{dirs.file(name)}": {exc.strerror}') from exc

    def resolve_user(self, rootfs: Path, text: str) -> UserIds:
        """Return who `user[:group]` is in that file system."""
        uid, gid, groups = users.resolve(rootfs, text)
        return UserIds(uid=uid, gid=gid, groups=groups)

    def masked_paths(self) -> tuple[str, ...]:
        """Return the CPUs' thermal files."""
        return facts.gather_facts(Settings()).thermal_throttle

    def kernel(self) -> Kernel:
        """Return what this machine's kernel is."""
        return facts.kernel()

    def prepare_source(self, path: str, *, create: bool) -> None:
        """Check that the source of a bind exists, or make it a directory."""
        if os.path.lexists(path):
            return
        if not create:
            raise errors.InvalidParameter(
                f'invalid mount config for type "bind": bind source path does not exist: {path}'
            )
        try:
            os.makedirs(path, mode=0o755, exist_ok=True)
        except OSError as exc:
            raise errors.System(
                f"error while creating mount source path '{path}': {exc.strerror}"
            ) from exc

    def content(self, rootfs: Path, target: str) -> Path | None:
        """Return the image's directory at `target`, links resolved inside the image."""
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = libc.open_in_root(root, target, os.O_PATH | os.O_DIRECTORY)
        except OSError:
            return None
        finally:
            os.close(root)
        try:
            # Nobody writes to an image, so that the path still means the same when it is used.
            path = Path(os.readlink(f"/proc/self/fd/{found}"))
        finally:
            os.close(found)
        return path if any(path.iterdir()) else None

    def copy_up(self, content: Path, volume: Mountpoint) -> None:
        """Copy an image's directory into a volume, if that is empty; owner and mode as well."""
        with beneath.opened(volume) as place:
            copying.fill(content, place.fd)

    def show_volume(self, volume: Mountpoint, dirs: Dirs, number: int) -> Path:
        """Bind what is open, not what a path names by the time when the runtime looks."""
        target = dirs.volumes / str(number)
        try:
            target.mkdir(mode=0o700, parents=True, exist_ok=True)
            with beneath.opened(volume) as source:
                place = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                try:
                    tree = libc.clone_tree("", source.fd)
                    binds.attach(tree, place, read_only=False, propagation="rprivate")
                finally:
                    os.close(place)
        except OSError as exc:
            raise errors.System(f'cannot show "{volume}" at "{target}": {exc.strerror}') from exc
        return target

    def hide_volumes(self, dirs: Dirs) -> None:
        """Unmount and remove the places."""
        if dirs.volumes.exists():
            mounts.unmount_tree(dirs.volumes)
            fs.remove_tree(dirs.volumes)


def _read(path: Path, default: bytes) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return default
