# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Records of host mounts on disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from plugind.model.host_mount import HostMount, Source
from plugind.store import host_mounts
from plugind.store.layout import Layout

MOUNT = HostMount(path="/srv/data", volume="v", created=("/srv/data",))


def test_records_are_written_replaced_and_removed(layout: Layout) -> None:
    other = HostMount(path="/a", volume="w")
    for mount in (MOUNT, other):
        host_mounts.save(layout, mount)
    bound = replace(MOUNT, bound=Source(device="0:7", root="/"))
    host_mounts.save(layout, bound)
    assert host_mounts.load_all(layout) == ([other, bound], [])
    for _ in range(2):
        host_mounts.delete(layout, MOUNT.path)
    assert host_mounts.load_all(layout) == ([other], [])
    assert not list(layout.staging.iterdir())
    assert not list(layout.trash.iterdir())


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"path": "/other"}'])
def test_a_broken_record_is_set_aside(layout: Layout, text: str) -> None:
    host_mounts.save(layout, MOUNT)
    [directory] = layout.mounts.iterdir()
    (directory / host_mounts.RECORD).write_text(text)
    assert host_mounts.load_all(layout) == ([], [directory.name])
    assert not directory.exists()
    [kept] = layout.quarantine.iterdir()
    assert (kept / host_mounts.RECORD).read_text() == text


def test_a_record_in_the_wrong_place_is_set_aside(layout: Layout) -> None:
    host_mounts.save(layout, MOUNT)
    [directory] = layout.mounts.iterdir()
    directory.rename(layout.mounts / "elsewhere")
    assert host_mounts.load_all(layout) == ([], ["elsewhere"])
