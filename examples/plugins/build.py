#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Build the data directory of a managed plugin: ``config.json`` and ``rootfs/``.

    python3 examples/plugins/build.py localdir --output build/localdir

The plugin's directory holds a ``recipe.toml`` that says what goes in (see README.md beside this file). The work is done in
two layers:

1. *base*: mmdebstrap unpacks Debian packages into a scratch tree, without running a single maintainer script. From it we
   copy what the recipe names, the Python standard library, and the shared libraries that those programs are linked with.
   Choosing what to take, instead of what to throw away, makes 20 MB out of 60. The base depends on packages only, so
   ``--cache DIR`` keeps it as a tar file named by the hash of everything that went into it.
2. *files*: the plugin's own files, copied on top. This takes milliseconds.

The packages come from wherever this machine's own apt gets them; nothing here knows a mirror. Needs root (chroot).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent

# python3-minimal is the interpreter, libpython3-stdlib the library; "python3" itself would only add maintainer scripts.
# busybox is for the person who does `runc exec ID sh` in the middle of the night.
BASE_PACKAGES = ("python3-minimal", "libpython3-stdlib", "busybox")
BASE_PROGRAMS = ("usr/bin/python3", "usr/bin/busybox")
APPLETS = ("sh", "cat", "df", "env", "grep", "id", "kill", "ls", "mount", "ps", "stat", "tail", "umount")

# libgcc_s is loaded at run time by pthread_cancel, so the linker's list never shows it.
LOADED_AT_RUN_TIME = ("usr/lib/*/libgcc_s.so.1", "usr/lib/*/libnss_dns.so.2", "usr/lib/*/libnss_files.so.2")

STDLIB_WITHOUT = ("__pycache__", "curses", "dbm", "distutils", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
                  "sqlite3", "test", "tkinter", "turtledemo", "turtle.py", "unittest", "xmlrpc")
# Extension modules that need no library of their own; without _ssl and _hashlib the rootfs has no OpenSSL (5 MB).
EXTENSIONS = ("_asyncio", "_contextvars", "_ctypes", "_json", "_multiprocessing", "_opcode", "_posixshmem",
              "_queue", "_typing", "_zoneinfo", "mmap", "resource", "termios")

# Mount points that an engine expects, and the directory without which it cannot reach the plugin's socket.
MERGED = ("bin", "sbin", "lib", "lib64")
DIRECTORIES = ("dev", "etc", "mnt", "proc", "root", "run/docker/plugins", "sys", "tmp", "var")
SMALL_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


class BuildError(Exception):
    """Something the person at the keyboard can do something about."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe.toml says."""

    directory: Path
    packages: tuple[str, ...]
    programs: tuple[str, ...]
    files: tuple[tuple[str, Path], ...]


# --- pure: what is to be done -----------------------------------------------------------------------------------------


def parse_recipe(directory: Path, text: str) -> Recipe:
    """Turn the text of a recipe.toml into a Recipe; ``files`` maps a path in the rootfs to one beside the recipe."""
    document = tomllib.loads(text)
    unknown = set(document) - {"packages", "programs", "files"}
    if unknown:
        raise BuildError(f"cannot read {directory}/recipe.toml: unknown key {sorted(unknown)[0]!r}")
    return Recipe(
        directory=directory,
        packages=tuple(document.get("packages", ())),
        programs=tuple(document.get("programs", ())),
        files=tuple((target.lstrip("/"), directory / source) for target, source in document.get("files", {}).items()),
    )


def apt_options(dump: str) -> str:
    """From ``apt-config dump``, the settings about reaching a mirror (proxies, retries, validity checks)."""
    wanted = ("acquire::http", "acquire::https", "acquire::check-", "acquire::retries", "acquire::forceipv")
    return "".join(line + "\n" for line in dump.splitlines() if line.lower().startswith(wanted))


def mmdebstrap_argv(packages: Iterable[str], tree: Path, sources: Iterable[Path], apt_conf: Path) -> list[str]:
    """The one command that fetches and unpacks packages, onto a tree with the merged /usr that packages expect."""
    merged = f"for d in {' '.join(MERGED)}; do mkdir -p \"$1/usr/$d\" && ln -s usr/$d \"$1/$d\"; done"
    return ["mmdebstrap", "--mode=root", "--variant=extract", "--quiet", f"--include={','.join(packages)}",
            f"--aptopt={apt_conf}", '--aptopt=Acquire::Languages "none"', f"--setup-hook={merged}",
            "", str(tree), *(str(source) for source in sources)]


