# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What a verb makes of a reader that ends before it does."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from plugind.ctl import reader, wire


@pytest.fixture
def ends() -> Iterator[tuple[Any, socket.socket]]:
    """A connection as verbs have it, and the agent's end of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SimpleNamespace(sock=ours), theirs


@contextlib.contextmanager
def output() -> Iterator[int]:
    """Make standard output a pipe; give the end that somebody reads, to be closed."""
    read, write = os.pipe()
    with os.fdopen(write, "w") as stdout, contextlib.redirect_stdout(stdout):
        yield read


def test_a_reader_that_ends_ends_the_connection(ends: tuple[Any, socket.socket]) -> None:
    connection, agent = ends
    with output() as read, reader.followed(connection):
        os.close(read)
        assert connection.sock.recv(1) == b""  # waits for as long as it takes
        raise wire.Unreachable("the connection broke")
    assert agent.recv(1) == b""


def test_a_write_that_finds_it_out_first_is_no_error(ends: tuple[Any, socket.socket]) -> None:
    with output() as read:
        with reader.followed(ends[0]):
            os.close(read)
            while True:
                print("more", flush=True)
        print("and more", flush=True)


def test_an_agent_that_goes_is_an_error(ends: tuple[Any, socket.socket]) -> None:
    before = set(threading.enumerate())
    with (
        output() as read,
        pytest.raises(wire.Unreachable, match="the connection broke"),
        reader.followed(ends[0]),
    ):
        raise wire.Unreachable("the connection broke")
    os.close(read)
    assert set(threading.enumerate()) <= before


def test_output_that_was_closed_before_is_no_error(ends: tuple[Any, socket.socket]) -> None:
    with contextlib.redirect_stdout(None), reader.followed(ends[0]):
        print("for nobody", flush=True)
