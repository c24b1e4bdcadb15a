# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Reading an image's config blob: typed members of a document that strangers wrote.

Every problem is InvalidParameter `invalid image config: <member>: <what is wanted>`. Members are
spelled as the OCI image spec spells them; null is the same as absent, as for Go.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any

from plugind import errors
from plugind.model.digest import Digest

# RFC 3339 with any number of digits; Python reads six.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def load(raw: bytes) -> dict[str, Any]:
    """Return the document in `raw`."""
    try:
        document = json.loads(raw)
        # A lone surrogate has no UTF-8, so that it could neither be stored nor shown.
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as exc:
        raise errors.InvalidParameter(f"invalid image config: no JSON: {exc}") from exc
    if not isinstance(document, dict):
        raise errors.InvalidParameter("invalid image config: want an object")
    return document


def invalid(member: str, wanted: str) -> errors.InvalidParameter:
    """Return the error for a member."""
    return errors.InvalidParameter(f"invalid image config: {member}: {wanted}")


def get_object(document: Mapping[str, Any], key: str, member: str) -> dict[str, Any]:
    """Return an object, empty if there is none."""
    value = document.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(member, "want an object")
    return value


def get_text(document: Mapping[str, Any], key: str, member: str) -> str:
    """Return a text, empty if there is none. No text may hold a NUL: the kernel's end there."""
    value = document.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise invalid(member, "want a text")
    return value


def get_texts(document: Mapping[str, Any], key: str, member: str) -> tuple[str, ...] | None:
    """Return a list of texts, None if there is none."""
    value = document.get(key)
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(v, str) and "\0" not in v for v in value):
        raise invalid(member, "want a list of texts")
    return tuple(value)


def get_labels(document: Mapping[str, Any], key: str, member: str) -> dict[str, str]:
    """Return texts by name; a null among them is empty."""
    value = get_object(document, key, member)
    if not all(text is None or isinstance(text, str) for text in value.values()):
        raise invalid(member, "want texts by name")
    return {name: text or "" for name, text in value.items()}


def get_set(document: Mapping[str, Any], key: str, member: str) -> tuple[str, ...]:
    """Return the keys of an object whose values mean nothing, sorted."""
    value = get_object(document, key, member)
    if any("\0" in name for name in value):
        raise invalid(member, "want texts")
    return tuple(sorted(value))


def parse_diff_id(text: str) -> Digest:
    """Return the digest of an uncompressed layer."""
    try:
        return Digest.parse(text)
    except errors.InvalidParameter as exc:
        raise invalid("rootfs.diff_ids", exc.message) from exc


def unix_time(text: str) -> int:
    """Return RFC 3339 as seconds since 1970; what is none, or lies beyond the calendar, is 0."""
    match = _TIME.fullmatch(text)
    if match is None:
        return 0
    try:
        moment = datetime.datetime.fromisoformat(match[1] + match[2].upper().replace("Z", "+00:00"))
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        return 0


def comment_of(document: Mapping[str, Any]) -> str:
    """Return what the image's last step says of itself, as Docker shows it."""
    if document.get("comment"):
        return str(document["comment"])
    history = document.get("history")
    last = history[-1] if isinstance(history, list) and history else None
    return str(last.get("comment") or "") if isinstance(last, dict) else ""
