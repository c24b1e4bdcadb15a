#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the demo does to the machine besides its show, and how it proves that nothing is left.

    machine.py claim          say that the demo is here; refuse where an agent is installed
    machine.py registry       start a private docker-registry on a free port; print the port
    machine.py image ROOTFS   make the image busybox of a plugin's busybox; print the archive's path
    machine.py podman         make a podman with a storage of the demo's own; print its directory for PATH
    machine.py release DEMO_SERVER   stop the servers, remove what was not there before
    machine.py leftovers      print what is left of an agent or a demo; fail if there is anything

Everything of the demo's own lies in /run/plugind-demo, and the plugin's build and what Podman has in
/var/lib/plugind-demo, because programs may not be run in /run. If the first exists, a demo runs or was cut off.
"""

from __future__ import annotations

import grp
import hashlib
import io
import json
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

PLACE = Path("/run/plugind-demo")
STORAGE = Path("/var/lib/plugind-demo")
# Where an agent has something, by the defaults of role plugind.engine.agent.
AGENT = (
    "/opt/plugind", "/etc/plugind/plugind.toml", "/var/lib/plugind/*", "/var/log/plugind/*", "/run/plugind",
    "/run/plugind.pid", "/usr/local/bin/plugind", "/etc/init.d/plugind", "/etc/rc?.d/[SK]??plugind",
    "/etc/systemd/system/plugind.service", "/etc/containers/containers.conf.d/50-plugind.conf",
    "/etc/ansible/facts.d/plugind.fact",
)  # fmt: skip
# What comes into being on the way and belongs to nobody: removed if it was not there before.
SHARED = (
    "/run/docker/plugins", "/run/docker", "/run/sshd", "/etc/plugind", "/var/lib/plugind", "/var/log/plugind",
    "/var/lib/plugind-builds", "/etc/containers/containers.conf.d", "/etc/containers", "/run/runc",
    "/dev/shm/libpod_lock",  # noqa: S108 - a name that Podman has, not ours
)  # fmt: skip
# Everything that an image needs to list and read a volume, beside the programs' names.
BUSYBOX = ("usr/bin/busybox", "usr/lib*/ld-linux*", "usr/lib/*/ld-linux*", "usr/lib/*/libc.so.6",
           "usr/lib/*/libresolv.so.2")  # fmt: skip
# Podman with its own storage, runtime and limits that work everywhere; options of `run` come after that word.
PODMAN = """#!/bin/sh
unset DOCKER_CONFIG  # it looks there for passwords, and fails without a file
if [ "$1" = run ]; then shift; set -- run --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 "$@"; fi
exec {podman} --root {storage}/root --runroot {storage}/run --tmpdir {storage}/tmp \\
    --network-config-dir {storage}/networks --storage-driver vfs --runtime runc \\
    --cgroup-manager cgroupfs --events-backend file "$@"
"""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def read(path: Path) -> str:
    """The text of a file in /proc; a process that has just ended has none."""
    try:
        return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


# ------------------------------------------------------------------------------------------------ who is here


def running_play() -> str:
    """Pid and start time of the ansible-playbook that this is a part of; else of our parent."""
    pid = found = os.getppid()
    while pid > 1:
        if "ansible-playbook" in read(Path(f"/proc/{pid}/cmdline")):
            found = pid
        pid = int(read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()[1])
    return identity(found)


def identity(pid: int) -> str:
    """Name a process for good: pids are used again."""
    stat = read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return f"{pid} {stat[19]}" if stat else ""


def claim() -> None:
    """Make PLACE; say "cut off" where an earlier demo has left it and everything else."""
    if os.geteuid() != 0:
        raise DemoError("the demo needs root: it installs an agent")
    if PLACE.exists():
        owner = read(PLACE / "owner")
        if owner and owner != running_play() and identity(int(owner.split()[0])) == owner:
            raise DemoError(f"another demo runs on this machine (pid {owner.split()[0]})")
        (PLACE / "owner").write_text(running_play())
        print("cut off")
        return
    there = list(traces())
    if there:
        raise DemoError(
            f"plugind is on this machine already ({', '.join(there)}), and the demo must not disturb it. Run the "
            "demo on another machine, or remove the agent first (role plugind.engine.agent, agent_state: absent)"
        )
    PLACE.mkdir(mode=0o711)
    (PLACE / "owner").write_text(running_play())
    (PLACE / "absent").write_text("\n".join(path for path in SHARED if not Path(path).exists()))
    print("claimed")


def traces() -> Iterator[str]:
    """Everything that an installed agent has somewhere."""
    for pattern in AGENT:
        yield from map(str, Path("/").glob(pattern.lstrip("/")))
    yield from (f"group {group.gr_name}" for group in grp.getgrall() if group.gr_name == "plugind")
    yield from processes()
    yield from mounts()


def sees_this_host(pid: str) -> bool:
    """Whether a process has the mounts that we have; not so in a container or a simulated host."""
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
    except OSError:  # it has ended
        return False


def processes() -> Iterator[str]:
    """Agent, monitor, plugins and servers: by what they were called with, or what is their root."""
    for directory in Path("/proc").glob("[0-9]*"):
        words = read(directory / "cmdline").split()
        ours = any(
            word.startswith(("/opt/plugind/", "/run/plugind", "/var/lib/plugind")) for word in words
        )
        program = Path(words[0].rstrip(":")).name if words else ""
        known = re.match(r"plugind|python|conmon|runc|crun|sshd|docker-registry|tail", program)
        # A plugin sees nothing of the host, but its table of mounts says where its root comes from,
        # and its parent is the host's conmon.
        parent = read(directory / "stat").rpartition(")")[2].split()[1:2]
        root = read(directory / "mountinfo").partition("\n")[0]
        if (ours and known and sees_this_host(directory.name)) or (
            "/plugind/plugins/" in root and parent and sees_this_host(parent[0])
        ):
            yield f"process {directory.name} ({' '.join(words)[:80]})"


def mounts() -> Iterator[str]:
    """What is mounted below our directories."""
    for line in filter(None, read(Path("/proc/self/mountinfo")).split("\n")):
        point = line.split(" ")[4]  # a path may hold any blank but these two
        if point.startswith(("/var/lib/plugind", "/run/plugind")):
            yield f"mount {point}"


# ---------------------------------------------------------------------------------------------------- servers


def start_registry() -> None:
    """Start Debian's docker-registry on a port that the kernel picks, and print the port."""
    directory = PLACE / "registry"
    directory.mkdir()
    config = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "storage")}},
        "http": {"addr": "127.0.0.1:0"},
    }
    (directory / "config.yml").write_text(json.dumps(config))
    log = directory / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip
    (directory / "owner").write_text(identity(process.pid))
    deadline = time.monotonic() + 30
    while not (found := re.search(r"listening on 127\.0\.0\.1:([0-9]+)", log.read_text())):
        if process.poll() is not None or time.monotonic() > deadline:
            raise DemoError(f"docker-registry did not start: {log.read_text()}")
        time.sleep(0.05)
    print(found.group(1))


