# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path

import pytest

from plugind import errors
from plugind.ctl import pack


@pytest.fixture
def source(tmp_path: Path) -> Path:
    directory = tmp_path / "plugin"
    (directory / "rootfs/bin").mkdir(parents=True)
    (directory / "config.json").write_text('{"description": "x"}')
    (directory / "rootfs/bin/driver").write_bytes(b"#!/bin/sh\n")
    (directory / "rootfs/bin/link").symlink_to("driver")
    os.link(directory / "rootfs/bin/driver", directory / "rootfs/bin/same")
    (directory / "ignored.txt").write_text("not part of a plugin")
    return directory


def packed(source: Path, written: int = 0) -> bytes:
    sink = io.BytesIO()
    pack.write_tar(source, sink, written=written)
    return sink.getvalue()


def test_the_tar_is_what_an_engine_takes(source: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed(source)), mode="r:") as tar:
        members = {info.name: info for info in tar}
        assert list(members) == [
            "config.json", "rootfs", "rootfs/bin", "rootfs/bin/driver", "rootfs/bin/link",
            "rootfs/bin/same",
        ]  # fmt: skip
        content = tar.extractfile("rootfs/bin/driver")
        assert content is not None
        assert content.read() == b"#!/bin/sh\n"
    assert members["rootfs/bin/link"].linkname == "driver"
    assert members["rootfs/bin/same"].islnk()
    assert members["rootfs/bin/same"].linkname == "rootfs/bin/driver"


def test_equal_content_gives_equal_bytes_and_digest(source: Path) -> None:
    digest, content = pack.compute_digest(source), packed(source)
    os.utime(source / "rootfs/bin/driver", (1, 1))
    (source / "ignored.txt").unlink()
    assert pack.compute_digest(source) == digest
    assert packed(source) == content
    assert packed(source, written=5) != content


def test_every_difference_is_seen(source: Path) -> None:
    seen = {pack.compute_digest(source)}

    def changed() -> None:
        digest = pack.compute_digest(source)
        assert digest not in seen
        seen.add(digest)

    (source / "config.json").write_text('{"description": "y"}')
    changed()
    (source / "rootfs/bin/driver").chmod(0o755)
    changed()
    (source / "rootfs/bin/link").unlink()
    changed()
    (source / "rootfs/bin/link").symlink_to("other")
    changed()
    (source / "rootfs/empty").mkdir()
    changed()


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_a_tar_is_as_good_as_a_directory(source: Path, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "plugin.tar"
    with tarfile.open(path, mode) as tar:
        tar.add(source / "config.json", "./config.json")
        tar.add(source / "rootfs", "./rootfs")
        tar.add(source / "ignored.txt", "./ignored.txt")
    assert pack.read_config(path) == b'{"description": "x"}'
    assert pack.compute_digest(path) == pack.compute_digest(source)
    assert len(packed(path)) == len(packed(source))


def test_what_is_no_plugin(tmp_path: Path) -> None:
    for path, cause in ((tmp_path, "want config.json and rootfs/"), (tmp_path / "none", "No such")):
        with pytest.raises(errors.InvalidParameter, match=cause):
            pack.compute_digest(path)
    (tmp_path / "text").write_text("no tar")
    with pytest.raises(errors.InvalidParameter, match="cannot build from"):
        pack.compute_digest(tmp_path / "text")
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(errors.InvalidParameter, match=r"there is no config\.json"):
        pack.read_config(tmp_path / "empty.tar")


def test_a_socket_cannot_be_packed(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source / "rootfs")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("s")
        with pytest.raises(errors.InvalidParameter, match="is a socket"):
            packed(source)
