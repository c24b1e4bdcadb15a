# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The X-Registry-Auth header."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugind.model.credentials import Credentials
from plugind.registry import credentials

FULL = {
    "username": "u",
    "password": "p",
    "auth": "",
    "email": "",
    "serveraddress": "https://example.org/",
    "identitytoken": "i",
    "registrytoken": "r",
}


def encode(document: Any, *, url_safe: bool = True, padded: bool = True) -> str:
    raw = json.dumps(document).encode()
    text = (base64.urlsafe_b64encode if url_safe else base64.b64encode)(raw).decode()
    return text if padded else text.rstrip("=")


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("url_safe", [True, False])
@pytest.mark.parametrize("password", ["p", "pp", "ppp", "\u00ff\u00ff?>~~~"])
def test_every_encoding(padded: bool, url_safe: bool, password: str) -> None:
    value = encode(FULL | {"password": password}, url_safe=url_safe, padded=padded)
    assert credentials.parse_header(value) == Credentials(
        username="u",
        password=password,
        identity_token="i",
        registry_token="r",
        server_address="https://example.org/",
    )


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "e30=",
        "e30",
        "not base64!",
        "\u00e9",
        encode([1]),
        encode("text"),
        encode(None),
        encode({"username": ["u"]}),
        encode({"username": None}),
        encode({"serveraddress": "https://example.org/"}),
        encode({"password": "p"}),
        base64.b64encode(b"{").decode(),
        base64.b64encode(b"\xff\xfe").decode(),
        base64.b64encode(b"[" * 200_000).decode(),
    ],
)
def test_what_cannot_be_decoded_counts_as_nothing(value: str | None) -> None:
    assert credentials.parse_header(value) is None


def test_keys_are_matched_as_go_does() -> None:
    found = credentials.parse_header(encode({"Username": "u", "IdentityToken": "i"}))
    assert found == Credentials(username="u", identity_token="i")


@pytest.mark.parametrize("pair", ["u:p:q", "u:p:q\0\0"])
def test_auth_is_user_and_password(pair: str) -> None:
    auth = base64.b64encode(pair.encode()).decode()
    found = credentials.parse_header(encode({"auth": auth}))
    assert found == Credentials(username="u", password="p:q")


def test_auth_does_not_replace_what_is_given() -> None:
    auth = base64.b64encode(b"other:secret").decode()
    found = credentials.parse_header(encode({"username": "u", "password": "p", "auth": auth}))
    assert found == Credentials(username="u", password="p")


@pytest.mark.parametrize("auth", ["!", "dQ==", "OnA=", base64.b64encode(b"\xff:p").decode()])
def test_malformed_auth_is_not_there(auth: str) -> None:
    assert credentials.parse_header(encode({"auth": auth})) is None


def test_tokens_alone_are_credentials() -> None:
    assert credentials.parse_header(encode({"identitytoken": "i"})) == Credentials(
        identity_token="i"
    )
    assert credentials.parse_header(encode({"registrytoken": "r"})) == Credentials(
        registry_token="r"
    )


@settings(deadline=None)  # other tests may need the processor
@given(st.text())
def test_nothing_raises(value: str) -> None:
    credentials.parse_header(value)


DOCUMENTS = st.recursive(
    st.none() | st.text() | st.integers(), lambda s: st.lists(s) | st.dictionaries(st.text(), s)
)


@settings(deadline=None)  # other tests may need the processor
@given(DOCUMENTS)
def test_no_document_raises(document: Any) -> None:
    credentials.parse_header(encode(document))


def test_half_a_surrogate_is_no_text() -> None:
    """JSON can spell it, no header can carry it."""
    assert credentials.parse_header(encode({"username": "\ud800", "password": "p"})) is None
