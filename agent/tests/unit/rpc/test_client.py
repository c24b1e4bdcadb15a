# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The wire: what is sent, byte for byte, and what every kind of answer means."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from plugind import errors
from plugind.rpc import client

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n"
Script = Callable[[int], bytes | None]


def reply(body: bytes, status: int = 200) -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


class Server:
    """Records requests; `script` maps their number to an answer, None means: hang up."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.requests: list[bytes] = []
        self._script = script

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            answer = self._script(len(self.requests))
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def serving(path: Path, script: Script | bytes) -> AsyncIterator[Server]:
    answer = script
    server = Server(path, answer if callable(answer) else lambda number: answer)
    async with await asyncio.start_unix_server(server.handle, str(path)):
        yield server


async def call(path: Path, method: str = "VolumeDriver.Get", body: Any = None) -> Any:
    async with connected(path) as plugin:
        return await plugin.call(method, body, timeout=10)


@contextlib.asynccontextmanager
async def connected(path: Path) -> AsyncIterator[client.PluginSocket]:
    plugin = client.PluginSocket(path, patience=0.05)
    try:
        yield plugin
    finally:
        await plugin.close()


async def test_a_request_is_what_dockerd_sends(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", OK) as server:
        assert await call(tmp_path / "s", "VolumeDriver.Create", {"Name": "v", "Opts": None}) == {}
        await call(tmp_path / "s", "VolumeDriver.List", {})
        await call(tmp_path / "s", "Plugin.Activate")
    head = (
        b"POST /%s HTTP/1.1\r\n"
        b"Host: plugin.moby.localhost\r\n"
        b"Accept: application/vnd.docker.plugins.v1.2+json\r\n"
        b"Content-Length: %d\r\n\r\n%s"
    )
    assert server.requests == [
        head % (b"VolumeDriver.Create", 25, b'{"Name":"v","Opts":null}\n'),
        head % (b"VolumeDriver.List", 3, b"{}\n"),
        head % (b"Plugin.Activate", 0, b""),
    ]


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b'{"Err":"no space"}', "no space"),
        (200, b'{"err":"in lower case"}', "in lower case"),
        (500, b'{"Err":"no space"}', "VolumeDriver.Get: no space"),
        (500, b"plain text\n", "VolumeDriver.Get: plain text"),
        (500, b'{"Err":""}', 'VolumeDriver.Get: {"Err":""}'),
        (404, b"404 page not found\n", "VolumeDriver.Get: 404 page not found"),
        (502, b"", "VolumeDriver.Get: status 502"),
        (201, b"{}", "VolumeDriver.Get: {}"),
    ],
)
async def test_errors_of_the_driver(tmp_path: Path, status: int, body: bytes, error: str) -> None:
    async with serving(tmp_path / "s", reply(body, status)):
        with pytest.raises(client.DriverError) as failed:
            await call(tmp_path / "s")
    assert failed.value.message == error
    assert failed.value.status == status
    assert error.endswith(failed.value.text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "something that is not JSON: an empty answer"),
        (b"<html>" + b"x" * 100, "something that is not JSON: <html>" + "x" * 74),
        (b"\xff\xfe", "something that is not JSON: \ufffd\ufffd"),
        (b"[" * 100_000, "something that is not JSON: " + "[" * 80),
        (b"[]", "JSON that is no object: []"),
        (b'"x"', 'JSON that is no object: "x"'),
    ],
)
async def test_answers_that_are_none(tmp_path: Path, body: bytes, error: str) -> None:
    async with serving(tmp_path / "s", reply(body)):
        with pytest.raises(errors.System) as failed:
            await call(tmp_path / "s")
    assert failed.value.message == f"VolumeDriver.Get: plugin answered with {error}"


@pytest.mark.parametrize(
    "body", [b'{"A":1}', b'{"A":1,"Err":""}', b'{"A":1,"Err":null}', b' {"A":1}\n{"B":2}']
)
async def test_answers_as_gos_decoder_reads_them(tmp_path: Path, body: bytes) -> None:
    async with serving(tmp_path / "s", reply(body)):
        assert (await call(tmp_path / "s"))["A"] == 1


def test_ipam_says_error_in_another_word() -> None:
    with pytest.raises(client.DriverError, match=r"^no pool$"):
        client.decode_answer("IpamDriver.RequestPool", 200, b'{"Error":"no pool"}')
    assert client.decode_answer("VolumeDriver.Get", 200, b'{"Error":"x"}') == {"Error": "x"}


def test_members_are_found_in_any_case() -> None:
    assert client.field({"mountPoint": 1, "MountPoint": 2}, "MountPoint") == 2
    assert client.field({"mountpoint": 1}, "Mountpoint") == 1
    assert client.field({}, "Mountpoint") is None


# --- transport --------------------------------------------------------------------------------


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable, match=r"^cannot call VolumeDriver.Get: no such file"):
        await call(tmp_path / "s")


async def test_a_call_waits_for_a_plugin_that_is_being_restarted(tmp_path: Path) -> None:
    plugin = client.PluginSocket(tmp_path / "s", patience=30)
    waiting = asyncio.ensure_future(plugin.call("X.Create", {"a": 1}, timeout=30))
    await asyncio.sleep(0.02)
    async with serving(tmp_path / "s", OK) as server:
        assert await waiting == {}
    await plugin.close()
    (request,) = server.requests
    assert request.endswith(b'{"a":1}\n'), "sent whole"


async def test_asking_again_is_harmless_for_what_only_looks(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", lambda number: OK if number == 2 else None) as server:
        assert await call(tmp_path / "s", "VolumeDriver.Get", {"Name": "v"}) == {}
    first, second = server.requests
    assert first == second, "the body is sent whole the second time too"


async def test_it_is_not_asked_for_ever(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", lambda number: None) as server:
        with pytest.raises(errors.Unavailable, match="closed the connection without an answer"):
            await call(tmp_path / "s", "VolumeDriver.List", {})
    assert len(server.requests) == 3


@pytest.mark.parametrize("method", ["Create", "Mount", "Unmount", "Remove"])
async def test_what_changes_something_is_sent_once(tmp_path: Path, method: str) -> None:
    async with serving(tmp_path / "s", lambda number: None) as server:
        with pytest.raises(errors.Unavailable, match=f"cannot call VolumeDriver.{method}: "):
            await call(tmp_path / "s", f"VolumeDriver.{method}", {"Name": "v"})
    assert len(server.requests) == 1


async def test_half_an_answer(tmp_path: Path) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}"
    async with serving(tmp_path / "s", half):
        with pytest.raises(errors.Unavailable, match="ended too early"):
            await call(tmp_path / "s", "VolumeDriver.Create", {})


async def test_no_http_at_all(tmp_path: Path) -> None:
    async with serving(tmp_path / "s", b"SSH-2.0-OpenSSH\r\n\r\n"):
        with pytest.raises(errors.System, match="broken HTTP"):
            await call(tmp_path / "s")


async def test_the_time_limit(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_unix_server(never, str(tmp_path / "s")):
        with pytest.raises(errors.Unavailable, match=r"VolumeDriver.Mount.*within 0.05 s"):
            await client.PluginSocket(tmp_path / "s").call("VolumeDriver.Mount", {}, timeout=0.05)
        await gone.wait()  # a call that was given up closes its connection


async def test_a_flood_is_cut_off(tmp_path: Path) -> None:
    flood = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * ((32 << 20) + 1)
    async with serving(tmp_path / "s", flood):
        with pytest.raises(errors.System, match="more than 32 MiB"):
            await call(tmp_path / "s")


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://example.com/\r\nContent-Length: 0\r\n\r\n"
    async with serving(tmp_path / "s", moved) as server:
        with pytest.raises(client.DriverError, match="status 302"):
            await call(tmp_path / "s")
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["", "A B", "A\r\nX: y", "VolumeDriver.G\u00e9t"])
async def test_a_name_cannot_smuggle_anything_in(tmp_path: Path, method: str) -> None:
    async with connected(tmp_path / "s") as plugin:
        with pytest.raises(errors.InvalidParameter, match="no name of a method"):
            await plugin.forward(method, b"", timeout=1)


async def test_what_is_forwarded_is_not_looked_at(tmp_path: Path) -> None:
    answer = b"HTTP/1.1 501 X\r\nContent-Type: text/x\r\nContent-Length: 4\r\n\r\n\xffErr"
    async with serving(tmp_path / "s", answer) as server, connected(tmp_path / "s") as plugin:
        found = await plugin.forward("LogDriver.X", b"\xfe", timeout=10)
    assert found == (501, "text/x", b"\xffErr")
    assert server.requests[0].endswith(b"Content-Length: 1\r\n\r\n\xfe")


async def test_a_stream_comes_as_it_is_sent(tmp_path: Path) -> None:
    go_on, gone = asyncio.Event(), asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        await go_on.wait()
        writer.write(b"3;x=y\r\ntwo\r\n0\r\nTrailer: z\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
        gone.set()

    async with await asyncio.start_unix_server(slowly, str(tmp_path / "s")):
        async with (
            connected(tmp_path / "s") as plugin,
            plugin.stream("LogDriver.ReadLogs", b"", timeout=10) as (status, kind, chunks),
        ):
            assert (status, kind) == (200, "")
            assert await anext(chunks) == b"one"
            go_on.set()
            assert [chunk async for chunk in chunks] == [b"two"]
        await gone.wait()


async def test_leaving_a_stream_closes_its_connection(tmp_path: Path) -> None:
    gone = asyncio.Event()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 X\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        gone.set()

    async with (
        await asyncio.start_unix_server(endless, str(tmp_path / "s")),
        connected(tmp_path / "s") as plugin,
    ):
        async with plugin.stream("LogDriver.ReadLogs", b"", timeout=10) as (_, _, chunks):
            assert await anext(chunks)
        await gone.wait()


async def test_draining_lets_calls_end_and_holds_the_next(tmp_path: Path) -> None:
    """A call under way ends; what follows from it is let in; what comes later waits for `resume`."""
    path = tmp_path / "s"
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go_on.wait()
        writer.write(OK)
        await writer.drain()
        writer.close()

    async def twice(plugin: client.PluginSocket) -> None:
        await plugin.call("VolumeDriver.Get", {}, timeout=10)
        await plugin.call("VolumeDriver.Create", {}, timeout=10)

    async with connected(path) as plugin:
        plugin.patience = 10
        async with await asyncio.start_unix_server(slow, str(path)):
            calls = asyncio.ensure_future(twice(plugin))
            await asked.wait()
            assert not await plugin.drain(0)
            plugin.resume()
            draining = asyncio.ensure_future(plugin.drain(10))
            go_on.set()
            assert await draining
            await calls
        late = asyncio.ensure_future(plugin.call("VolumeDriver.Mount", {}, timeout=10))
        path.unlink(missing_ok=True)
        plugin.resume()
        async with serving(path, OK) as server:
            assert await late == {}
        assert len(server.requests) == 1
