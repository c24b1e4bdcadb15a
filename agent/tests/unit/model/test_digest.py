# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Content digests."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugind import errors
from plugind.model.digest import Digest

EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_parse_and_render() -> None:
    digest = Digest.parse(f"sha256:{EMPTY}")
    assert digest.hex == EMPTY
    assert str(digest) == f"sha256:{EMPTY}"
    assert digest.short == "e3b0c44298fc"
    assert digest == Digest.of(b"")


@pytest.mark.parametrize(
    "text",
    [
        "",
        EMPTY,
        "sha256:",
        "sha256:" + EMPTY[:-1],
        "sha256:" + EMPTY + "0",
        "sha256:" + EMPTY.upper(),
        "SHA256:" + EMPTY,
        "sha512:" + EMPTY * 2,
        "sha256:" + EMPTY + "\n",
        " sha256:" + EMPTY,
        "sha256:" + "\u0661" * 64,
        "sha256:../" + EMPTY[3:],
    ],
)
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="invalid digest"):
        Digest.parse(text)


@settings(deadline=None)  # other tests may need the processor
@given(st.binary())
def test_of_content(content: bytes) -> None:
    digest = Digest.of(content)
    assert digest.hex == hashlib.sha256(content).hexdigest()
    assert Digest.parse(str(digest)) == digest
    digest.verify(content, "it")


def test_verify_names_what_is_wrong() -> None:
    expected, actual = Digest.of(b"a"), Digest.of(b"b")
    with pytest.raises(errors.DigestMismatch) as caught:
        expected.verify(b"b", "layer 1")
    assert str(caught.value) == f"cannot verify layer 1: expected {expected}, got {actual}"
    expected.require(expected, "layer 1")
    with pytest.raises(errors.DigestMismatch):
        expected.require(actual, "layer 1")


def test_digests_are_values() -> None:
    digests = {Digest.of(b"a"), Digest.of(b"a"), Digest.of(b"b")}
    assert len(digests) == 2
    assert sorted(digests) == sorted(digests, key=str)
