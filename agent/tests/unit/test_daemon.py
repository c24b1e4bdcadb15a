# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The parts of the composition root; the whole of it runs in `tests/system`."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from pathlib import Path

import pytest

from plugind import daemon
from plugind.options import DaemonOptions
from plugind.store import layout


def options_in(base: Path) -> DaemonOptions:
    return DaemonOptions(
        root=base / "lib", run=base / "run", logs=base / "log", sockets=base / "p",
        socket=base / "run" / "api.sock", restart_limit=3, enable_timeout=7.0,
        runtime_binary="/usr/bin/crun",
    )  # fmt: skip


def layout_of(options: DaemonOptions) -> layout.Layout:
    return layout.Layout(
        root=options.root, run=options.run, logs=options.logs, sockets=options.sockets
    )


async def test_work_that_hangs_leaves_threads_for_the_rest() -> None:
    daemon.widen_threads()
    never = threading.Event()
    loop = asyncio.get_running_loop()
    hung = [loop.run_in_executor(None, never.wait) for _ in range(40)]
    try:
        async with asyncio.timeout(30):
            assert await asyncio.to_thread(int, "7") == 7
    finally:
        never.set()
        await asyncio.gather(*hung)


def test_the_socket_is_for_its_group_only_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with daemon.bound(path, os.getgid() if os.geteuid() == 0 else None):
        assert path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_socket_that_a_crash_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with daemon.bound(path, None), socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_binding_does_not_change_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with daemon.bound(tmp_path / "api.sock", None):
            assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


def test_a_new_store_is_prepared(tmp_path: Path) -> None:
    place = layout_of(options_in(tmp_path))
    assert daemon._open_store(place) is None
    assert place.format_file.read_text() == f"{layout.CURRENT_FORMAT}\n"


def test_a_newer_store_is_not_touched_and_the_reason_says_what_to_do(tmp_path: Path) -> None:
    options = options_in(tmp_path)
    place = layout_of(options)
    place.root.mkdir()
    place.format_file.write_text("99\n")
    reason = daemon._open_store(place) or ""
    assert "says format 99" in reason
    assert "install a newer plugind" in reason
    assert [path.name for path in place.root.iterdir()] == ["format"]


async def test_options_reach_the_engine(tmp_path: Path) -> None:
    options = options_in(tmp_path)
    engine = daemon.build_engine(options, layout_of(options))
    assert engine.options.enable_timeout == 7.0
    assert engine.options.restart.limit == 3
    assert engine.options.runtime_argv == ("/usr/bin/crun", "--root", f"{tmp_path}/run/crun")
    await engine.registry.close()


def test_a_second_daemon_on_the_same_store_says_who_is_there(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from plugind import log
    from plugind.store import lock

    options = options_in(tmp_path)
    place = layout_of(options)
    options.run.mkdir()
    options.root.mkdir()
    with lock.hold(place):
        assert daemon.run(options) == 1
    log.logger.handlers.clear()
    log.logger.propagate = True
    assert f"another plugind runs (pid {os.getpid()})" in capfd.readouterr().err
