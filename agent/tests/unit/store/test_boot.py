# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The boot in which a store was settled."""

from __future__ import annotations

import pytest

from plugind import errors
from plugind.store import boot
from plugind.store.layout import Layout


def test_a_new_store_knows_of_no_boot(layout: Layout) -> None:
    assert boot.load(layout) == ""


def test_what_was_saved_is_loaded_and_written_once(layout: Layout) -> None:
    boot.save(layout, "11-22")
    assert boot.load(layout) == "11-22"
    written = (layout.root / boot.NAME).stat().st_ino
    boot.save(layout, "11-22")
    assert (layout.root / boot.NAME).stat().st_ino == written
    boot.save(layout, "33-44")
    assert boot.load(layout) == "33-44"


def test_a_file_that_cannot_be_read_is_no_new_store(layout: Layout) -> None:
    (layout.root / boot.NAME).mkdir()
    with pytest.raises(errors.System, match=r'^cannot read ".*boot_id": Is a directory$'):
        boot.load(layout)
