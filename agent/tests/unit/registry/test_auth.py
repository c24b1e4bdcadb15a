# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""From a challenge to an Authorization header, without I/O."""

from __future__ import annotations

import base64
import json
import urllib.parse
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plugind import errors
from plugind.model.credentials import Credentials
from plugind.registry import auth
from plugind.registry.auth import Challenge, Request, Response

SCOPE = "repository(plugin):vieux/sshfs:pull"
REALM = "https://auth.example/token"
BEARER = Challenge(
    "bearer",
    {"realm": REALM, "service": "example", "scope": "repository:vieux/sshfs:pull"},
)
USER = Credentials(username="u", password="p\u00e4:ss")
USER_HEADER = "Basic " + base64.b64encode("u:p\u00e4:ss".encode()).decode()


def start(
    challenges: list[Challenge],
    credentials: Credentials | None = None,
    may_send: Callable[[str], bool] = lambda url: url.startswith("https:"),
) -> auth.Flow:
    return auth.authorize(
        challenges, SCOPE, credentials, host="registry.example", may_send=may_send
    )


def finish(flow: auth.Flow, response: Response) -> str:
    with pytest.raises(StopIteration) as done:
        flow.send(response)
    return str(done.value.value)


def token(value: str = "t", key: str = "token") -> Response:
    return Response(status=200, body=json.dumps({key: value}).encode())


def without_requests(flow: auth.Flow) -> str:
    with pytest.raises(StopIteration) as done:
        next(flow)
    return str(done.value.value)


def query(request: Request) -> dict[str, list[str]]:
    return urllib.parse.parse_qs(urllib.parse.urlsplit(request.url).query)


# ------------------------------------------------------------------------------------ challenges


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], []),
        ([""], []),
        (["Basic"], [Challenge("basic")]),
        (['Basic realm="a b"'], [Challenge("basic", {"realm": "a b"})]),
        (["basic Realm=ab"], [Challenge("basic", {"realm": "ab"})]),
        (
            ['Bearer realm="https://a/t",service="x, y",scope="repository:a/b:pull,push"'],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a/t",
                        "service": "x, y",
                        "scope": "repository:a/b:pull,push",
                    },
                )
            ],
        ),
        (
            ['Bearer realm = "a" , error="insufficient_scope"'],
            [Challenge("bearer", {"realm": "a", "error": "insufficient_scope"})],
        ),
        (
            ['Basic realm="b", Bearer realm="t",service=s'],
            [
                Challenge("basic", {"realm": "b"}),
                Challenge("bearer", {"realm": "t", "service": "s"}),
            ],
        ),
        (
            ["Negotiate", 'Basic realm="b"'],
            [Challenge("negotiate"), Challenge("basic", {"realm": "b"})],
        ),
        (
            ['Negotiate, Basic realm="b"'],
            [Challenge("negotiate"), Challenge("basic", {"realm": "b"})],
        ),
        (
            ['Negotiate YWJj==, Basic realm="b"'],
            [Challenge("negotiate"), Challenge("basic", {"realm": "b"})],
        ),
        ([r'Basic realm="say \"hi\" \\"'], [Challenge("basic", {"realm": r'say "hi" \ '[:-1]})]),
        (['Basic realm="unclosed'], [Challenge("basic")]),
        (["=, ="], []),
    ],
)
def test_parse_challenges(headers: list[str], expected: list[Challenge]) -> None:
    assert auth.parse_challenges(headers) == expected


@settings(deadline=None)  # other tests may need the processor
@given(st.lists(st.text(alphabet='Basic realm="\\,=:/ \t\x00\u00e9')))
def test_no_header_breaks_the_parser(headers: list[str]) -> None:
    auth.parse_challenges(headers)


def test_scopes() -> None:
    assert auth.compute_scope("vieux/sshfs", push=False) == SCOPE
    assert auth.compute_scope("vieux/sshfs", push=True) == SCOPE + ",push"


# ----------------------------------------------------------------------------------------- basic


def test_basic() -> None:
    assert without_requests(start([Challenge("basic")], USER)) == USER_HEADER


@pytest.mark.parametrize("credentials", [None, Credentials(identity_token="i")])
def test_basic_needs_a_user(credentials: Credentials | None) -> None:
    with pytest.raises(errors.Unauthorized, match="wants a username and a password"):
        next(start([Challenge("basic")], credentials))


@pytest.mark.parametrize(
    ("challenges", "offered"),
    [
        ([], "offers nothing"),
        ([Challenge("negotiate"), Challenge("digest")], "offers digest, negotiate"),
    ],
)
def test_unknown_schemes(challenges: list[Challenge], offered: str) -> None:
    with pytest.raises(errors.Unauthorized, match=offered):
        next(start(challenges, USER))


# ---------------------------------------------------------------------------------------- bearer