def base_key(recipe: Recipe, sources: Iterable[bytes], machine: str) -> str:
    """Names a base layer: the same key means the same packages out of the same sources, put together by the same code."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for part in (machine, *recipe.packages, "--", *recipe.programs):
        digest.update(part.encode() + b"\0")
    for source in sources:
        digest.update(source)
    return digest.hexdigest()[:16]


def linked_libraries(listing: str) -> list[str]:
    """Paths out of the dynamic linker's ``--list``: ``libz.so.1 => /lib/x/libz.so.1 (0x...)`` or ``/lib64/ld.so (0x...)``."""
    words = (line.split("=>")[-1].split() for line in listing.splitlines())
    return [found[0] for found in words if found and found[0].startswith("/")]


def in_tree(path: str) -> str:
    """An absolute path as one relative to the tree. /bin and /lib are links into /usr: one spelling, so nothing comes twice."""
    name = os.path.normpath("/" + path).lstrip("/")
    return f"usr/{name}" if name.split("/")[0] in MERGED else name


# --- effects: doing it ------------------------------------------------------------------------------------------------


def run(argv: list[str]) -> str:
    """Run a command; its output is the answer, its complaint becomes the error."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BuildError(f"cannot run {argv[0]}: not installed") from None
    if done.returncode:
        raise BuildError(f"{argv[0]} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def apt_sources() -> list[Path]:
    """The files that tell this machine's apt where packages come from."""
    etc = Path("/etc/apt")
    found = [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*.list")),
             *sorted((etc / "sources.list.d").glob("*.sources"))]
    sources = [path for path in found if path.is_file() and path.stat().st_size]
    if not sources:
        raise BuildError("cannot find package sources: nothing in /etc/apt; name a file with --sources")
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
    """Shared libraries of the given programs. The tree's own dynamic linker knows best, so it is asked, in its chroot."""
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
        shutil.copytree(source, target, ignore=ignore, symlinks=False, ignore_dangling_symlinks=True)
        extensions += [str(path.relative_to(rootfs)) for path in target.glob("lib-dynload/*.so")]
    return extensions


def compile_stdlib(rootfs: Path) -> None:
    """Replace the library's sources by bytecode: half the start-up time, and no __pycache__ written into a running rootfs."""
    run(["chroot", str(rootfs), "/usr/bin/python3", "-m", "compileall", "-b", "-q",
         "--invalidation-mode", "unchecked-hash", *(f"/{p.relative_to(rootfs)}" for p in rootfs.glob("usr/lib/python3.*"))])
    for path in rootfs.glob("usr/lib/python3.*/**/*.py"):
        path.unlink()
    for path in list(rootfs.glob("usr/lib/python3.*/**/__pycache__")):
        shutil.rmtree(path)


def build_base(recipe: Recipe, rootfs: Path, scratch: Path, sources: list[Path]) -> None:
    """Make the base layer: fetch, choose, compile."""
    tree, apt_conf = scratch / "tree", scratch / "apt.conf"
    apt_conf.write_text(apt_options(run(["apt-config", "dump"])))
    run(mmdebstrap_argv((*BASE_PACKAGES, *recipe.packages), tree, sources, apt_conf))
    rootfs.mkdir(mode=0o755)
    for name in MERGED:
        (rootfs / "usr" / name).mkdir(parents=True, exist_ok=True)
        (rootfs / name).symlink_to(f"usr/{name}")
    for name in DIRECTORIES:
        (rootfs / name).mkdir(parents=True, exist_ok=True)
    programs = (*BASE_PROGRAMS, *(program.lstrip("/") for program in recipe.programs))
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


def obtain_base(recipe: Recipe, rootfs: Path, scratch: Path, sources: list[Path], cache: Path | None) -> None:
    """The base layer out of the cache; built, and put there, if it is not in yet."""
    if cache is None:
        return build_base(recipe, rootfs, scratch, sources)
    key = base_key(recipe, [source.read_bytes() for source in sources], os.uname().machine)
    kept = cache / f"base-{key}.tar"
    if not kept.exists():
        build_base(recipe, rootfs, scratch, sources)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as beside:
            half = Path(beside) / "base.tar"
            run(["tar", "--numeric-owner", "-C", str(rootfs), "-cf", str(half), "."])
            half.rename(kept)          # whole or not at all: two builds may run side by side
        return None
    rootfs.mkdir(mode=0o755)
    run(["tar", "--numeric-owner", "-C", str(rootfs), "-xpf", str(kept)])
    return None


