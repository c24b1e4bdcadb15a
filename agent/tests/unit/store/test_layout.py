# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from plugind import errors
from plugind.store.layout import CURRENT_FORMAT, Layout


def test_prepare_makes_private_directories_and_the_format_file(layout: Layout) -> None:
    private = (
        layout.root, layout.blobs, layout.ingest, layout.staging, layout.trash,
        layout.plugins, layout.volumes, layout.logs, layout.sockets,
    )  # fmt: skip
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o700}
    assert stat.S_IMODE(layout.run.stat().st_mode) == 0o755  # the socket in it is for others, too
    assert layout.format_file.read_text() == "1\n"
    assert layout.read_format() == CURRENT_FORMAT


def test_prepare_sweeps_what_is_never_needed_and_nothing_else(layout: Layout) -> None:
    for directory in (layout.ingest, layout.staging, layout.trash):
        (directory / "left" / "over").mkdir(parents=True)
        (directory / "file").touch()
    (layout.plugins / "id").mkdir()
    (layout.quarantine / "id-1").mkdir()
    layout.prepare()
    swept = (layout.ingest, layout.staging, layout.trash)
    assert [list(directory.iterdir()) for directory in swept] == [[], [], []]
    assert (layout.plugins / "id").is_dir()
    assert (layout.quarantine / "id-1").is_dir()


def test_prepare_tightens_a_root_that_is_too_open(layout: Layout) -> None:
    layout.root.chmod(0o755)
    layout.prepare()
    assert stat.S_IMODE(layout.root.stat().st_mode) == 0o700


def test_a_newer_format_is_read_and_left_alone(layout: Layout) -> None:
    layout.format_file.write_text("2\n")
    (layout.trash / "left").mkdir()
    layout.prepare()
    assert layout.read_format() == 2
    assert (layout.trash / "left").is_dir()


def test_a_new_root_has_the_current_format(tmp_path: Path) -> None:
    assert Layout(tmp_path, tmp_path, tmp_path, tmp_path).read_format() == CURRENT_FORMAT


@pytest.mark.parametrize("text", ["", "one", "-1", "1.0"])
def test_a_broken_format_file_is_an_error(layout: Layout, text: str) -> None:
    layout.format_file.write_text(text)
    with pytest.raises(errors.System, match="is no number"):
        layout.read_format()


def test_an_unreadable_format_file_is_an_error(layout: Layout) -> None:
    layout.format_file.unlink()
    layout.format_file.mkdir()
    with pytest.raises(errors.System, match="cannot read"):
        layout.read_format()


def test_prepare_says_what_it_cannot_make(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    layout = Layout(tmp_path / "lib", tmp_path / "run", tmp_path / "log", tmp_path / "sockets")
    with pytest.raises(errors.System, match=r'cannot prepare ".*/run": File exists'):
        layout.prepare()


def test_a_volume_name_is_never_a_path(layout: Layout) -> None:
    assert layout.volume_dir("../../etc").parent == layout.volumes
    assert layout.volume_dir("a") != layout.volume_dir("b")


def test_paths_of_a_plugin(layout: Layout) -> None:
    assert layout.rootfs("id") == layout.plugins / "id" / "rootfs"
    assert layout.propagated_mount("id") == layout.plugins / "id" / "propagated-mount"
    assert layout.plugin_record("id") == layout.plugins / "id" / "plugin.json"
    assert layout.socket_dir("id") == layout.sockets / "id"


@pytest.mark.root
def test_sweep_leaves_a_live_mount(layout: Layout, caplog: pytest.LogCaptureFixture) -> None:
    mount = layout.trash / "gone" / "propagated-mount"
    mount.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", mount], check=True)
    try:
        (mount / "precious").touch()
        layout.prepare()
        assert (mount / "precious").exists()
    finally:
        subprocess.run(["umount", mount], check=True)
    assert "left in place while sweeping" in caplog.text
    layout.prepare()
    assert not (layout.trash / "gone").exists()
