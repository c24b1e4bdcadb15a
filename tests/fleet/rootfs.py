# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What is on a host's new disk: a Debian with what the agent needs, made once and kept.

The packages come from wherever this machine's own apt gets them. Hosts share the tree and write beside it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".build" / "fleet"
PACKAGES = (
    "ca-certificates", "conmon", "openssh-server", "procps", "python3", "python3-venv", "runc",
    "sudo", "tini",
)  # fmt: skip
#: What makes it the first process of a host, as on most real ones.
SYSTEMD = ("systemd", "systemd-sysv")
#: Whom Ansible logs in as: an ordinary user who may use sudo.
USER = "deploy"

# Files that no host reads, half of the tree's size.
_WITHOUT = ("/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/man/*")
_FILES = {
    "etc/ssh/sshd_config": (0o644, """\
HostKey /etc/ssh/host_key
PidFile /run/fleet/sshd
AuthorizedKeysFile /etc/ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 200
MaxSessions 100
Subsystem sftp internal-sftp
"""),
    "etc/sudoers.d/deploy": (0o440, f"{USER} ALL=(ALL) NOPASSWD: ALL\n"),
    "etc/resolv.conf": (0o644, ""),
}  # fmt: skip
# "*" and not "!" for the password, with which sshd takes an account for locked.
_SETTLE = f"""
set -e
useradd --create-home --shell /bin/bash --password '*' {USER}
rm -f /etc/ssh/ssh_host_* /etc/rc?.d/[SK]*
"""


def obtain(cache: Path = CACHE, *, more: Sequence[str] = ()) -> Path:
    """The tree, made first if there is none of these packages and `more`; takes a minute or two."""
    sys.path.append(str(REPOSITORY / "examples" / "plugins"))
    import baselayer

    sources = baselayer.apt_sources()
    packages = (*PACKAGES, *more)
    tree = cache / f"rootfs-{_key(packages, (source.read_bytes() for source in sources))}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "rootfs.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            options = baselayer.apt_options(baselayer.run(["apt-config", "dump"]))
            with tempfile.TemporaryDirectory(dir=cache, prefix=".rootfs-") as beside:
                _build(Path(beside), packages, options, sources).rename(tree)
    return tree


def _key(packages: Sequence[str], sources: Iterable[bytes]) -> str:
    recipe = (packages, _WITHOUT, sorted(_FILES.items()), _SETTLE, os.uname().machine)
    digest = hashlib.sha256(repr(recipe).encode())
    for source in sources:
        digest.update(source)
    return digest.hexdigest()[:16]


def _build(directory: Path, packages: Sequence[str], options: str, sources: Iterable[Path]) -> Path:
    tree = directory / "tree"
    (directory / "apt.conf").write_text(options)
    argv = [
        *("mmdebstrap", "--mode=root", "--variant=minbase", "--quiet"),
        f"--include={','.join(packages)}",
        f"--aptopt={directory / 'apt.conf'}",
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Apt::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _WITHOUT),
        "",
        str(tree),
        *(str(source) for source in sources),
    ]
    _run(argv)
    _run(["chroot", str(tree), "sh", "-c", _SETTLE])
    for name, (mode, text) in _FILES.items():
        (tree / name).write_text(text)
        (tree / name).chmod(mode)
    shutil.rmtree(tree / "var/lib/apt/lists")
    return tree


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(
            f"cannot run {argv[0]}: it ended with {done.returncode}: {done.stderr.strip()}"
        )
