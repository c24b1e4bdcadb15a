# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The console's options and what it does without a conmon; the contract suite has the rest."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind import errors
from plugind.runtime import bundle as bundle_
from plugind.runtime import console
from plugind.runtime.console import Streams


@pytest.mark.parametrize(
    ("streams", "options"),
    [
        (Streams(), []),
        (Streams(terminal=True), ["--terminal"]),
        (Streams(stdin=True, stdin_once=True), ["--stdin"]),
        (Streams(stdin=True), ["--stdin", "--leave-stdin-open"]),
        (
            Streams(terminal=True, stdin=True, stdin_once=True),
            ["--terminal", "--stdin", "--leave-stdin-open"],
        ),
    ],
)
def test_conmons_options(streams: Streams, options: list[str]) -> None:
    assert streams.conmon_options() == options


@pytest.fixture
def bundle(tmp_path: Path) -> bundle_.Bundle:
    made = bundle_.Bundle(run=tmp_path, id="c" * 64)
    made.path.mkdir(parents=True)
    return made


@pytest.fixture
def conmon(bundle: bundle_.Bundle) -> Iterator[socket.socket]:
    """A socket that listens where conmon's does, under a name of any length."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        directory = os.open(bundle.path, os.O_PATH)
        listener.bind(f"/proc/self/fd/{directory}/attach")
        os.close(directory)
        listener.listen()
        yield listener


def test_nobody_to_connect_to(bundle: bundle_.Bundle) -> None:
    assert console.connect(bundle) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        directory = os.open(bundle.path, os.O_PATH)
        listener.bind(f"/proc/self/fd/{directory}/attach")
        os.close(directory)
    assert console.connect(bundle) is None  # the file is there, and nobody listens


def test_what_is_no_socket(bundle: bundle_.Bundle) -> None:
    os.symlink(bundle.attach, bundle.attach)
    with pytest.raises(errors.System, match="cannot attach to"):
        console.connect(bundle)


async def test_packets(bundle: bundle_.Bundle, conmon: socket.socket) -> None:
    mine = console.connect(bundle)
    assert mine is not None
    other, _ = conmon.accept()
    with other:
        for packet in (b"\x02out", b"\x07what", b"\x03err"):
            other.send(packet)
        assert await mine.read() == (1, b"out")
        assert await mine.read() == (2, b"err")
        await mine.write(b"x" * 10_000)
        assert [len(other.recv(65536)) for _ in range(2)] == [8192, 1808]
        mine.end_input()
        assert other.recv(1) == b""
    assert await mine.read() is None
    await mine.write(b"nobody reads this")
    mine.end_input()
    mine.close()


async def test_output_survives_input_that_was_never_read(
    bundle: bundle_.Bundle, conmon: socket.socket
) -> None:
    """The kernel reports such an end as an error before it gives out what was sent."""
    mine = console.connect(bundle)
    assert mine is not None
    other, _ = conmon.accept()
    await mine.write(b"unread")
    other.send(b"\x02last words")
    other.close()
    assert await mine.read() == (1, b"last words")
    assert await mine.read() is None
    mine.close()


async def test_resizing(bundle: bundle_.Bundle, conmon: socket.socket) -> None:
    mine = console.connect(bundle)
    assert mine is not None
    mine.resize(1, 2)  # without a fifo there is no terminal any more
    os.mkfifo(bundle.control)
    mine.resize(1, 2)  # nor without somebody who reads it
    reader = os.open(bundle.control, os.O_RDONLY | os.O_NONBLOCK)
    mine.resize(24, 80)
    assert os.read(reader, 100) == b"1 24 80\n"
    os.close(reader)
    bundle.control.unlink()
    bundle.control.mkdir()
    with pytest.raises(errors.System, match="cannot resize the terminal"):
        mine.resize(1, 2)
    mine.close()
    await asyncio.sleep(0)
