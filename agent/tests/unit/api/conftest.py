# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import pytest

from support import served as served_


@pytest.fixture
async def served(tmp_path):
    """The API over a fake engine, with one disabled and one enabled plugin and a volume."""
    async with served_.serve(tmp_path) as running:
        running.stories.add_plugin("toy:latest")
        running.stories.add_plugin("vieux/sshfs:latest", enabled=True)
        running.stories.add_volume("v1", driver="toy:latest")
        yield running
