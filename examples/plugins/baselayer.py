# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The base layer of a plugin's rootfs: Python, busybox and what a recipe names, out of Debian packages.

mmdebstrap unpacks the packages into a scratch tree. No maintainer script runs, so this takes seconds and
leaves no trace on the machine. From the tree we take programs, the shared libraries they are linked
with, and the standard library as bytecode; the rest is thrown away with the tree.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

# python3-minimal is the interpreter, libpython3-stdlib the library; "python3" itself would only add
# maintainer scripts. busybox is for the person who does `runc exec ID sh` in the middle of the night.
BASE_PACKAGES = ("python3-minimal", "libpython3-stdlib", "busybox")
BASE_PROGRAMS = ("usr/bin/python3", "usr/bin/busybox")
APPLETS = (
    "sh", "cat", "df", "env", "grep", "id", "kill", "ls", "mount", "ps", "stat", "tail",
    "umount",
)  # fmt: skip

# libgcc_s is loaded at run time by pthread_cancel, so the linker's list never shows it.
LOADED_AT_RUN_TIME = (
    "usr/lib/*/libgcc_s.so.1",
    "usr/lib/*/libnss_dns.so.2",
    "usr/lib/*/libnss_files.so.2",
)

STDLIB_WITHOUT = (
    "__pycache__", "curses", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "sqlite3", "test", "tkinter", "turtledemo", "turtle.py", "unittest", "xmlrpc",
)  # fmt: skip
# Extension modules that need no library of their own: without _ssl and _hashlib there is no OpenSSL
# in the rootfs (5 MB).
EXTENSIONS = (
    "_asyncio", "_contextvars", "_ctypes", "_json", "_multiprocessing", "_opcode", "_posixshmem",
    "_queue", "_typing", "_zoneinfo", "mmap", "resource", "termios",
)  # fmt: skip

MERGED = ("bin", "sbin", "lib", "lib64")  # links into /usr
# Mount points that an engine expects, and the directory of the plugin's socket.
DIRECTORIES = ("dev", "etc", "mnt", "proc", "root", "run/docker/plugins", "sys", "tmp", "var")
SMALL_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


@dataclass(frozen=True)
class Content:
    """What a recipe asks for beyond the base."""

    packages: tuple[str, ...] = ()  # Debian packages to unpack
    programs: tuple[str, ...] = ()  # which of their files to take


class BuildError(Exception):
    """Something the person at the keyboard can do something about."""


# --- pure: what is to be done ---------------------------------------------------------------------


def apt_options(dump: str) -> str:
    """From ``apt-config dump``, the settings about reaching a mirror (proxies, retries, validity)."""
    wanted = ("http", "https", "check-", "retries", "forceipv")
    lines = dump.splitlines()
    kept = [
        line for line in lines if line.lower().startswith(tuple(f"acquire::{w}" for w in wanted))
    ]
    return "".join(f"{line}\n" for line in kept)


def mmdebstrap_argv(
    packages: Iterable[str], tree: Path, sources: Iterable[Path], apt_conf: Path
) -> list[str]:
    """The command that fetches and unpacks packages, onto a tree with the merged /usr they expect."""
    merged = f'for d in {" ".join(MERGED)}; do mkdir -p "$1/usr/$d" && ln -s usr/$d "$1/$d"; done'
    return [
        *("mmdebstrap", "--mode=root", "--variant=extract", "--quiet"),
        f"--include={','.join(packages)}",
        f"--aptopt={apt_conf}",
        '--aptopt=Acquire::Languages "none"',
        f"--setup-hook={merged}",
        "",
        str(tree),
        *(str(source) for source in sources),
    ]


def base_key(content: Content, sources: Iterable[bytes], machine: str) -> str:
    """Names a base layer: equal keys mean equal packages, out of equal sources, by the same code."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for part in (machine, *content.packages, "--", *content.programs):
        digest.update(part.encode() + b"\0")
    for source in sources:
        digest.update(source)
    return digest.hexdigest()[:16]


def linked_libraries(listing: str) -> list[str]:
    """Paths out of the dynamic linker's ``--list``.

    Its lines are ``libz.so.1 => /lib/x/libz.so.1 (0x...)`` or ``/lib64/ld.so (0x...)``.
    """
    words = (line.split("=>")[-1].split() for line in listing.splitlines())
    return [found[0] for found in words if found and found[0].startswith("/")]


def in_tree(path: str) -> str:
    """An absolute path, relative to the tree; /bin and /lib are links into /usr: one spelling each."""
    name = os.path.normpath("/" + path).lstrip("/")
    return f"usr/{name}" if name.split("/")[0] in MERGED else name


# --- effects: doing it ----------------------------------------------------------------------------


def run(argv: list[str]) -> str:
    """Run a command; its output is the answer, its complaint becomes the error."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"cannot run {argv[0]}: not installed") from None
    if done.returncode:
        raise BuildError(
            f"{argv[0]} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}"
        )
    return done.stdout


def apt_sources() -> list[Path]:
    """The files that tell this machine's apt where packages come from."""
    etc = Path("/etc/apt")
    found = [
        etc / "sources.list",
        *sorted((etc / "sources.list.d").glob("*.list")),
        *sorted((etc / "sources.list.d").glob("*.sources")),
    ]
    sources = [path for path in found if path.is_file() and path.stat().st_size]
    if not sources:
        raise BuildError(
            "cannot find package sources: nothing in /etc/apt; name a file with --sources"
        )
    return sources


