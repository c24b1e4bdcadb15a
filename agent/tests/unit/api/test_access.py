# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import asyncio
import os
import socket

import pytest

from plugind import errors
from plugind.api import access


def peer(uid, *groups):
    return access.Peer(uid=uid, groups=frozenset(groups))


@pytest.mark.parametrize("uid", [0, os.geteuid()])
def test_root_and_the_agents_own_user_may(uid):
    access.require_member(peer(uid), None)


def test_a_member_of_the_group_may():
    access.require_member(peer(4711, 100, 900), 900)


@pytest.mark.parametrize(("groups", "gid"), [((), None), ((4711,), 900), ((0,), None)])
def test_others_may_not(groups, gid):
    with pytest.raises(errors.Forbidden, match="uid 4711 is neither root nor in the group"):
        access.require_member(peer(4711, *groups), gid)


async def connected(tmp_path, path="s"):
    """Return the transport that a server has of a client in this process."""
    accepted = asyncio.get_running_loop().create_future()

    def accept(reader, writer):
        accepted.set_result(writer)

    server = await asyncio.start_unix_server(accept, tmp_path / path)
    _, client = await asyncio.open_unix_connection(tmp_path / path)
    return server, client, await accepted


async def test_the_kernel_says_who_calls(tmp_path):
    server, client, writer = await connected(tmp_path)
    found = access.peer_of(writer.transport)
    assert found.uid == os.geteuid()
    assert found.groups == {os.getegid(), *os.getgroups()}
    client.close()
    writer.close()
    server.close()
    await server.wait_closed()


async def test_whoever_comes_otherwise_is_refused():
    with pytest.raises(errors.Forbidden, match="cannot tell who is calling"):
        access.peer_of(None)
    here, there = socket.socketpair(socket.AF_UNIX)
    with here, there, socket.socket(socket.AF_INET) as other:
        with pytest.raises(errors.Forbidden, match="not a unix socket"):
            access.peer_of(_Transport(other))


class _Transport:
    def __init__(self, connection):
        self._connection = connection

    def get_extra_info(self, name):
        return self._connection if name == "socket" else None
