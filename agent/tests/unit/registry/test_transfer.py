# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Bodies on their way, without a network."""

from __future__ import annotations

import io
from collections.abc import Mapping

import pytest

from plugind import errors
from plugind.registry import transfer

BROKEN = errors.Unavailable("cannot reach it: connection reset")


class Answer:
    """Gives the parts; an exception among them is raised."""

    def __init__(
        self,
        *parts: bytes | Exception,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers or {}
        self.url = "http://registry.example/"
        self.released = False
        self._parts = list(parts)

    async def read(self, size: int) -> bytes:
        assert not self.released
        part = self._parts.pop(0) if self._parts else b""
        if isinstance(part, Exception):
            raise part
        return part

    def release(self) -> None:
        self.released = True


class Source:
    """Opens the answers one after the other."""

    def __init__(self, *answers: Answer) -> None:
        self.offsets: list[int] = []
        self._answers = list(answers)

    async def open_at(self, offset: int) -> transfer.Answer:
        self.offsets.append(offset)
        return self._answers.pop(0)


def rest(offset: int, *parts: bytes | Exception) -> Answer:
    return Answer(*parts, status=206, headers={"Content-Range": f"bytes {offset}-9/10"})


async def read(size: int, first: Answer, *further: Answer) -> tuple[bytes, list[int]]:
    source = Source(*further)
    reader = transfer.BlobReader(first, source.open_at, size, "fetch it")
    content = b"".join([chunk async for chunk in reader.read_chunks()])
    reader.release()
    assert all(answer.released for answer in further)
    return content, source.offsets


async def test_a_whole_blob() -> None:
    answer = Answer(b"01234", b"56789", headers={"Content-Length": "10"})
    assert await read(10, answer) == (b"0123456789", [])
    assert answer.released


async def test_an_empty_blob() -> None:
    assert await read(0, Answer()) == (b"", [])


@pytest.mark.parametrize(
    ("parts", "actual"), [((b"0123",), "only 4"), ((), "only 0"), ((b"0123456789", b"0"), "more")]
)
async def test_a_wrong_size(parts: tuple[bytes, ...], actual: str) -> None:
    with pytest.raises(errors.System, match=f"expected 10 bytes, the registry has {actual}"):
        await read(10, Answer(*parts))


async def test_a_wrong_length_is_refused_before_the_first_byte() -> None:
    answer = Answer(AssertionError("read"), headers={"Content-Length": "11"})
    with pytest.raises(errors.System, match=r"cannot fetch it: .* the registry has 11"):
        await read(10, answer)


async def test_a_broken_download_goes_on() -> None:
    content, offsets = await read(
        10, Answer(b"012", BROKEN), rest(3, b"3", BROKEN), rest(4, BROKEN), rest(4, b"456789")
    )
    assert (content, offsets) == (b"0123456789", [3, 4, 4])


async def test_a_download_that_broke_at_the_start_is_asked_for_anew() -> None:
    assert await read(2, Answer(BROKEN), Answer(b"01")) == (b"01", [0])


async def test_a_download_that_broke_after_its_last_byte_is_whole() -> None:
    assert await read(2, Answer(b"01", BROKEN)) == (b"01", [])


async def test_there_is_an_end_to_resuming() -> None:
    broken = [rest(3, BROKEN) for _ in range(4)]
    with pytest.raises(errors.Unavailable, match="broken after 3 of 10 bytes, 3 resumes later"):
        await read(10, Answer(b"012", BROKEN), *broken)
    assert [answer.released for answer in broken] == [True, True, True, False]


@pytest.mark.parametrize(
    "second",
    [
        Answer(b"0123456789"),
        Answer(b"0", status=206),
        Answer(b"0", status=206, headers={"Content-Range": "bytes 30-99/100"}),
        Answer(b"0", status=206, headers={"Content-Range": "bytes 0-9/10"}),
    ],
)
async def test_an_answer_that_is_not_the_rest(second: Answer) -> None:
    with pytest.raises(errors.Unavailable, match=r"cannot be resumed: .* connection reset"):
        await read(10, Answer(b"012", BROKEN), second)


async def test_read_all() -> None:
    assert await transfer.read_all(Answer(b"01", b"2"), 3, "read it") == b"012"
    with pytest.raises(errors.System, match="cannot read it: the answer is larger than 2 bytes"):
        await transfer.read_all(Answer(b"01", b"2"), 2, "read it")


@pytest.mark.parametrize("size", [0, 1, transfer.CHUNK, transfer.CHUNK + 1, 3 * transfer.CHUNK])
async def test_an_upload(size: int) -> None:
    seen: list[int] = []
    content = bytes(size)
    parts = [
        part async for part in transfer.read_content(io.BytesIO(content), size, "x", seen.append)
    ]
    assert b"".join(parts) == content
    assert all(len(part) <= transfer.CHUNK for part in parts)
    assert (seen[-1] if seen else 0) == size


@pytest.mark.parametrize("actual", [9, 11])
async def test_an_upload_of_another_size(actual: int) -> None:
    content = transfer.read_content(io.BytesIO(bytes(actual)), 10, "push it", lambda _: None)
    with pytest.raises(errors.System, match=f"cannot push it: .* have {actual}"):
        _ = [part async for part in content]
