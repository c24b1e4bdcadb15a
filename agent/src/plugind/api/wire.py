# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Bytes to values and back: JSON bodies, query parameters, numbers and times.

JSON is read as Go's decoder reads it where clients can tell: keys in any case, null is the zero
value, an empty body too. Where Go would guess (a lone surrogate, invalid UTF-8) it is refused.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import AsyncIterator, Mapping
from typing import Any, NoReturn

from aiohttp import http_exceptions, web

from plugind import errors

MAX_JSON = 4 * 1024 * 1024
_CHUNK = 256 * 1024
_INT64 = 1 << 63
_FALSE = frozenset({"", "0", "no", "false", "none"})
_TRUE_WORDS = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE_WORDS = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
_FRACTION = re.compile(r"[0-9]+", re.ASCII)
_MEDIA_TYPE = re.compile(r"[!-~]+/[!-~]+", re.ASCII)

# What reading a body raises for bad framing, bad compression, and a client that is gone.
_BROKEN_BODY = (web.RequestPayloadError, http_exceptions.HttpProcessingError, ConnectionError)

# Python's words for what is wrong with a JSON text -> Go's, which a test of moby insists on.
_GO_WORDS = {
    "Expecting property name enclosed in double quotes": "looking for beginning of object key string",
    "Illegal trailing comma before end of object": "looking for beginning of object key string",
    "Expecting value": "looking for beginning of value",
    "Expecting ':' delimiter": "after object key",
    "Expecting ',' delimiter": "after object key:value pair or array element",
    "Invalid control character at": "in string literal",
}


def json_bytes(document: Any) -> bytes:
    """Return `document` as compact JSON without a line end."""
    return json.dumps(document, separators=(",", ":")).encode()


def json_response(document: Any, *, status: int = 200) -> web.Response:
    """Return a JSON response; as in the original, the body ends with a newline."""
    body = json_bytes(document) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")


async def read_json(request: web.Request) -> Any:
    """Return the decoded body; None if there is none. Content types as in the original."""
    empty = not request.body_exists or request.content_length == 0
    if empty and "Content-Type" not in request.headers:
        return None
    _require_json(request.headers.get("Content-Type", ""))
    return None if empty else decode_json(await _read(request))


async def read_chunks(request: web.Request) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, of any size."""
    try:
        async for chunk in request.content.iter_chunked(_CHUNK):
            yield chunk
    except _BROKEN_BODY as exc:
        raise errors.InvalidParameter(f"cannot read the request's body: {exc}") from exc


def decode_json(raw: bytes) -> Any:
    """Decode one JSON value, and nothing after it."""
    try:
        text = raw.decode("utf-8")
        start = len(text) - len(text.lstrip(" \t\r\n"))
        if start == len(text):
            raise errors.InvalidParameter("invalid JSON: got EOF while reading request body")
        document, end = _DECODER.raw_decode(text, start)
        if "\\u" in text:
            # A lone surrogate has no UTF-8, so that it could neither be stored nor shown.
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as exc:
        raise errors.InvalidParameter(f"invalid JSON: {_go_words(exc)}") from exc
    except (ValueError, RecursionError) as exc:
        raise errors.InvalidParameter(f"invalid JSON: {exc}") from exc
    if text[end:].strip(" \t\r\n"):
        raise errors.InvalidParameter("unexpected content after JSON")
    return document


def parse_query(raw: str) -> dict[str, str]:
    """Return the query parameters; of several with one name the first counts, as in Go."""
    if not raw:
        return {}
    try:
        pairs = urllib.parse.parse_qsl(raw, keep_blank_values=True, errors="strict")
    except ValueError as exc:
        raise errors.InvalidParameter(f"invalid query string: {exc}") from exc
    return dict(reversed(pairs))


def parse_bool(text: str) -> bool:
    """Read a flag such as `force`: anything that does not say no is yes."""
    return text.strip().lower() not in _FALSE


def parse_go_bool(text: str) -> bool:
    """Read a boolean as Go's strconv.ParseBool does, with its words for an error."""
    if text in _TRUE_WORDS:
        return True
    if text in _FALSE_WORDS:
        return False
    raise errors.InvalidParameter(f"strconv.ParseBool: parsing {_quote(text)}: invalid syntax")


