# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

from plugind.store.limits import Limits


def test_defaults_are_consistent() -> None:
    limits = Limits()
    assert limits.config_bytes <= limits.file_bytes <= limits.total_bytes
    assert limits.path_bytes < 4096  # PATH_MAX counts the NUL
