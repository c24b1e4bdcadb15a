# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""scripts/build_collection.py: what differs from build to build is put in order, and nothing else is touched."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts" / "build_collection.py"


@pytest.fixture(scope="module")
def build_collection() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_collection", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["build_collection"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def archive(names: list[str], mtime: int) -> bytes:
    """A tarball as ansible-galaxy makes it, with the files in this order and of this time."""
    files = json.dumps({"files": [{"name": name} for name in names], "format": 1}).encode()
    digest = hashlib.sha256(files).hexdigest()
    manifest = json.dumps({"file_manifest_file": {"chksum_sha256": digest}, "format": 1}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in (("MANIFEST.json", manifest), ("FILES.json", files)):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), mtime
            tar.addfile(entry, io.BytesIO(content))
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.mtime = mtime
            if name == "link":
                entry.type, entry.linkname = tarfile.SYMTYPE, "run"
            elif name == "roles":
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size, entry.mode = 3, 0o755 if name == "run" else 0o644
            tar.addfile(entry, io.BytesIO(b"abc"))
    return packed.getvalue()


def test_order_and_time_of_a_build_leave_no_trace(build_collection: ModuleType) -> None:
    one = build_collection.settle(archive(["run", "roles", "link", "a"], 1))
    two = build_collection.settle(archive(["a", "link", "roles", "run"], 1_700_000_000))
    assert one == two


def test_nothing_else_is_touched(build_collection: ModuleType) -> None:
    settled = build_collection.settle(archive(["run", "roles", "link", "a"], 1))
    with tarfile.open(fileobj=io.BytesIO(settled)) as tar:
        assert tar.getnames() == ["MANIFEST.json", "FILES.json", "a", "link", "roles", "run"]
        assert tar.getmember("run").mode == 0o755
        assert tar.getmember("a").mode == 0o644
        assert tar.getmember("roles").isdir()
        assert tar.getmember("link").linkname == "run"
        manifest = tar.extractfile("MANIFEST.json").read()
        files = tar.extractfile("FILES.json").read()
        assert tar.extractfile("a").read() == b"abc"
    listed = json.loads(files)["files"]
    assert [entry["name"] for entry in listed] == ["a", "link", "roles", "run"]
    digest = json.loads(manifest)["file_manifest_file"]["chksum_sha256"]
    assert digest == hashlib.sha256(files).hexdigest()
