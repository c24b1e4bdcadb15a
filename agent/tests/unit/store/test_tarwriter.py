# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
from __future__ import annotations

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from plugind.store import tarentry
from plugind.store.limits import Limits
from plugind.store.tarentry import Entry
from plugind.store.tarstream import TarReader
from plugind.store.tarwriter import TarWriter


def write(entries: list[tuple[Entry, bytes]]) -> bytes:
    sink = io.BytesIO()
    writer = TarWriter(sink)
    for entry, content in entries:
        writer.begin(entry)
        writer.write(content)
        writer.end(entry)
    writer.close()
    return sink.getvalue()


NAMES = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name)
WHOLE_SECONDS = st.integers(-(1 << 39), 1 << 39).map(lambda seconds: seconds * 1_000_000_000)
ENTRIES = st.builds(
    Entry,
    name=NAMES,
    type=st.sampled_from([tarentry.DIRECTORY, tarentry.FIFO, tarentry.SYMLINK]),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 0xFFFFFFFE),
    gid=st.integers(0, 0xFFFFFFFE),
    mtime_ns=WHOLE_SECONDS,
    link=NAMES,
    xattrs=st.dictionaries(st.sampled_from(["user.a", "security.capability"]), st.binary()),
)


@given(st.lists(ENTRIES, max_size=4))
def test_what_is_written_is_read_back(entries: list[Entry]) -> None:
    raw = write([(entry, b"") for entry in entries])
    assert list(TarReader([raw], Limits())) == entries


def test_other_tools_read_it() -> None:
    content = b"x" * 1000
    entries = [
        (Entry(name=b"a" * 150, type=tarentry.REGULAR, size=1000, uid=3_000_000), content),
        (Entry(name=b"dev", type=tarentry.CHARACTER, device=(1, 3)), b""),
        (Entry(name=b"caf\xc3\xa9", type=tarentry.SYMLINK, link=b"t" * 150), b""),
    ]
    raw = write(entries)
    with tarfile.open(fileobj=io.BytesIO(raw)) as tar:
        big, device, link = tar.getmembers()
        extracted = tar.extractfile(big)
        assert extracted is not None
        assert extracted.read() == content
        assert (big.name, big.uid) == ("a" * 150, 3_000_000)
        assert (device.devmajor, device.devminor) == (1, 3)
        assert (link.name, link.linkname) == ("caf\u00e9", "t" * 150)


def test_the_same_entries_give_the_same_bytes() -> None:
    one = Entry(name=b"a", type=tarentry.REGULAR, xattrs={"user.a": b"1", "user.b": b"2"})
    other = Entry(name=b"a", type=tarentry.REGULAR, xattrs={"user.b": b"2", "user.a": b"1"})
    assert write([(one, b"")]) == write([(other, b"")])
