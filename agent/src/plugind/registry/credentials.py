# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The X-Registry-Auth header: base64url JSON of Docker's AuthConfig.

As in Docker, a value that cannot be decoded counts as no credentials, silently: clients send
`e30=` (`{}`), nothing, or padding of either kind, and a registry that wants credentials says so.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from plugind.model.credentials import Credentials

HEADER = "X-Registry-Auth"


def parse_header(value: str | None) -> Credentials | None:
    """Decode the header's value; None if there are no credentials in it."""
    return from_document(_decode(value or ""))


def from_document(document: Mapping[str, Any]) -> Credentials | None:
    """Return the credentials in an AuthConfig whose keys are in lower case; None if it has none."""
    username, password = _text(document, "username"), _text(document, "password")
    pair = _decode_pair(_text(document, "auth"))
    if pair is not None and not username:
        username, password = pair
    credentials = Credentials(
        username=username,
        password=password,
        identity_token=_text(document, "identitytoken"),
        registry_token=_text(document, "registrytoken"),
        server_address=_text(document, "serveraddress"),
    )
    return credentials or None


def _decode(value: str) -> dict[str, Any]:
    """Return the JSON object in `value`, empty if there is none (see the module's text)."""
    try:
        document = json.loads(_base64(value)) if value else {}
    except (ValueError, RecursionError):  # not base64, not UTF-8, not JSON: no credentials
        return {}
    # Go matches the keys of JSON objects without regard to case.
    return {key.lower(): item for key, item in document.items()} if _is_dict(document) else {}


def _decode_pair(auth: str) -> tuple[str, str] | None:
    """Decode `auth`: base64 of `username:password`. The CLI's file pads it with NUL bytes."""
    try:
        text = _base64(auth).decode()
    except ValueError:  # the same rule: what cannot be decoded is not there
        return None
    username, colon, password = text.partition(":")
    return (username, password.strip("\0")) if colon and username else None


def _base64(text: str) -> bytes:
    """Decode either alphabet, padded or not."""
    text = text.strip().rstrip("=").replace("+", "-").replace("/", "_")
    if not text.isascii():
        raise binascii.Error("not ASCII")
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded, altchars=b"-_", validate=True)


def _text(document: Mapping[str, Any], key: str) -> str:
    value = document.get(key, "")
    # JSON can spell half a surrogate pair; no header can carry it.
    sendable = isinstance(value, str) and not any("\ud800" <= char <= "\udfff" for char in value)
    return str(value) if sendable else ""


def _is_dict(document: object) -> bool:
    return isinstance(document, dict)
