# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The API on a unix socket in a temporary directory, and a one-line language to talk to it.

    GET volumes/foo                            200  .Name=foo
    POST plugins/toy/enable?timeout=x          400  .message=strconv.Atoi: parsing "x": ...
    POST volumes/create Accept:a <{"Name": 1}  400  .message=~unmarshal

Columns stand two blanks or more apart: the request (method, path, headers, body); the status; then
what to expect. `.key.0=value` is a value of the JSON answer (`=~` for a part of a text), `=text`
the whole answer, `Header:value` a header of it. A body is JSON unless a Content-Type says
otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import aiohttp
import yarl
from aiohttp import web

from fakes import stories as stories_
from plugind.api import access, app

VERSION = "1.2.3"


class Served:
    """A running API over a fake engine."""

    def __init__(self, path, engine, stories):
        self.path, self.engine, self.stories = path, engine, stories
        self.runner = None
        self.session = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(path)), auto_decompress=False
        )

    @property
    def url(self):
        return f"unix://{self.path}"

    async def request(self, method, path, *, body=None, headers=None):
        """Return (status, headers, body)."""
        headers = dict(headers or {})
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        async with self.session.request(
            method,
            yarl.URL(f"http://engine/{path}", encoded=True),
            data=body,
            headers=headers,
            skip_auto_headers=["Content-Type", "User-Agent"],
        ) as response:
            return response.status, response.headers, await response.read()

    async def say(self, line):
        """Send a line of the language and check what comes back."""
        await _say(self, line)

    async def raw(self, request: bytes, *, until=None) -> bytes:
        """Send bytes, half-close, and return everything that is answered."""
        reader, writer = await asyncio.open_unix_connection(str(self.path))
        writer.write(request)
        answer = await (reader.read() if until is None else reader.readuntil(until))
        writer.close()
        return answer


@contextlib.asynccontextmanager
async def serve(directory, *, group_gid=None, peer_of=access.peer_of, stories=None):
    """Serve the API over a fake engine until the context is left."""
    engine, stories = stories_.FakeEngine(), stories or stories_.FakeStories()
    application = app.make_app(
        engine, version=VERSION, group_gid=group_gid, stories=stories, peer_of=peer_of
    )
    served = Served(directory / "api.sock", engine, stories)
    served.runner = app.make_runner(application)
    await served.runner.setup()
    await web.UnixSite(served.runner, str(served.path)).start()
    try:
        yield served
    finally:
        await served.session.close()
        await served.runner.cleanup()


def rows(table):
    """Return the lines of a table, without blank lines and comments."""
    lines = (line.strip() for line in table.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


async def _say(served, line):
    request, status, *wanted = re.split(r"\s{2,}", line)
    request, given, body = request.partition(" <")
    method, path, *headers = request.split(" ")
    got, fields, answer = await served.request(
        method,
        path,
        body=body.encode() if given else None,
        headers=dict(header.split(":", 1) for header in headers),
    )
    assert got == int(status), (line, answer)
    for expectation in wanted:
        _check(expectation, fields, answer)


def _check(expectation, fields, answer):
    key, sign, value = expectation.partition("=")
    if expectation.startswith("="):
        assert answer.decode() == value.replace("\\n", "\n")
    elif expectation.startswith("."):
        assert sign, expectation
        shown = _dig(json.loads(answer), key[1:].split(".") if key != "." else [])
        if value.startswith("~"):
            assert value[1:] in shown, (expectation, shown)
        else:
            assert value == (shown if isinstance(shown, str) else json.dumps(shown)), expectation
    else:
        name, _, text = expectation.partition(":")
        assert fields.get(name) == text, (expectation, fields.get(name))


def _dig(document, path):
    for part in path:
        document = document[int(part) if isinstance(document, list) else part]
    return document
