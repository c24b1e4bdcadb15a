# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How the event source reaches agents: by their socket on this host, by their program over ssh.

PRIVATE to agent_events.py, which loads this file from beside it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import aiohttp

CONNECT_SECONDS = 10
LONGEST_ANSWER = 1 << 26
_SSH = ("BatchMode=yes", f"ConnectTimeout={CONNECT_SECONDS}",
        "ServerAliveInterval=15", "ServerAliveCountMax=3")  # fmt: skip
# Exit codes of plugind apply with an answer in its output: done, failed, refused. Not: no agent.
_ANSWERED = (0, 1, 2)


class Lost(Exception):
    """An agent cannot be reached, or no longer; the message says why."""


class Local:
    """An agent on this host."""

    def __init__(self, socket: str) -> None:
        self.socket = socket

    async def stream(self, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the stream of events in pieces; `query` is that of `GET /events`."""
        opened = {
            "Type": "daemon", "Action": "subscribed", "Actor": {"ID": ""},
            "timeNano": time.time_ns(),
        }  # fmt: skip
        async with self._request("GET", "/events", params=query) as response:
            yield json.dumps(opened).encode() + b"\n"
            while piece := await response.content.readany():
                yield piece

    async def plan(self, declaration: Mapping[str, Any]) -> bytes:
        """Return what the agent would do for a declaration, as JSON."""
        query = {"dry_run": "1"}
        async with self._request(
            "POST", "/plugind/apply", params=query, json=declaration
        ) as answer:
            return await answer.read()

    @contextlib.asynccontextmanager
    async def _request(
        self, method: str, path: str, **arguments: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
        connector = aiohttp.UnixConnector(self.socket)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                async with session.request(method, "http://plugind" + path, **arguments) as got:
                    if got.status != 200:
                        said = (await got.text(errors="replace")).strip()
                        raise Lost(f"cannot {method} {path}: {got.status} {said}")
                    yield got
        except (aiohttp.ClientError, OSError) as exc:
            raise Lost(f"cannot {method} {path} at {self.socket}: {exc}") from exc


@dataclass(frozen=True)
class Remote:
    """An agent behind ssh: its program on the host is called."""

    address: str
    socket: str
    executable: str
    become: bool = False
    ssh_args: tuple[str, ...] = ()

    async def stream(self, query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the stream of events in pieces; `query` is that of `GET /events`."""
        options = ["--since", query["since"]] if "since" in query else []
        for kind in json.loads(query["filters"])["type"]:
            options += ["--filter", f"type={kind}"]
        arguments = ("--socket", self.socket, "events", "--announce", *options)
        async with self._call(*arguments) as client:
            while piece := await client.output.read(1 << 16):
                yield piece
            await self._fail(client)

    async def plan(self, declaration: Mapping[str, Any]) -> bytes:
        """Return what the agent would do for a declaration, as JSON."""
        arguments = ("apply", "-", "--json", "--dry-run", "--socket", self.socket)
        # Through standard input: arguments are seen by everybody on the host.
        document = json.dumps(declaration).encode()
        async with self._call(*arguments, document=document) as client:
            answer = b""
            while piece := await client.output.read(1 << 16):
                answer += piece
                if len(answer) > LONGEST_ANSWER:
                    raise Lost(f"{self.address} answers without end")
            if not answer or await client.exited not in _ANSWERED:
                await self._fail(client)
        return answer

    async def _fail(self, client: _Client) -> NoReturn:
        code = await client.exited
        # What it said may come after its end, or never end: see below.
        await asyncio.wait({client.silent}, timeout=1)
        raise Lost(client.last_words() or f"ssh {self.address} ended with {code}")

    @contextlib.asynccontextmanager
    async def _call(self, *arguments: str, document: bytes = b"") -> AsyncIterator[_Client]:
        """Run a verb with a document on its standard input."""
        program = [*(["sudo", "-n"] if self.become else []), self.executable]
        options = [word for option in _SSH for word in ("-o", option)]
        command = shlex.join([*program, *arguments])
        loop = asyncio.get_running_loop()
        try:
            transport, client = await loop.subprocess_exec(
                _Client, "ssh", *self.ssh_args, *options, "--", self.address, command
            )
        except OSError as exc:
            raise Lost(f"cannot run ssh: {exc}") from exc
        try:
            standard_input = transport.get_pipe_transport(0)
            standard_input.write(document)
            standard_input.write_eof()
            yield client
        finally:
            # Its streams are not waited for: a master of ControlPersist may have them open.
            try:
                if not client.exited.done():
                    # transport.kill() might reap the process, and asyncio not learn of its end.
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(transport.get_pid(), signal.SIGKILL)
                await client.exited
            finally:
                transport.close()


class _Client(asyncio.SubprocessProtocol):
    """An ssh client: its output, its exit status, and the end of what it says on standard error."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.output = asyncio.StreamReader(limit=1 << 16, loop=loop)
        self.exited: asyncio.Future[int] = loop.create_future()
        self.silent: asyncio.Future[None] = loop.create_future()
        self._said = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        # A reader that stands still makes the host wait, not this process grow.
        self.output.set_transport(self._transport.get_pipe_transport(1))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 1:
            self.output.feed_data(data)
        else:
            self._said = (self._said + data)[-4096:]

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd == 1:
            self.output.feed_eof()
        elif fd == 2 and not self.silent.done():
            self.silent.set_result(None)

    def process_exited(self) -> None:
        if not self.exited.done():
            self.exited.set_result(self._transport.get_returncode())

    def last_words(self) -> str:
        """Return the last line on standard error."""
        return self._said.decode("utf-8", "replace").strip().rpartition("\n")[2].strip()
