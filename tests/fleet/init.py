# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The first process of a host: makes its root of a fresh set of namespaces, then becomes tini.

    python3 -I -S init.py SPEC          SPEC is a file, see hosts.Spec

Runs on the machine's Python, without the package around it: nothing may be imported after the
root has changed, and starting has to be quick.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import stat
import sys

MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 4096, 16384, 1 << 18, 1 << 20
MNT_DETACH = 2
LIBC = ctypes.CDLL(None, use_errno=True)

DEVICES = (
    ("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9),
    ("tty", 5, 0), ("fuse", 10, 229),
)  # fmt: skip
LINKS = (
    ("pts/ptmx", "ptmx"), ("/proc/self/fd", "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"),
    ("fd/2", "stderr"),
)  # fmt: skip
ENVIRON = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
SYSTEMD = "/lib/systemd/systemd"
# What a boot does without it: services as their links say, and then sshd, whose pid file says that it listens.
BOOT = """
for script in /etc/rc2.d/S*; do [ -x "$script" ] && "$script" start; done
exec /usr/sbin/sshd -D -e
"""


def check(result: int, what: str) -> None:
    """Raise for a failed system call."""
    if result:
        code = ctypes.get_errno()
        raise OSError(code, f"cannot {what}: {os.strerror(code)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Do mount(2)."""
    given = (text.encode() or None for text in (source, target, kind))
    check(LIBC.mount(*given, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def make_devices(dev: str) -> None:
    """Fill /dev with what every program may expect, and with FUSE."""
    mount("tmpfs", dev, "tmpfs", MS_NOSUID, "mode=755,size=1m")
    for name, major, minor in DEVICES:
        os.mknod(f"{dev}/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(f"{dev}/{name}", 0o666)
    for name in ("pts", "shm"):
        os.mkdir(f"{dev}/{name}")
    mount("devpts", f"{dev}/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5")
    mount("tmpfs", f"{dev}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for source, name in LINKS:
        os.symlink(source, f"{dev}/{name}")


def make_root(spec: dict) -> None:
    """Mount all that a host sees below its new root."""
    root = f"{spec['directory']}/root"
    layers = ",".join(
        (
            f"lowerdir={spec['lower']}",
            f"upperdir={spec['directory']}/upper",
            f"workdir={spec['directory']}/work",
        )
    )
    mount("overlay", root, "overlay", 0, layers)
    mount("proc", f"{root}/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount("sysfs", f"{root}/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    make_devices(f"{root}/dev")
    mount("tmpfs", f"{root}/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    mount("tmpfs", f"{root}/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for name in ("sshd", "lock"):
        os.mkdir(f"{root}/run/{name}")
    for source, target in spec["binds"]:
        if not os.path.exists(f"{root}{target}"):
            os.makedirs(f"{root}{target}")
        mount(source, f"{root}{target}", "", MS_BIND)
    mount("tmpfs", f"{root}/sys/fs/cgroup", "tmpfs", 0, "mode=755,size=64k")
    for name, kind, options in spec["cgroups"]:
        os.mkdir(f"{root}/sys/fs/cgroup/{name}")
        mount("cgroup", f"{root}/sys/fs/cgroup/{name}", kind, 0, options)


def change_root(root: str) -> None:
    """Make `root` the root and let go of the old one. Shared, as systemd has it."""
    os.chdir(root)
    os.mkdir("run/old")
    check(LIBC.pivot_root(b".", b"run/old"), f"change the root to {root}")
    os.chdir("/")
    check(LIBC.umount2(b"/run/old", MNT_DETACH), "let go of the old root")
    os.rmdir("/run/old")
    mount("", "/", "", MS_REC | MS_SHARED)


def write_ids(proc: str, directory: str) -> None:
    """Write down this process and its parent, by the ids that the machine has for them (processes.save)."""
    own = read_stat(f"{proc}/self/stat")
    parent = read_stat(f"{proc}/{own[3]}/stat")
    for name, fields in (("init", own), ("outer", parent)):
        with open(f"{directory}/{name}.new", "w", encoding="ascii") as file:
            file.write(f"{fields[0]} {fields[21]}\n")
        os.replace(f"{directory}/{name}.new", f"{directory}/{name}")


def read_stat(path: str) -> list[str]:
    """The fields of proc(5)'s stat, from 0. Names of programs that start a host have no blanks."""
    with open(path, encoding="utf-8") as file:
        return file.read().split()


def main() -> None:
    """Be a host."""
    with open(sys.argv[1], encoding="utf-8") as file:
        spec = json.load(file)
    write_ids(spec["proc"], spec["directory"])
    socket.sethostname(spec["name"])
    mount("", "/", "", MS_REC | MS_PRIVATE)
    make_root(spec)
    change_root(f"{spec['directory']}/root")
    if os.path.exists(SYSTEMD):
        os.execve(SYSTEMD, [SYSTEMD], {**ENVIRON, "container": "fleet"})
    os.execve("/usr/bin/tini", ["tini", "-g", "--", "sh", "-c", BOOT], ENVIRON)


if __name__ == "__main__":
    main()
