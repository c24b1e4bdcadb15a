# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A new machine: a Debian with nothing on it, this machine's kernel and network, and the ways by which this machine
gets packages.

    with debian.running(directory, archive) as shell:
        shell.type("apt-get install git", answers="y")

Everything on it is gone afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import docs.host as host
from support import daemon

ROOT = daemon.REPOSITORY
#: Where the project is published, for whoever reads the documentation, and where it is on the machine.
PUBLISHED = "https://example.com/plugind.engine"
MIRROR = "/srv/plugind.engine.git"
CERTIFICATES = "/srv/certificates.pem"
#: The machine's first root file system, as an archive.
BASE = "/srv/base.tar"
#: How this machine reaches other machines.
PASSED = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL", "PIP_DEFAULT_TIMEOUT")
BEGIN = """
set -e
place=$1
root=$place/root
mkdir -p "$root$place"
mount --bind "$root" "$root"
mount --bind "$place" "$root$place"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mkdir "$root/old"
cd "$root"
pivot_root . old
cd /
umount -l /old
mount --make-rshared /
"""


def make(archive: Path) -> None:
    """Write a new Debian's root file system into a tar archive, with the lists of apt."""
    sys.path.append(str(ROOT / "examples" / "plugins"))
    import baselayer

    daemon.require("mmdebstrap", "unshare")
    settings = archive.with_suffix(".apt")
    settings.write_text(baselayer.apt_options(baselayer.run(["apt-config", "dump"])))
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase", "--quiet", "--skip=cleanup/apt/lists"]
    argv += [f"--aptopt={settings}", '--aptopt=Acquire::Languages "none"']
    argv += ["", str(archive), *map(str, baselayer.apt_sources())]
    baselayer.run(argv)


@contextlib.contextmanager
def running(directory: Path, archive: Path) -> Iterator[host.Shell]:
    """Start the machine, whose disk is `directory`; the project can be cloned on it."""
    root = directory / "root"
    root.mkdir(parents=True)
    for argv in (
        ["tar", "-x", "-C", str(root), "-f", str(archive)],
        ["git", "clone", "--quiet", "--bare", str(ROOT), f"{root}{MIRROR}"],
    ):
        subprocess.run(argv, check=True)
    (root / "etc/gitconfig").write_text(
        f'[url "{MIRROR}"]\n\tinsteadOf = {PUBLISHED}\n[safe]\n\tdirectory = *\n'
    )
    shutil.copyfile(archive, f"{root}{BASE}")
    for name in ("etc/resolv.conf", "etc/hosts"):
        (root / name).write_bytes(Path("/", name).read_bytes())
    env = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "ANSIBLE_NOCOLOR": "1",
    }
    env |= {name: os.environ[name] for name in PASSED if name in os.environ}
    env |= _certificates(root)
    with host.started(directory, BEGIN + host.LOOP, env) as shell:
        yield shell


def _certificates(root: Path) -> dict[str, str]:
    """Let pip on the machine trust whom it trusts here, if that is said."""
    trusted = os.environ.get("PIP_CERT")
    if not trusted:
        return {}
    shutil.copyfile(trusted, f"{root}{CERTIFICATES}")
    return {"PIP_CERT": CERTIFICATES}