def parse_int(text: str, function: str = "Atoi") -> int:
    """Read an integer as Go's strconv does, with its words for an error."""
    if not _INTEGER.fullmatch(text):
        raise errors.InvalidParameter(f"strconv.{function}: parsing {_quote(text)}: invalid syntax")
    value = int(text)
    if not -_INT64 <= value < _INT64:
        raise errors.InvalidParameter(
            f"strconv.{function}: parsing {_quote(text)}: value out of range"
        )
    return value


def parse_moment(text: str) -> int | None:
    """Read `seconds[.fraction]` of Unix time as nanoseconds; None if it is empty."""
    if not text:
        return None
    seconds, dot, fraction = text.partition(".")
    if dot and not _FRACTION.fullmatch(fraction):
        raise errors.InvalidParameter(
            f"strconv.ParseInt: parsing {_quote(fraction)}: invalid syntax"
        )
    nanoseconds = int(fraction[:9].ljust(9, "0"))
    return parse_int(seconds, "ParseInt") * 1_000_000_000 + nanoseconds


def require_object(document: Any) -> dict[str, Any]:
    """Return the body as an object with its keys in lower case; null is an empty one."""
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise _mismatch(document, "object")
    return {str(key).lower(): value for key, value in document.items()}


def get_string(document: Mapping[str, Any], key: str) -> str:
    """Return a string field; missing and null are the empty string."""
    value = document.get(key.lower())
    if value is None:
        return ""
    if not isinstance(value, str):
        raise _mismatch(value, "string", key)
    return value


def get_strings(document: Mapping[str, Any], key: str) -> dict[str, str] | None:
    """Return a field that maps strings to strings; null members are empty strings."""
    value = document.get(key.lower())
    if value is None:
        return None
    if not isinstance(value, dict):
        raise _mismatch(value, "map[string]string", key)
    for member in value.values():
        if member is not None and not isinstance(member, str):
            raise _mismatch(member, "string", key)
    return {name: member or "" for name, member in value.items()}


def require_strings(document: Any) -> list[str]:
    """Return the body as an array of strings; null is an empty one."""
    if document is None:
        return []
    if not isinstance(document, list):
        raise _mismatch(document, "[]string")
    for member in document:
        if not isinstance(member, str):
            raise _mismatch(member, "string")
    return document


async def _read(request: web.Request) -> bytes:
    try:
        return await request.read()
    except _BROKEN_BODY as exc:
        raise errors.InvalidParameter(f"cannot read the request's body: {exc}") from exc


def _require_json(header: str) -> None:
    media_type = header.partition(";")[0].strip().lower()
    if not _MEDIA_TYPE.fullmatch(media_type):
        raise errors.InvalidParameter(f"malformed Content-Type header ({header})")
    if media_type != "application/json":
        raise errors.InvalidParameter(
            f"unsupported Content-Type header ({header}): must be 'application/json'"
        )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _go_words(exc: json.JSONDecodeError) -> str:
    if exc.pos >= len(exc.doc) or exc.msg.startswith("Unterminated"):
        return "unexpected EOF"
    found = exc.doc[exc.pos]
    where = _GO_WORDS.get(exc.msg)
    return f"invalid character {found!r} {where}" if where else f"{exc.msg} at {exc.pos}"


def _quote(text: str) -> str:
    return json.dumps(text)


def _mismatch(value: Any, wanted: str, field: str = "") -> errors.InvalidParameter:
    kinds = {dict: "object", list: "array", str: "string", bool: "bool", type(None): "null"}
    kind = kinds.get(type(value), "number")
    into = f"field {field} of type {wanted}" if field else f"value of type {wanted}"
    return errors.InvalidParameter(f"invalid JSON: cannot unmarshal {kind} into {into}")
