# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What stays with the process and what goes back; in processes of their own, as malloc is shared."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

MEBIBYTES = 12
PROGRAM = f"""
import pathlib
from plugind.host import memory

def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * 4096 >> 20

def use(count):
    pieces = [b"x" * (2 << 20) for _ in range(count)]
    pieces.clear()
    return resident() - before

before = resident()
with memory.kept():
    with memory.kept():
        first = use({MEBIBYTES} // 2)
    second = use({MEBIBYTES} // 2)
print(first, second, use(1))
"""


@pytest.fixture(autouse=True)
def glibc() -> None:
    if platform.libc_ver()[0] != "glibc":
        # Other libraries have no such thresholds, and are left alone: there is nothing to see.
        pytest.skip("needs glibc")


def test_what_is_freed_stays_until_the_last_block_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    first, second, afterwards = map(int, done.stdout.split())
    assert first >= MEBIBYTES - 2
    assert second >= MEBIBYTES - 2
    assert afterwards <= 3
