# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""From a registry's 401 to an Authorization header, without I/O.

`authorize` is a generator: it yields the requests to send, is sent the answers, and returns the
value of the header to repeat the refused request with.

    registry: 401, WWW-Authenticate: Bearer realm="https://auth...",service=...,scope=...
      registry token   -> that token, as it is
      identity token   -> POST realm, grant_type=refresh_token -> token
      user, password   -> GET realm?service=&scope= with Basic -> token
      nothing          -> GET realm?service=&scope=            -> token for everybody
    registry: 401, WWW-Authenticate: Basic realm=...
      user, password   -> Basic

Where credentials go: to the registry after it asked, and to the realm that it names, over https;
over http only on hosts that may be insecure. The caller never sends the header anywhere else.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.parse
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field

from plugind import errors
from plugind.model.credentials import Credentials
from plugind.registry import answers, endpoints

CLIENT_ID = "plugind"

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_SCHEME = re.compile(rf"[\s,]*({_TOKEN})(?=[\s,]|$)")
_PARAMETER = re.compile(rf"[\s,]*({_TOKEN})\s*=\s*({_QUOTED}|{_TOKEN})(?=[\s,]|$)")
_TOKEN68 = re.compile(r"\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One challenge of a WWW-Authenticate header; scheme and parameter names in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to a token server."""

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Its answer."""

    status: int
    body: bytes = field(default=b"", repr=False)


Flow = Generator[Request, Response, str]


def compute_scope(path: str, *, push: bool) -> str:
    """Return the scope that Docker asks for: plugins are a class of repository."""
    return f"repository(plugin):{path}:{'pull,push' if push else 'pull'}"


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Parse WWW-Authenticate headers (RFC 9110, 11.6.1); what is malformed ends its header."""
    challenges: list[Challenge] = []
    for header in headers:
        position = 0
        while match := _SCHEME.match(header, position):
            challenge = Challenge(match.group(1).lower())
            challenges.append(challenge)
            position = match.end()
            # `Negotiate <token68>`: the data belongs to the scheme, it is not the next scheme.
            if token68 := _TOKEN68.match(header, position):
                position = token68.end()
            while match := _PARAMETER.match(header, position):
                challenge.parameters[match.group(1).lower()] = _unquote(match.group(2))
                position = match.end()
    return challenges


def authorize(
    challenges: Iterable[Challenge],
    scope: str,
    credentials: Credentials | None,
    *,
    host: str,
    may_send: Callable[[str], bool],
) -> Flow:
    """Answer the challenges of the registry `host`. Bearer is preferred, as in Docker.

    `scope` "" asks for a token that says who it is, and allows nothing.
    `may_send(url)` says whether something confidential may go there.
    """
    by_scheme = {challenge.scheme: challenge for challenge in challenges}
    if bearer := by_scheme.get("bearer"):
        if credentials and credentials.registry_token:
            return "Bearer " + credentials.registry_token
        token = yield from _fetch_token(bearer, scope, credentials, host, may_send)
        return "Bearer " + token
    if "basic" in by_scheme:
        if credentials and credentials.username:
            return _basic(credentials)
        raise errors.Unauthorized(
            f'cannot authenticate to registry "{host}": it wants a username and a password'
        )
    offered = ", ".join(sorted(by_scheme)) or "nothing"
    raise errors.Unauthorized(
        f'cannot authenticate to registry "{host}": it offers {offered}, want Bearer or Basic'
    )


def _fetch_token(
    challenge: Challenge,
    scope: str,
    credentials: Credentials | None,
    host: str,
    may_send: Callable[[str], bool],
) -> Flow:
    realm = challenge.parameters.get("realm", "")
    service = challenge.parameters.get("service", "")
    what = f'authenticate to registry "{host}"'
    if not endpoints.is_http(realm):
        raise errors.System(f'cannot {what}: its challenge names no token server: realm "{realm}"')
    if not may_send(realm):
        raise errors.System(
            f"cannot {what}: its token server {realm} is not https, and its host is neither "
            "loopback nor configured as insecure"
        )
    asked = challenge.parameters.get("scope", "").split()
    scopes = sorted({scope, *asked} - {""})
    response = yield _token_request(realm, service, scopes, credentials)
    if response.status == 400 and asked:
        # Token servers exist that know no class of repository (docker_auth #269): they refuse the
        # whole request for Docker's own scope. What the registry itself asked for is enough.
        response = yield _token_request(realm, service, asked, credentials)
    if response.status in (401, 403):
        reason = answers.render_reason(response.status, response.body)
        raise errors.Unauthorized(f"cannot {what}: its token server says: {reason}")
    if response.status != 200:
        raise answers.compute_error(
            response.status, response.body, what, urllib.parse.urlsplit(realm).netloc
        )
    return _parse_token(response.body, what)


def _token_request(
    realm: str, service: str, scopes: list[str], credentials: Credentials | None
) -> Request:
    if credentials and credentials.identity_token:
        form = {
            "grant_type": "refresh_token",
            "refresh_token": credentials.identity_token,
            "service": service,
            "scope": " ".join(scopes),
            "client_id": CLIENT_ID,
        }
        return Request(
            method="POST",
            url=realm,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            body=urllib.parse.urlencode(form).encode(),
        )
    query = [("service", service)] if service else []
    query += [("scope", scope) for scope in scopes]
    headers = {}
    if credentials and credentials.username:
        query.append(("account", credentials.username))
        headers["Authorization"] = _basic(credentials)
    separator = "&" if "?" in realm else "?"
    return Request(
        method="GET", url=realm + separator + urllib.parse.urlencode(query), headers=headers
    )


def _parse_token(body: bytes, what: str) -> str:
    try:
        document = json.loads(body)
        token = document.get("token") or document.get("access_token")
    except (ValueError, AttributeError) as exc:
        raise errors.System(f"cannot {what}: its token server's answer is no JSON object") from exc
    if not isinstance(token, str) or not token.isprintable() or not token.isascii():
        raise errors.System(f"cannot {what}: its token server's answer has no token")
    return token


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def _unquote(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
