# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os

import pytest

from plugind import errors
from plugind.store import lock
from plugind.store.layout import Layout


def test_the_second_is_refused_and_told_the_pid(layout: Layout) -> None:
    with lock.hold(layout):
        with pytest.raises(errors.Conflict, match=rf"another plugind runs \(pid {os.getpid()}\)"):
            with lock.hold(layout):
                pass
    with lock.hold(layout):
        pass


def test_a_stale_file_locks_nobody_out(layout: Layout) -> None:
    (layout.run / "lock").write_text("99999999999\n")
    with lock.hold(layout):
        assert (layout.run / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_file_that_is_a_link_is_refused(layout: Layout) -> None:
    (layout.run / "lock").symlink_to(layout.root / "victim")
    with pytest.raises(errors.System, match="cannot open"), lock.hold(layout):
        pass
    assert not (layout.root / "victim").exists()
