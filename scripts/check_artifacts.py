#!/usr/bin/env python3
"""Look into what we ship.

check_artifacts.py wheel            build the agent's wheel twice: same bytes, right contents
check_artifacts.py collection DIR   build the tarball into DIR, and once more from a copy of the checkout: same bytes,
                                    the wheel is in, nothing of the workshop is
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from build_collection import build as build_collection

ROOT = Path(__file__).resolve().parent.parent
# An installed collection may only rely on these; the rest is for people and for Galaxy.
RUNTIME = {"extensions", "meta", "playbooks", "plugins", "roles"}
PEOPLE = {"CHANGELOG.md", "CHANGELOG.rst", "LICENSE", "LICENSES", "README.md", "REUSE.toml"}
PEOPLE |= {"CONTRIBUTING.md", "SECURITY.md", "changelogs", "docs", "examples"}
GALAXY = {"FILES.json", "MANIFEST.json"}
GALAXY_LIMIT = 20 * 1024 * 1024


def build_wheel() -> Path:
    command = [sys.executable, str(ROOT / "scripts" / "build_wheel.py")]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return ROOT / printed.splitlines()[-1]


def check_wheel() -> Iterator[str]:
    digests = [hashlib.sha256(build_wheel().read_bytes()).hexdigest() for dummy in range(2)]
    if digests[0] != digests[1]:
        yield f"two builds, two wheels: {digests[0]} and {digests[1]}"
    wheel = build_wheel()
    names = set(zipfile.ZipFile(wheel).namelist())
    source = ROOT / "agent" / "src"
    for path in source.rglob("*"):
        name = path.relative_to(source).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and name not in names:
            yield f"{wheel.name}: {name} is missing"
    commands = [
        item.external_attr >> 16 & 0o111
        for item in zipfile.ZipFile(wheel).infolist()
        if item.filename.endswith(".data/scripts/plugind")
    ]
    if commands != [0o111]:
        yield f"{wheel.name}: no command plugind that can be executed"
    if not any(name.endswith("licenses/LICENSE") for name in names):
        yield f"{wheel.name}: no licence text"
    print(f"{wheel.relative_to(ROOT)} sha256:{digests[0]} {wheel.stat().st_size} bytes")


def copy_checkout(target: Path) -> None:
    """All that a commit would have, and the wheel; made in another order, at another time."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    wheels = [path.relative_to(ROOT) for path in (ROOT / "roles/agent/files").glob("plugind-*.whl")]
    for name in sorted([*filter(None, listed.split("\0")), *map(str, wheels)], reverse=True):
        if (ROOT / name).exists():  # one that was deleted is still in the index
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name, follow_symlinks=False)
            shutil.copymode(ROOT / name, target / name, follow_symlinks=False)


def check_same(tarball: Path) -> Iterator[str]:
    """Whether a copy of the checkout makes the same tarball."""
    with tempfile.TemporaryDirectory() as name:
        copy_checkout(Path(name, "copy"))
        again = build_collection(Path(name), Path(name, "copy"))
        if again.read_bytes() == tarball.read_bytes():
            return
        lists = []
        for path in (tarball, again):
            with tarfile.open(path) as archive:
                lists.append({member.name for member in archive.getmembers()})
    yield f"{tarball.name}: two builds, two tarballs"
    for name in sorted(lists[0] ^ lists[1]):
        yield f"{tarball.name}: {name} is in one and not in the other: does git know it?"


def check_collection(folder: Path) -> Iterator[str]:
    tarball = build_collection(folder, ROOT)
    yield from check_same(tarball)
    with tarfile.open(tarball) as archive:
        names = [member.name for member in archive.getmembers() if member.isfile()]
    for top in sorted({name.split("/")[0] for name in names} - RUNTIME - PEOPLE - GALAXY):
        yield f"{tarball.name}: {top} is packed; build_ignore in galaxy.yml should name it"
    for name in names:
        if "__pycache__" in name or name.endswith((".pyc", ".tar.gz")):
            yield f"{tarball.name}: {name} is packed"
    wheels = [name for name in names if name.startswith("roles/agent/files/plugind-")]
    if len(wheels) != 1:
        yield f"{tarball.name}: one agent wheel wanted, found {wheels}"
    if tarball.stat().st_size > GALAXY_LIMIT:
        yield f"{tarball.name}: {tarball.stat().st_size} bytes, Galaxy takes {GALAXY_LIMIT}"
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    print(f"{tarball.name} sha256:{digest} {len(names)} files, {tarball.stat().st_size} bytes")


if __name__ == "__main__":
    if sys.argv[1:] == ["wheel"]:
        problems = list(check_wheel())
    elif sys.argv[1:2] == ["collection"] and len(sys.argv) == 3:
        problems = list(check_collection(Path(sys.argv[2])))
    else:
        sys.exit(__doc__)
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(bool(problems))
