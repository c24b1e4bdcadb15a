# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the kernel's files tell of memory, as v1 and v2 have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from plugind.host import cgroups
from plugind.model.facts import MemoryKill

LIMIT = 64 << 20


def write(directory: Path, **files: str) -> None:
    directory.mkdir(parents=True)
    for name, text in files.items():
        (directory / name.replace("__", ".")).write_text(text)


def v1(root: Path, kills: int, reached: bool, limit: int = LIMIT) -> None:
    write(
        root / "memory/plugind/x",
        memory__oom_control=f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n",
        memory__max_usage_in_bytes=f"{LIMIT if reached else LIMIT // 2}\n",
        memory__limit_in_bytes=f"{limit}\n",
    )


def v2(root: Path, kills: int, reached: bool, limit: str = str(LIMIT)) -> None:
    write(
        root / "plugind/x",
        memory__events=f"low 0\nhigh 0\nmax 12\noom {3 * reached}\noom_kill {kills}\n",
        memory__max=f"{limit}\n",
    )


@pytest.mark.parametrize("make", [v1, v2])
@pytest.mark.parametrize(
    ("kills", "reached", "found"),
    [
        (0, False, None),
        (0, True, None),
        (1, True, MemoryKill(limit=LIMIT)),
        (2, False, MemoryKill(limit=None)),
    ],
)
def test_a_kill_is_the_limits_or_the_hosts(
    tmp_path: Path, make: object, kills: int, reached: bool, found: MemoryKill | None
) -> None:
    assert callable(make)
    make(tmp_path, kills, reached)
    assert cgroups.read_memory_kill("/plugind/x", root=tmp_path) == found


def test_a_limit_of_memory_and_swap_is_the_limit(tmp_path: Path) -> None:
    v1(tmp_path, 1, reached=False)
    whole = tmp_path / "memory/plugind/x/memory.memsw.max_usage_in_bytes"
    whole.write_text(f"{LIMIT - 4096}\n")
    assert cgroups.read_memory_kill("/plugind/x", root=tmp_path) == MemoryKill(limit=LIMIT)


def test_without_a_limit_it_is_the_host(tmp_path: Path) -> None:
    v1(tmp_path / "1", 1, reached=True, limit=9223372036854771712)
    v2(tmp_path / "2", 1, reached=True, limit="max")
    for root in (tmp_path / "1", tmp_path / "2"):
        assert cgroups.read_memory_kill("/plugind/x", root=root) == MemoryKill(limit=None)


def test_a_group_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert cgroups.read_memory_kill("/plugind/x", root=tmp_path) is None


def test_swap_counts_if_the_kernel_has_a_file_for_it(tmp_path: Path) -> None:
    assert not cgroups.swap_is_accounted(tmp_path)
    write(tmp_path / "system.slice", memory__swap__max="max\n")
    assert cgroups.swap_is_accounted(tmp_path)
    write(tmp_path / "memory", memory__limit_in_bytes="1\n")
    assert not cgroups.swap_is_accounted(tmp_path), "v1 counts memory here, and no swap"
    (tmp_path / "memory/memory.memsw.limit_in_bytes").touch()
    assert cgroups.swap_is_accounted(tmp_path)
