# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A pytest plugin: how to undo what a test does to a Docker Engine is no business of this machine.

The planner keeps that below /var/lib/plugind, where an agent of the machine's own would find it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from plugind.dockerd import undo_log


@pytest.fixture(scope="session", autouse=True)
def own_undo_log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let whatever the tests start write it into a directory of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        if undo_log.VARIABLE not in os.environ:
            patch.setenv(undo_log.VARIABLE, str(tmp_path_factory.mktemp("undo")))
        yield
