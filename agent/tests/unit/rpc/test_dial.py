# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Waiting for a socket: the event, the deadline, the end of the process; and hostile names."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from plugind import errors
from plugind.rpc import dial


async def serve(path: Path) -> asyncio.AbstractServer:
    def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    return await asyncio.start_unix_server(handle, str(path))


def running() -> asyncio.Future[int | None]:
    return asyncio.get_running_loop().create_future()


async def test_what_listens_already(tmp_path: Path) -> None:
    async with await serve(tmp_path / "s"):
        await dial.wait_listening(tmp_path / "s", 5, exited=running())


async def test_what_appears_later(tmp_path: Path) -> None:
    exited = running()
    waiting = asyncio.ensure_future(dial.wait_listening(tmp_path / "s", 30, exited=exited))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    started = time.monotonic()
    async with await serve(tmp_path / "s"):
        await waiting
    assert time.monotonic() - started < 5
    assert not exited.done(), "the caller's future is the caller's"


async def test_a_name_without_listener_until_it_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(path))
        assert dial.probe(path) == "connection refused"
        waiting = asyncio.ensure_future(dial.wait_listening(path, 30, exited=running()))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bound.listen()
        await waiting


async def test_a_directory_that_appears_later(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "s"
    waiting = asyncio.ensure_future(dial.wait_listening(path, 30, exited=running()))
    await asyncio.sleep(0.01)
    path.parent.mkdir()
    async with await serve(path):
        await waiting


async def test_the_deadline(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match=r'"within 0.02 s|/s" within 0.02 s: no such file'):
        await dial.wait_listening(tmp_path / "s", 0.02, exited=running())


async def test_the_end_of_the_process(tmp_path: Path) -> None:
    exited = running()
    waiting = asyncio.ensure_future(dial.wait_listening(tmp_path / "s", 30, exited=exited))
    await asyncio.sleep(0)
    exited.set_result(1)
    with pytest.raises(errors.Unavailable, match="its process has ended"):
        await waiting


async def test_a_process_that_ended_does_not_count_as_listening(tmp_path: Path) -> None:
    exited = running()
    exited.set_result(0)
    async with await serve(tmp_path / "s"):
        with pytest.raises(errors.Unavailable):
            await dial.wait_listening(tmp_path / "s", 1, exited=exited)


async def test_only_a_socket_itself_is_connected_to(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "file").touch()
    async with await serve(tmp_path / "real"):
        assert dial.probe(tmp_path / "real") is None
        assert dial.probe(tmp_path / "link") == "is not a socket"
        assert dial.probe(tmp_path / "file") == "is not a socket"
        with pytest.raises(errors.Unavailable, match="is not a socket"):
            await dial.wait_listening(tmp_path / "link", 0.02, exited=running())


async def test_a_path_longer_than_the_kernels_limit(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    os.symlink(deep, tmp_path / "short")
    async with await serve(tmp_path / "short" / "s"):
        assert len(str(deep / "s")) > 108
        await dial.wait_listening(deep / "s", 5, exited=running())


async def test_a_full_queue_is_somebody_who_listens(tmp_path: Path) -> None:
    path = tmp_path / "s"
    clients = []
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        for _ in range(5):
            client = socket.socket(socket.AF_UNIX)
            client.setblocking(False)
            clients.append(client)
            if client.connect_ex(str(path)) != 0:
                break
        assert dial.probe(path) is None
        for client in clients:
            client.close()


async def test_a_directory_that_a_restart_replaces(tmp_path: Path) -> None:
    path = tmp_path / "plugin" / "s"
    path.parent.mkdir()
    waiting = asyncio.ensure_future(dial.wait_listening(path, 30, exited=running()))
    await asyncio.sleep(0.01)
    path.parent.rmdir()
    path.parent.mkdir()
    async with await serve(path):
        await waiting
