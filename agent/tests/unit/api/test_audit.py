# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Who wanted it, in the log."""

from __future__ import annotations

import asyncio
import logging
import os

import aiohttp
import pytest

from plugind import errors
from plugind.api import access, audit
from support import served as served_

ME = access.Peer(uid=4711, groups=frozenset({4711}), pid=os.getpid())
GONE = access.Peer(uid=4711, groups=frozenset({4711}))


@pytest.fixture
def lines(caplog):
    """Return what was logged: message and fields."""
    caplog.set_level(logging.INFO)

    def read():
        return [(each.getMessage(), getattr(each, "fields", {})) for each in caplog.records]

    return read


def test_a_process_that_is_gone_is_a_number():
    assert audit.describe(GONE) == {"uid": 4711, "pid": 0}


def test_a_process_has_a_program():
    found = audit.describe(ME)
    assert (found["uid"], found["pid"]) == (4711, os.getpid())
    assert found["program"]


@pytest.mark.parametrize(
    ("exc", "status"),
    [
        (errors.NotFound("no such volume"), 404),
        (ZeroDivisionError(), 500),
        (aiohttp.ClientConnectionResetError(), "none"),
        (asyncio.CancelledError(), "none"),
    ],
)
def test_an_error_is_told_by_its_status(lines, exc, status):
    with pytest.raises(type(exc)), audit.told("DELETE /volumes/v1", GONE):
        raise exc
    assert lines() == [("DELETE /volumes/v1", {"status": status, "uid": 4711, "pid": 0})]


async def test_what_changes_something_is_told_and_what_reads_is_not(served, lines):
    await served.say("GET volumes/v1  200")
    await served.say("DELETE v1.41/volumes/v1  204")
    await served.say("DELETE volumes/nosuch  404")
    told = [(said, found["status"], found["uid"], found["pid"]) for said, found in lines()]
    me = (os.geteuid(), os.getpid())
    assert told == [("DELETE /volumes/v1", 204, *me), ("DELETE /volumes/nosuch", 404, *me)]


async def test_who_was_kept_out_is_told_whatever_it_wanted(tmp_path, lines):
    async with served_.serve(tmp_path, group_gid=900, peer_of=lambda _: GONE) as served:
        assert (await served.request("GET", "plugins"))[0] == 403
    ((said, fields),) = lines()
    assert said.startswith("GET /plugins: access denied: uid 4711")
    assert fields == {"uid": 4711, "pid": 0}