def test_a_token_for_everybody() -> None:
    flow = start([BEARER])
    request = next(flow)
    assert (request.method, request.headers, request.body) == ("GET", {}, None)
    assert request.url.startswith(REALM + "?")
    assert query(request) == {
        "service": ["example"],
        "scope": ["repository(plugin):vieux/sshfs:pull", "repository:vieux/sshfs:pull"],
    }
    assert finish(flow, token()) == "Bearer t"


def test_a_token_for_a_user() -> None:
    flow = start([BEARER], USER)
    request = next(flow)
    assert request.headers == {"Authorization": USER_HEADER}
    assert query(request)["account"] == ["u"]
    assert finish(flow, token(key="access_token")) == "Bearer t"


def test_a_token_for_an_identity_token() -> None:
    flow = start([BEARER], Credentials(username="<token>", identity_token="i&j"))
    request = next(flow)
    assert (request.method, request.url) == ("POST", REALM)
    assert request.body is not None
    assert urllib.parse.parse_qs(request.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["i&j"],
        "service": ["example"],
        "scope": ["repository(plugin):vieux/sshfs:pull repository:vieux/sshfs:pull"],
        "client_id": ["plugind"],
    }
    assert request.headers == {"Content-Type": "application/x-www-form-urlencoded"}
    assert finish(flow, token(key="access_token")) == "Bearer t"


def test_a_registry_token_is_used_as_it_is() -> None:
    flow = start([BEARER], Credentials(registry_token="r"))
    assert without_requests(flow) == "Bearer r"


def test_bearer_is_preferred() -> None:
    flow = start([Challenge("basic"), BEARER], USER)
    assert next(flow).url.startswith(REALM)


def test_without_scope_and_service_in_the_challenge() -> None:
    flow = start([Challenge("bearer", {"realm": REALM + "?x=1"})])
    request = next(flow)
    assert request.url.startswith(REALM + "?x=1&")
    assert query(request) == {"x": ["1"], "scope": [SCOPE]}


def test_a_token_server_that_knows_no_class() -> None:
    flow = start([BEARER], USER)
    next(flow)
    request = flow.send(Response(status=400, body=b"invalid scope"))
    assert query(request)["scope"] == ["repository:vieux/sshfs:pull"]
    assert request.headers == {"Authorization": USER_HEADER}
    assert finish(flow, token()) == "Bearer t"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, errors.Unauthorized),
        (403, errors.Unauthorized),
        (404, errors.System),
        (302, errors.System),
        (429, errors.Unavailable),
        (502, errors.Unavailable),
    ],
)
def test_refusals_of_the_token_server(status: int, kind: type[errors.PlugindError]) -> None:
    flow = start([BEARER], USER)
    next(flow)
    body = b'{"errors": [{"message": "incorrect username or password"}]}'
    with pytest.raises(kind, match="incorrect username or password") as caught:
        flow.send(Response(status=status, body=body))
    assert 'cannot authenticate to registry "registry.example"' in str(caught.value)
    assert USER.password not in str(caught.value)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{}", b'{"token": ""}', b'{"token": 1}', b'{"token": "a\\r\\nb"}']
)
def test_answers_without_a_token(body: bytes) -> None:
    flow = start([BEARER])
    next(flow)
    with pytest.raises(errors.System, match="token server's answer"):
        flow.send(Response(status=200, body=body))


@pytest.mark.parametrize(
    "realm",
    [
        "",
        "/token",
        "file:///etc/passwd",
        "auth.example/token",
        "https://[::1/t",
        "https://h:99999/t",
    ],
)
def test_a_realm_that_is_none(realm: str) -> None:
    with pytest.raises(errors.System, match="names no token server"):
        next(start([Challenge("bearer", {"realm": realm})], USER))


@pytest.mark.parametrize("credentials", [None, USER, Credentials(identity_token="i")])
def test_nothing_goes_to_a_realm_in_the_clear(credentials: Credentials | None) -> None:
    challenge = Challenge("bearer", {"realm": "http://auth.example/token"})
    with pytest.raises(errors.System, match=r"http://auth\.example/token is not https"):
        next(start([challenge], credentials))


def test_unless_its_host_may_be_insecure() -> None:
    challenge = Challenge("bearer", {"realm": "http://auth.example/token"})
    flow = start([challenge], USER, may_send=lambda url: True)
    assert next(flow).headers == {"Authorization": USER_HEADER}


def test_secrets_are_not_in_a_repr() -> None:
    request = next(start([BEARER], USER))
    assert USER_HEADER not in repr(request)
    request = next(start([BEARER], Credentials(identity_token="hidden")))
    assert "hidden" not in repr(request)
    assert "hidden" not in repr(Response(status=200, body=b"hidden"))


def test_who_logs_in_asks_for_no_right() -> None:
    challenge = Challenge("bearer", {"realm": REALM, "service": "example"})
    flow = auth.authorize([challenge], "", USER, host="registry.example", may_send=bool)
    request = next(flow)
    assert query(request) == {"service": ["example"], "account": ["u"]}
    assert request.headers == {"Authorization": USER_HEADER}
    assert finish(flow, token()) == "Bearer t"
