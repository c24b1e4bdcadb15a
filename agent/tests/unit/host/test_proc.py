# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Running tools: output, limits, errors that carry what helps, nothing left behind."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plugind.host import proc


async def blocking(argv: list[str], **more: Any) -> proc.Completed:
    return await asyncio.to_thread(proc.run_blocking, argv, **more)


both = pytest.mark.parametrize("run", [proc.run, blocking])
Run = Callable[..., Any]


def is_alive(pid: str) -> bool:
    return os.path.exists(f"/proc/{pid.strip()}")


def sh(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


@both
async def test_output_and_status(run: Run) -> None:
    done = await run(sh("echo out; echo err >&2"), timeout=10)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"out\n", b"err\n")


@both
async def test_the_environment_is_clean(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    done = await run(["/usr/bin/env"], timeout=10)
    names = {line.partition(b"=")[0] for line in done.stdout.splitlines()}
    assert names == {b"PATH", b"LC_ALL"}
    assert (await run(["/usr/bin/env"], timeout=10, env={"A": "1"})).stdout == b"A=1\n"


@both
async def test_input_and_directory(run: Run, tmp_path: Path) -> None:
    done = await run(sh("pwd; cat"), timeout=10, input=b"hello", cwd=tmp_path)
    assert done.stdout == f"{tmp_path}\nhello".encode()
    assert (await run(["/bin/cat"], timeout=10)).stdout == b"", "stdin is closed"


async def test_a_tool_that_does_not_read_its_input() -> None:
    assert (await proc.run(["/bin/true"], timeout=10, input=b"x" * (1 << 20))).returncode == 0


@both
async def test_a_failure_carries_argv_status_and_complaint(run: Run) -> None:
    argv = sh("echo bad luck >&2; exit 3")
    with pytest.raises(proc.ToolFailed, match=r"cannot run sh: .* status 3: bad luck$") as failed:
        await run(argv, timeout=10)
    assert failed.value.argv == tuple(argv)
    assert (failed.value.status, failed.value.tail) == (3, "bad luck")
    assert (await run(argv, timeout=10, check=False)).returncode == 3


@both
async def test_death_by_signal(run: Run) -> None:
    with pytest.raises(proc.ToolFailed, match="signal 9"):
        await run(sh("kill -9 $$"), timeout=10)


@both
async def test_a_tool_that_is_not_there(run: Run) -> None:
    with pytest.raises(proc.ToolFailed, match=r"cannot run /no/such: No such file"):
        await run(["/no/such"], timeout=10)


@both
async def test_a_late_tool_is_killed(run: Run, tmp_path: Path) -> None:
    pidfile = tmp_path / "pid"
    with pytest.raises(proc.ToolFailed, match=r"within 0.2 s and was killed"):
        await run(sh(f"echo $$ > {pidfile}; exec sleep 1000"), timeout=0.2)
    assert not is_alive(pidfile.read_text())


async def test_a_cancelled_call_kills_its_tool() -> None:
    read, write = os.pipe()
    argv = sh(f"echo $$ > /proc/{os.getpid()}/fd/{write}; exec sleep 1000")
    running = asyncio.ensure_future(proc.run(argv, timeout=60))
    pid = (await asyncio.to_thread(os.read, read, 20)).decode().strip()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not is_alive(pid)
    os.close(read)
    os.close(write)


@both
async def test_output_is_bounded_and_the_rest_is_dropped(run: Run) -> None:
    done = await run(["/usr/bin/head", "-c", "3000000", "/dev/zero"], timeout=10, limit=1000)
    assert len(done.stdout) == 1000
