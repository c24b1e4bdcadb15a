#!/usr/bin/env python3
"""Build the collection's tarball, the same bytes every time, and print its path.

build_collection.py DIR [--from CHECKOUT]     DIR/plugind-engine-<version>.tar.gz

`ansible-galaxy collection build` decides what is packed. It writes down the present time, the times of a checkout's
files and the order in which a file system lists them; here all of that is put in order, and nothing else is touched.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GALAXY = Path(sys.executable).parent / "ansible-galaxy"

# The wheel's moment (scripts/build_wheel.py): 2026-01-01.
EPOCH = 1767225600


def settle_manifests(manifest: bytes, files: bytes) -> tuple[bytes, bytes]:
    """MANIFEST.json and FILES.json with the files in the order of their names.

    The first has the second's digest.
    """
    listed = json.loads(files)
    listed["files"].sort(key=lambda entry: entry["name"])
    settled = json.dumps(listed, indent=True).encode()
    described = json.loads(manifest)
    described["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(settled).hexdigest()
    return json.dumps(described, indent=True).encode(), settled


def settle(archive: bytes) -> bytes:
    """The same tarball without what is different from one build to the next."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
        members = {member.name: member for member in packed.getmembers()}
        contents = {
            name: stream.read()
            for name, member in members.items()
            if (stream := packed.extractfile(member) if member.isfile() else None)
        }
    contents["MANIFEST.json"], contents["FILES.json"] = settle_manifests(
        contents["MANIFEST.json"], contents["FILES.json"]
    )
    # Who installs it reads these two first.
    first = ["MANIFEST.json", "FILES.json"]
    order = first + sorted(members.keys() - set(first))
    return pack([members[name] for name in order], contents)


def pack(members: list[tarfile.TarInfo], contents: Mapping[str, bytes]) -> bytes:
    """A tarball of these members, in this order; no time is the present one."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            # Not the member itself: it carries the times of the file it came from to the nanosecond.
            entry = tarfile.TarInfo(member.name)
            entry.type, entry.mode, entry.linkname = member.type, member.mode, member.linkname
            entry.mtime = EPOCH
            content = contents.get(member.name, b"")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(packed.getvalue(), mtime=0)


def build(target: Path, checkout: Path) -> Path:
    """Build the collection of a checkout into `target`; appears complete or not at all."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target, prefix=".build-") as scratch:
        subprocess.run(
            [str(GALAXY), "collection", "build", str(checkout), "--output-path", scratch],
            check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        (built,) = Path(scratch).glob("*.tar.gz")
        built.write_bytes(settle(built.read_bytes()))
        return built.rename(target / built.name)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Build the collection's tarball.")
    parser.add_argument("target", type=Path, metavar="DIR")
    parser.add_argument("--from", dest="checkout", type=Path, default=ROOT, metavar="CHECKOUT")
    options = parser.parse_args(argv)
    print(build(options.target.resolve(), options.checkout.resolve()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
