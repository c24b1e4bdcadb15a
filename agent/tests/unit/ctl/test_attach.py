# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Frames are sorted as they come, however they are cut; threads end with their connection."""

from __future__ import annotations

import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes import container_engine
from fakes.container_engine import ID, Engine
from plugind.ctl import attach, http

FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=200)), max_size=12)


class Pieces:
    """What http.client reads from, which returns as little as it likes."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self.fp = self
        self._data = data
        self._sizes = sizes

    def read1(self, most: int) -> bytes:
        size = min(most, self._sizes.pop() if self._sizes else most)
        piece, self._data = self._data[:size], self._data[size:]
        return piece


def reader(data: bytes, sizes: list[int], limit: int) -> attach.Attached:
    """An attachment without threads and connection."""
    made = attach.Attached.__new__(attach.Attached)
    made.stdout, made.stderr = bytearray(), bytearray()
    made._limit = limit
    made._answer = Pieces(data, sizes)  # type: ignore[assignment]
    return made


@settings(deadline=None)
@given(frames=FRAMES, sizes=st.lists(st.integers(1, 30)))
def test_frames_cut_anywhere(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    raw = b"".join(struct.pack(">BxxxL", stream, len(data)) + data for stream, data in frames)
    attached = reader(raw, sizes, 1 << 20)
    attached._read()
    assert attached.stdout == b"".join(data for stream, data in frames if stream == 1)
    assert attached.stderr == b"".join(data for stream, data in frames if stream == 2)


@pytest.mark.parametrize("length", [3, 8, 10])
def test_an_end_in_the_middle(length: int) -> None:
    raw = struct.pack(">BxxxL", 1, 4) + b"abcd"
    with pytest.raises(attach.BrokenOff, match="in the middle of a frame"):
        reader(raw[:length], [], 100)._read()


def test_the_limit_is_each_streams_own() -> None:
    frames = b"".join(struct.pack(">BxxxL", stream, 4) + b"abcd" for stream in (1, 2, 2))
    reader(frames, [], 8)._read()
    with pytest.raises(attach.TooMuch, match="stderr has more than 7 bytes"):
        reader(frames, [], 7)._read()


def test_in_the_background() -> None:
    def fail() -> None:
        raise ValueError("why")

    go = threading.Event()
    waiting = attach.Background(go.wait)
    with pytest.raises(TimeoutError):
        waiting.outcome(0)
    go.set()
    assert waiting.outcome(None) is True
    with pytest.raises(ValueError, match="why"):
        attach.Background(fail).outcome(None)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with container_engine.serve(tmp_path / "s") as running:
        yield running


def test_closing_ends_what_waits(engine: Engine) -> None:
    engine.container = container_engine.Container({"Cmd": ["hang"]})
    attached = attach.Attached(engine.url, ID, stdin=b"", limit=10)
    ending = attach.Ending(engine.url, ID)
    for call in (attached, ending):
        call.close()
        assert not any(thread.is_alive() for thread in call.threads())


def test_what_the_engine_refuses(engine: Engine) -> None:
    engine.refusals[("POST", "wait")] = (404, "no such container")
    with pytest.raises(http.Refused, match="no such container"):
        attach.Ending(engine.url, ID)
