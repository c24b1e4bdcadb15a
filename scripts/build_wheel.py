#!/usr/bin/env python3
"""Build the agent's wheel into roles/agent/files/, the same bytes every time, and print its path.

Needs hatchling beside the running Python (requirements/dev.txt). With --fingerprint it builds nothing and prints a
digest of all that the wheel is made from.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
AGENT = ROOT / "agent"
TARGET = ROOT / "roles" / "agent" / "files"
# Not beside the target: what is half done must not be packed into a tarball.
STAGING = ROOT / ".build"

# Any fixed moment will do (2026-01-01): it becomes the date of every file in the archive.
EPOCH = "1767225600"


def sources() -> list[Path]:
    """All that goes into the wheel, and what decides how."""
    package = [
        path
        for path in (AGENT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    metadata = [
        AGENT / "scripts" / "plugind",
        ROOT / "galaxy.yml",
        AGENT / "pyproject.toml",
        AGENT / "README.md",
        Path(__file__).resolve(),
    ]
    return sorted(package) + metadata


def fingerprint() -> str:
    digest = hashlib.sha256()
    for path in sources():
        content = path.read_bytes()
        digest.update(f"{path.relative_to(ROOT)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def build() -> Path:
    from hatchling.build import build_wheel

    os.environ["SOURCE_DATE_EPOCH"] = EPOCH
    # File modes end up in the archive; a checkout's umask must not.
    os.umask(0o022)
    os.chdir(AGENT)
    for directory in (TARGET, STAGING):
        directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=STAGING, prefix="wheel-") as staging:
        built = Path(staging) / build_wheel(staging)
        wheel = TARGET / built.name
        # One wheel, never two: the role takes the one that is there.
        for old in TARGET.glob("plugind-*.whl"):
            if old != wheel:
                old.unlink()
        built.replace(wheel)
    return wheel


if __name__ == "__main__":
    if sys.argv[1:] == ["--fingerprint"]:
        print(fingerprint())
    elif sys.argv[1:]:
        sys.exit(f"usage: {sys.argv[0]} [--fingerprint]")
    else:
        print(build().relative_to(ROOT))