def add_files(recipe: Recipe, rootfs: Path, config: dict[str, object]) -> None:
    """Copy the plugin's own files and make the directories that its config.json mounts something on."""
    for name, source in recipe.files:
        target = rootfs / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    for name in filter(None, [config.get("propagatedMount"), config.get("workdir")]):
        (rootfs / str(name).lstrip("/")).mkdir(parents=True, exist_ok=True)


def settle_times(rootfs: Path, epoch: int) -> None:
    """One time stamp for everything, so that the same content makes the same layer digest."""
    for directory, names, files in os.walk(rootfs, topdown=False):
        for name in (*names, *files):
            os.utime(Path(directory) / name, (epoch, epoch), follow_symlinks=False)
    os.utime(rootfs, (epoch, epoch))


def live_mounts(directory: Path) -> list[str]:
    """Mount points at or below a directory, from this process's mount table."""
    prefix = str(directory.resolve())
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point == prefix or point.startswith(prefix + "/")]


def clear_output(output: Path, *, replace: bool) -> None:
    """Make room for the result, and never delete anything that is not an earlier one."""
    if not output.exists() or not any(output.iterdir()):
        return
    if not replace:
        raise BuildError(f"cannot write to {output}: not empty (--replace overwrites an earlier build)")
    if {entry.name for entry in output.iterdir()} - {"config.json", "rootfs"}:
        raise BuildError(f"cannot replace {output}: it holds more than config.json and rootfs")
    if live_mounts(output):
        raise BuildError(f"cannot replace {output}: {live_mounts(output)[0]} is a mount point")
    shutil.rmtree(output)


def build(recipe: Recipe, config_file: Path, output: Path, sources: list[Path], cache: Path | None) -> None:
    """Put together one plugin's data directory; it appears at its place complete or not at all."""
    config = json.loads(config_file.read_text())
    output.parent.mkdir(parents=True, exist_ok=True)
    # Beside the output, so that the last step is a rename and not a copy between file systems.
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".build-") as name:
        scratch = Path(name)
        result = scratch / "result"
        result.mkdir(mode=0o755)
        obtain_base(recipe, result / "rootfs", scratch, sources, cache)
        add_files(recipe, result / "rootfs", config)
        settle_times(result / "rootfs", int(os.environ.get("SOURCE_DATE_EPOCH", "0")))
        shutil.copyfile(config_file, result / "config.json")
        if output.exists():
            output.rmdir()
        result.rename(output)


def find_plugin(name: str) -> Path:
    """A plugin is named by its directory, or by its name beside this file."""
    for directory in (Path(name), HERE / name):
        if (directory / "recipe.toml").is_file():
            return directory.resolve()
    raise BuildError(f"cannot find the plugin {name!r}: no recipe.toml in {Path(name)} or {HERE / name}")


def arguments(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Build the data directory (config.json and rootfs/) of a managed plugin.")
    parser.add_argument("plugin", help="name of an example (localdir, sshfs) or a directory with a recipe.toml")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="where config.json and rootfs/ go")
    parser.add_argument("--replace", action="store_true", help="overwrite an earlier build in DIR")
    parser.add_argument("--config", default="config.json", metavar="NAME", help="another config file beside the recipe")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep and look for finished base layers here")
    parser.add_argument("--sources", type=Path, action="append", metavar="FILE",
                        help="apt sources to use instead of this machine's (may be repeated)")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Do what the command line says; 1 if that was not possible."""
    options = arguments(argv)
    try:
        if os.geteuid() != 0:
            raise BuildError("cannot build a rootfs: needs root")
        directory = find_plugin(options.plugin)
        recipe = parse_recipe(directory, (directory / "recipe.toml").read_text())
        output = options.output.absolute()
        clear_output(output, replace=options.replace)
        cache = options.cache.absolute() if options.cache else None
        build(recipe, directory / options.config, output, options.sources or apt_sources(), cache)
    except (BuildError, OSError, ValueError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