def copy_entry(tree: Path, rootfs: Path, name: str) -> None:
    """Copy one file out of the unpacked packages, and what its symbolic links lead to."""
    while True:
        source, target = tree / name, rootfs / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(target):
            shutil.copy2(source, target, follow_symlinks=False)
        if not source.is_symlink():
            return
        name = in_tree(os.path.join("/", os.path.dirname(name), source.readlink()))


def library_closure(tree: Path, names: Iterable[str]) -> Iterator[str]:
    """Shared libraries of the given programs, by the one who knows: the tree's own dynamic linker."""
    linkers = [*tree.glob("usr/lib64/ld-linux*.so*"), *tree.glob("usr/lib/ld-linux*.so*")]
    if not linkers:
        raise BuildError("cannot find the dynamic linker in the unpacked packages")
    linker = "/" + str(linkers[0].relative_to(tree))
    for name in names:
        for library in linked_libraries(run(["chroot", str(tree), linker, "--list", f"/{name}"])):
            yield in_tree(library)


def copy_stdlib(tree: Path, rootfs: Path) -> list[str]:
    """Copy the standard library; returns its extension modules, whose libraries are still wanted."""
    extensions: list[str] = []
    for source in sorted(tree.glob("usr/lib/python3.*")):

        def ignore(directory: str, names: list[str]) -> set[str]:
            if Path(directory).name == "lib-dynload":
                return {name for name in names if name.split(".")[0] not in EXTENSIONS}
            return {name for name in names if name in STDLIB_WITHOUT or name.startswith("config-3")}

        target = rootfs / source.relative_to(tree)
        shutil.copytree(
            source, target, ignore=ignore, symlinks=False, ignore_dangling_symlinks=True
        )
        extensions += [str(path.relative_to(rootfs)) for path in target.glob("lib-dynload/*.so")]
    return extensions


def compile_stdlib(rootfs: Path) -> None:
    """Replace the library's sources by bytecode.

    It halves the start-up time, and no __pycache__ is written into the rootfs of a running plugin.
    """
    libraries = [f"/{path.relative_to(rootfs)}" for path in rootfs.glob("usr/lib/python3.*")]
    # -b: beside the source, where Python looks if there is no source.
    argv = ["python3", "-m", "compileall", "-b", "-q", "--invalidation-mode", "unchecked-hash"]
    run(["chroot", str(rootfs), *argv, *libraries])
    for path in rootfs.glob("usr/lib/python3.*/**/*.py"):
        path.unlink()
    for path in list(rootfs.glob("usr/lib/python3.*/**/__pycache__")):
        shutil.rmtree(path)


def build_base(content: Content, rootfs: Path, scratch: Path, sources: list[Path]) -> None:
    """Make the base layer: fetch, choose, compile."""
    tree, apt_conf = scratch / "tree", scratch / "apt.conf"
    apt_conf.write_text(apt_options(run(["apt-config", "dump"])))
    run(mmdebstrap_argv((*BASE_PACKAGES, *content.packages), tree, sources, apt_conf))
    rootfs.mkdir(mode=0o755)
    for name in MERGED:
        (rootfs / "usr" / name).mkdir(parents=True, exist_ok=True)
        (rootfs / name).symlink_to(f"usr/{name}")
    for name in DIRECTORIES:
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    programs = (*BASE_PROGRAMS, *(program.lstrip("/") for program in content.programs))
    for name in (*programs, *copy_stdlib(tree, rootfs)):
        if not (tree / name).exists():
            raise BuildError(f"no package provides /{name}")
        copy_entry(tree, rootfs, name)
        for library in library_closure(tree, [name]):
            copy_entry(tree, rootfs, library)
    for pattern in LOADED_AT_RUN_TIME:
        for path in tree.glob(pattern):
            copy_entry(tree, rootfs, str(path.relative_to(tree)))
    for name, text in SMALL_FILES.items():
        (rootfs / name).write_text(text)
    (rootfs / "etc/mtab").symlink_to("/proc/mounts")
    for applet in APPLETS:
        (rootfs / "usr/bin" / applet).symlink_to("busybox")
    (rootfs / "tmp").chmod(0o1777)
    compile_stdlib(rootfs)


def obtain_base(
    content: Content, rootfs: Path, scratch: Path, sources: list[Path], cache: Path | None
) -> None:
    """The base layer out of the cache; built, and put there, if it is not in yet."""
    if cache is None:
        return build_base(content, rootfs, scratch, sources)
    key = base_key(content, [source.read_bytes() for source in sources], os.uname().machine)
    kept = cache / f"base-{key}.tar"
    if not kept.exists():
        build_base(content, rootfs, scratch, sources)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as beside:
            half = Path(beside) / "base.tar"
            run(["tar", "--numeric-owner", "-C", str(rootfs), "-cf", str(half), "."])
            half.rename(kept)  # whole or not at all: two builds may run side by side
        return None
    rootfs.mkdir(mode=0o755)
    run(["tar", "--numeric-owner", "-C", str(rootfs), "-xpf", str(kept)])
    return None
