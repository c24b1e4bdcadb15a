# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""tests/bench/load.py: clients of volumes beside plugins that are killed at random lose nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from support import daemon

LOAD = daemon.REPOSITORY / "tests" / "bench" / "load.py"


@pytest.mark.parametrize(
    ("volumes", "clients"),
    [
        pytest.param(400, 32, id="short"),
        pytest.param(10_000, 64, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(1800)]),
    ],
)
def test_nothing_is_lost_leaked_or_stuck(volumes: int, clients: int) -> None:
    daemon.require("runc", "conmon", "mmdebstrap")
    argv = [sys.executable, str(LOAD), "--volumes", str(volumes), "--clients", str(clients)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures = {one["name"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert figures["load"]["kills"] > 0
    assert figures["load"]["complaints"] == 0
    assert figures["load_mount"]["n"] + figures["load_front_mount"]["n"] == volumes
