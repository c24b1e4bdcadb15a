# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import os
import stat

import pytest

from plugind import errors
from plugind.store import secret_key
from plugind.store.layout import Layout


def test_the_key_is_made_once(layout: Layout) -> None:
    key = secret_key.load_or_create(layout)
    assert len(key) == secret_key.SIZE
    assert secret_key.load_or_create(layout) == key
    assert stat.S_IMODE(layout.secret_key.stat().st_mode) == 0o600
    assert [name for name in os.listdir(layout.root) if "secret" in name] == ["secret.key"]


def test_one_that_was_opened_to_others_is_closed(layout: Layout) -> None:
    key = secret_key.load_or_create(layout)
    layout.secret_key.chmod(0o644)
    assert secret_key.load_or_create(layout) == key
    assert stat.S_IMODE(layout.secret_key.stat().st_mode) == 0o600


def test_what_cannot_be_a_key_is_set_aside(layout: Layout) -> None:
    layout.secret_key.write_bytes(b"half a k")
    assert len(secret_key.load_or_create(layout)) == secret_key.SIZE
    assert (layout.quarantine / "secret.key-1").read_bytes() == b"half a k"


def test_one_that_cannot_be_read_is_not_replaced(layout: Layout) -> None:
    layout.secret_key.mkdir()
    with pytest.raises(errors.System, match="cannot read"):
        secret_key.load_or_create(layout)
