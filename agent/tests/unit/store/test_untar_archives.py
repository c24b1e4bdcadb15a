# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What real programs pack comes out as it went in; what nobody packs is refused, or stays inside."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plugind import errors
from plugind.store import untar
from support import tars
from support.extraction import extract
from support.tars import archive, directory, file, hardlink, header, symlink


def honest(base: Path) -> Path:
    tree = base / "tree"
    (tree / "usr" / ("long" * 30) / ("name" * 30)).mkdir(parents=True)
    (tree / "usr" / "bin").mkdir()
    (tree / "usr" / "bin" / "tool").write_bytes(os.urandom(300_000))
    (tree / "usr" / "bin" / "tool").chmod(0o4755)
    os.link(tree / "usr" / "bin" / "tool", tree / "usr" / "bin" / "twin")
    (tree / "bin").symlink_to("usr/bin")
    (tree / ("l" * 120)).symlink_to("t" * 200)
    (tree / "usr" / ("long" * 30) / ("name" * 30) / "empty").touch()
    (tree / "caf\u00e9").write_text("unicode")
    os.mkfifo(tree / "fifo")
    os.utime(tree / "usr", ns=(0, 1_234_567_890_123_456_789))
    return tree


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_round_trip_of_tarfile(tmp_path: Path, root: Path, format: int) -> None:
    tree = honest(tmp_path)
    untar.extract_layer(io.BytesIO(tars.packed(tree, format)), root)
    assert whole_seconds(root) == whole_seconds(tree)


@pytest.mark.parametrize("format", ["gnu", "pax", "oldgnu"])
def test_round_trip_of_gnu_tar(tmp_path: Path, root: Path, format: str) -> None:
    tree = honest(tmp_path)
    command = ["tar", f"--format={format}", "-C", tree, "-c", "."]
    done = subprocess.run(command, check=True, capture_output=True)
    untar.extract_layer(io.BytesIO(done.stdout), root)
    assert whole_seconds(root) == whole_seconds(tree)
    assert (root / "usr" / "bin" / "twin").stat().st_nlink == 2


def whole_seconds(root: Path) -> dict[str, tuple[object, ...]]:
    return {
        name: (*values[:4], values[4] // 1_000_000_000, values[5])
        for name, values in tars.snapshot(root).items()
    }


NAMES = st.lists(
    st.sampled_from([b"a", b"b", b"c", b"..", b".", b"", b".wh.a", b".wh..wh..opq", b".wh..."]),
    min_size=1,
    max_size=4,
).map(b"/".join)
TARGETS = st.one_of(NAMES, NAMES.map(lambda n: b"/" + n), NAMES.map(lambda n: b"../outside/" + n))
ENTRIES = st.lists(
    st.one_of(
        st.builds(file, NAMES, st.binary(max_size=20)),
        st.builds(directory, NAMES),
        st.builds(symlink, NAMES, TARGETS),
        st.builds(hardlink, NAMES, TARGETS),
        st.builds(lambda n: header(n, b"6"), NAMES),
        st.builds(lambda n, p: tars.pax({b"path": p}) + file(n, b"pax"), NAMES, TARGETS),
        st.builds(lambda n, p: tars.gnu_long(b"L", p) + file(n, b"gnu"), NAMES, TARGETS),
    ),
    max_size=15,
)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(layers=st.lists(ENTRIES, min_size=1, max_size=3))
def test_no_archive_writes_outside(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[bytes]]
) -> None:
    base = tmp_path_factory.mktemp("fuzz")
    (base / "root").mkdir()
    (base / "outside" / "a" / "b").mkdir(parents=True)
    (base / "outside" / "c").write_text("secret")
    for entries in layers:
        try:
            extract(base / "root", *entries)
        except errors.PlugindError:
            pass  # refusing is fine; `extract` has compared the outside


@settings(max_examples=200, deadline=None)
@given(noise=st.binary(max_size=3000), at=st.integers(0, 4000))
def test_damage_is_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int
) -> None:
    base = tmp_path_factory.mktemp("noise")
    whole = bytearray(
        archive(file(b"a", b"x" * 600), tars.pax({b"path": b"p"}), file(b"b")).getvalue()
    )
    whole[at : at + len(noise)] = noise
    try:
        untar.extract_layer(io.BytesIO(bytes(whole)), base)
    except errors.System:
        pass
