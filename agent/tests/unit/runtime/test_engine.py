# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""OciRuntime without root: ids, what is not there, and a runtime that fails.

What it does with a real runtime is in the contract suite.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plugind import errors
from plugind.host import pidfd
from plugind.runtime import OciRuntime, bundle


@pytest.fixture
def runtime(tmp_path: Path) -> OciRuntime:
    return OciRuntime(
        binary="/no/runc", conmon="/no/conmon", root=tmp_path / "runc", run=tmp_path / "run"
    )


def launched(pid: int, started: int) -> bundle.Launch:
    return bundle.Launch(pid=pid, start_time=started, conmon_pid=0, conmon_start_time=0)


async def test_an_empty_host(runtime: OciRuntime) -> None:
    assert await runtime.list_ids() == []
    assert await runtime.adopt("abc") is None
    await runtime.purge("abc")


async def test_bundles_without_a_container_are_listed_and_purged(
    runtime: OciRuntime, tmp_path: Path
) -> None:
    bundle.Bundle(run=tmp_path / "run", id="left").write({})
    (tmp_path / "runc" / "other").mkdir(parents=True)
    assert await runtime.list_ids() == ["left", "other"]
    await runtime.purge("left")
    assert await runtime.list_ids() == ["other"]


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x"])
async def test_ids_are_names_of_files(runtime: OciRuntime, name: str) -> None:
    with pytest.raises(errors.InvalidParameter):
        await runtime.purge(name)


async def test_a_start_without_conmon_leaves_nothing(runtime: OciRuntime, tmp_path: Path) -> None:
    with pytest.raises(errors.PluginFailed, match="cannot start plugin: cannot run /no/conmon"):
        await runtime.start("abc", {}, tmp_path / "log" / "abc.log")
    assert await runtime.list_ids() == []


async def test_a_container_in_the_way_is_refused(runtime: OciRuntime, tmp_path: Path) -> None:
    (tmp_path / "runc" / "abc").mkdir(parents=True)
    with pytest.raises(errors.Conflict, match="exists"):
        await runtime.start("abc", {}, tmp_path / "abc.log")


async def test_a_process_that_the_runtime_does_not_know_is_not_adopted(
    runtime: OciRuntime, tmp_path: Path
) -> None:
    box = bundle.Bundle(run=tmp_path / "run", id="abc")
    box.write({})
    box.write_launch(launched(os.getpid(), pidfd.start_time(os.getpid()) or 0))
    assert await runtime.adopt("abc") is None


async def test_a_reused_pid_is_neither_adopted_nor_killed(
    runtime: OciRuntime, tmp_path: Path
) -> None:
    box = bundle.Bundle(run=tmp_path / "run", id="abc")
    box.write({})
    box.write_launch(launched(os.getpid(), 1))
    assert await runtime.adopt("abc") is None
    await runtime.purge("abc")  # or this test ends here


async def test_a_pid_of_conmon_that_is_somebody_elses(runtime: OciRuntime, tmp_path: Path) -> None:
    box = bundle.Bundle(run=tmp_path / "run", id="abc")
    box.write({})
    box.conmon_pidfile.write_text(str(os.getpid()))
    await runtime.purge("abc")
    assert await runtime.list_ids() == []


async def test_reopening_the_log_of_what_does_not_run(runtime: OciRuntime, tmp_path: Path) -> None:
    with pytest.raises(errors.NotFound, match="does not run"):
        await runtime.reopen_log("abc")
    box = bundle.Bundle(run=tmp_path / "run", id="abc")
    box.write({})
    os.mkfifo(box.control)
    with pytest.raises(errors.NotFound, match="does not run"):
        await runtime.reopen_log("abc")
    reader = os.open(box.control, os.O_RDONLY | os.O_NONBLOCK)
    await runtime.reopen_log("abc")
    assert os.read(reader, 100) == b"2 0 0\n"
    os.close(reader)
