# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import threading

import pytest

from plugind.store.pipe import Pipe


def test_chunks_arrive_in_order_and_end() -> None:
    pipe = Pipe()
    for chunk in (b"a", b"", b"b"):
        pipe.put(chunk)
    pipe.close()
    assert list(pipe) == [b"a", b"b"]
    assert pipe.read(10) == b""


def test_the_writer_waits_for_room_but_one_chunk_always_fits() -> None:
    pipe = Pipe(capacity=10)
    got: list[bytes] = []
    written = threading.Event()

    def write() -> None:
        for _ in range(3):
            pipe.put(b"x" * 20)
        written.set()
        pipe.close()

    writer = threading.Thread(target=write)
    writer.start()
    got.append(pipe.read())
    assert not written.is_set() or len(got) > 1
    got.extend(pipe)
    writer.join()
    assert got == [b"x" * 20] * 3


@pytest.mark.parametrize("side", ["read", "put"])
def test_a_failure_wakes_the_other_side(side: str) -> None:
    pipe = Pipe(capacity=1)
    caught: list[BaseException] = []
    if side == "put":
        pipe.put(b"full")

    def wait() -> None:
        try:
            pipe.read() if side == "read" else pipe.put(b"more")
        except ValueError as exc:
            caught.append(exc)

    waiter = threading.Thread(target=wait)
    waiter.start()
    first = ValueError("first")
    pipe.fail(first)
    pipe.fail(ValueError("second"))
    waiter.join()
    assert caught == [first]
