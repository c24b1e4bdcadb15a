# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A file that is replaced below those who have bound it, on the real kernel."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import mounts, shown

pytestmark = pytest.mark.root


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    found = tmp_path / "place"
    yield found
    mounts.unmount_tree(found)


@pytest.fixture
def bound(place: Path, tmp_path: Path) -> Iterator[Path]:
    """What a container has bound, in a mount namespace of its own, seen from outside."""
    shown.lay(place)
    target = tmp_path / "target"
    target.touch()
    script = f"mount --bind {place} {target} && mount --make-slave {target} && echo ready && cat"
    argv = ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == b"ready\n"
        yield Path(f"/proc/{keeper.pid}/root{target}")


def test_who_has_bound_it_sees_what_is_there_now(place: Path, bound: Path, tmp_path: Path) -> None:
    assert (place.read_text(), bound.read_text()) == ("", "")
    source = tmp_path / "source"
    for word in ("first", "second", "third"):
        # As a socket is: another inode takes the name of the one that is shown.
        (tmp_path / "new").write_text(word)
        (tmp_path / "new").rename(source)
        shown.show(source, place)
        assert (place.read_text(), bound.read_text()) == (word, word)
        assert len(mounts.stack_at(place, mounts.read_mounts())) == 2


def test_it_is_read_only(place: Path, bound: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("theirs")
    shown.show(tmp_path / "source", place)
    for path in (place, bound):
        with pytest.raises(OSError, match="Read-only"):
            path.write_text("mine")


def test_a_place_can_be_laid_again(place: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("old")
    for _ in range(2):
        shown.lay(place)
        assert place.read_text() == ""
        shown.show(tmp_path / "source", place)
    assert len(mounts.stack_at(place, mounts.read_mounts())) == 2


def test_what_is_not_there_is_an_error(place: Path, tmp_path: Path) -> None:
    shown.lay(place)
    with pytest.raises(errors.System, match=r'cannot show ".*nothing" at ".*": No such file'):
        shown.show(tmp_path / "nothing", place)
    with pytest.raises(errors.System, match=r'cannot make ".*/no/place": No such file'):
        shown.lay(tmp_path / "no" / "place")