def make_image(rootfs: str) -> None:
    """Make an archive, as `docker save` does, of the busybox that a plugin brings; print its path."""
    root, layer = Path(rootfs), io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for link in ("bin", "lib", "lib64", "sbin"):
            tar.add(root / link, link)
        for path in sorted({path for pattern in BUSYBOX for path in root.glob(pattern)}):
            tar.add(path, path.relative_to(root))
        for path in sorted((root / "usr/bin").iterdir()):
            if path.is_symlink() and path.readlink() == Path("busybox"):
                tar.add(path, path.relative_to(root))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = {
        "architecture": machine, "os": "linux", "config": {"Cmd": ["sh"], "Env": ["PATH=/usr/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": ["busybox:latest"], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer.getvalue(),
        "manifest.json": json.dumps(manifest).encode(),
    }
    archive = PLACE / "busybox.tar"
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    print(archive)


def make_podman() -> None:
    """Make the program `podman` where the machine has one; print the directory that has it."""
    podman, program = shutil.which("podman"), PLACE / "bin" / "podman"
    program.parent.mkdir()
    if podman:
        STORAGE.mkdir(mode=0o700, exist_ok=True)
        program.write_text(PODMAN.format(podman=podman, storage=STORAGE))
        program.chmod(0o755)
    print(program.parent)


def release(demo_server: str) -> None:
    """Stop the servers and remove what the demo has brought, also after half a start."""
    owner = read(PLACE / "registry" / "owner")
    if owner and identity(int(owner.split()[0])) == owner:
        pid = int(owner.split()[0])
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 10
        while identity(pid) == owner and "Z" not in read(Path(f"/proc/{pid}/stat")).split()[2:3]:
            if time.monotonic() > deadline:
                raise DemoError(f"docker-registry (pid {pid}) does not end")
            time.sleep(0.05)
    if (PLACE / "sshd").exists():
        subprocess.run([demo_server, "stop", str(PLACE / "sshd")], check=True)
    for name in read(PLACE / "absent").splitlines():
        path = Path(name)
        if path.name == "plugind-builds":
            shutil.rmtree(path, ignore_errors=True)
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file():
            path.unlink()
    shutil.rmtree(STORAGE, ignore_errors=True)
    shutil.rmtree(PLACE, ignore_errors=True)


def leftovers() -> None:
    """Fail if there is anything."""
    there = list(traces())
    there += [
        f"user {user.pw_name}" for user in pwd.getpwall() if PLACE in Path(user.pw_dir).parents
    ]
    there += [str(place) for place in (PLACE, STORAGE) if place.exists()]
    if there:
        raise DemoError("left behind: " + ", ".join(there))
    print("nothing is left behind")


def main(argv: list[str]) -> int:
    """Do what the command line says."""
    verbs = {
        "claim": claim, "registry": start_registry, "image": make_image, "podman": make_podman,
        "release": release, "leftovers": leftovers,
    }  # fmt: skip
    try:
        verbs[argv[0]](*argv[1:])
    except DemoError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
