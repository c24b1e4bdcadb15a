# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from plugind.model.secrets import DEFAULT
from plugind.model.verify import Verify


def test_secrets_of_a_probe_volume() -> None:
    verify = Verify(volume={"token": "hunter2", "o": "addr=h,password=hunter3"})
    assert list(verify.secrets(DEFAULT)) == ["hunter2", "hunter3"]
    assert list(Verify().secrets(DEFAULT)) == []
    assert "hunter" not in repr(verify)
