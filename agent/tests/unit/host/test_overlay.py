# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import mounts, overlay


@pytest.fixture
def view(tmp_path: Path) -> Iterator[overlay.View]:
    """A view in a directory whose name overlay's options would take apart."""
    base = tmp_path / "a,b:c\\d"
    made = overlay.View(
        lower=base / "lower", upper=base / "upper", work=base / "work", merged=base / "merged"
    )
    for path in (made.lower, made.upper, made.work, made.merged):
        path.mkdir(parents=True)
    (made.lower / "file").write_text("image")
    (made.lower / "link").symlink_to("/nowhere")
    yield made
    mounts.unmount_tree(base)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_changes_go_to_upper_and_stay(view: overlay.View) -> None:
    overlay.assemble(view)
    overlay.assemble(view)
    assert mounts.is_mountpoint(view.merged)
    (view.merged / "file").write_text("changed")
    mounts.unmount_tree(view.merged)
    assert not any(view.merged.iterdir())
    assert (view.lower / "file").read_text() == "image"
    overlay.assemble(view)
    assert (view.merged / "file").read_text() == "changed"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_copy_where_the_kernel_refuses(view: overlay.View) -> None:
    """It takes no overlay for the upper directory of another one."""
    overlay.assemble(view)
    inner = overlay.View(
        lower=view.lower,
        upper=view.merged / "upper",
        work=view.merged / "work",
        merged=view.merged / "merged",
    )
    for path in (inner.upper, inner.work, inner.merged, inner.partial):
        path.mkdir()
    (inner.partial / "half").write_text("of an earlier copy")
    overlay.assemble(inner)
    assert not mounts.is_mountpoint(inner.merged)
    assert sorted(os.listdir(inner.merged)) == ["file", "link"]
    assert os.readlink(inner.merged / "link") == "/nowhere"
    (inner.merged / "file").write_text("changed")
    overlay.assemble(inner)
    assert (inner.merged / "file").read_text() == "changed"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_other_failures_are_failures(view: overlay.View) -> None:
    gone = overlay.View(
        lower=view.lower / "gone", upper=view.upper, work=view.work, merged=view.merged
    )
    with pytest.raises(errors.System, match=r"cannot mount .*: No such file or directory"):
        overlay.assemble(gone)
