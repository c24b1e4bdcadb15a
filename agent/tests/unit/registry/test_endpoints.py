# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Where a registry is reached."""

from __future__ import annotations

import pytest

from plugind import errors
from plugind.registry import endpoints
from plugind.registry.endpoints import Endpoint, Endpoints


def urls(found: tuple[Endpoint, ...]) -> list[str]:
    return [endpoint.url for endpoint in found]


def test_a_registry_is_reached_by_https_only() -> None:
    assert urls(Endpoints().for_pull("example.org")) == ["https://example.org"]
    assert urls(Endpoints().for_push("example.org:5000")) == ["https://example.org:5000"]


def test_dockers_registry_has_another_name() -> None:
    assert urls(Endpoints().for_pull("docker.io")) == ["https://registry-1.docker.io"]
    assert urls(Endpoints().for_push("docker.io")) == ["https://registry-1.docker.io"]


def test_dockers_registry_is_never_insecure() -> None:
    configured = Endpoints(insecure=frozenset({"docker.io", "registry-1.docker.io"}))
    assert urls(configured.for_pull("docker.io")) == ["https://registry-1.docker.io"]


@pytest.mark.parametrize(
    "domain", ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.8.7", "[::1]:5000", "[::1]"]
)
def test_loopback_may_speak_http(domain: str) -> None:
    assert urls(Endpoints().for_pull(domain)) == [f"https://{domain}", f"http://{domain}"]
    assert endpoints.is_loopback(domain)


@pytest.mark.parametrize(
    "domain", ["localhost.example.org", "128.0.0.1", "example.org", "[::2]", "127.0.0.1.example"]
)
def test_everything_else_may_not(domain: str) -> None:
    assert urls(Endpoints().for_pull(domain)) == [f"https://{domain}"]
    assert not endpoints.is_loopback(domain)


@pytest.mark.parametrize(
    ("configured", "domain", "insecure"),
    [
        ("example.org", "example.org", True),
        ("example.org", "example.org:5000", True),
        ("example.org:5000", "example.org:5000", True),
        ("example.org:5000", "example.org", False),
        ("example.org:5000", "example.org:5001", False),
        ("example.org", "sub.example.org", False),
        ("10.0.0.0/8", "10.1.2.3:5000", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "ten.example.org", False),
        ("fd00::/8", "[fd00::1]:5000", True),
        ("fd00::/8", "10.1.2.3", False),
        ("not/anetwork", "10.1.2.3", False),
    ],
)
def test_insecure_hosts(configured: str, domain: str, insecure: bool) -> None:
    assert Endpoints(insecure=frozenset({configured})).is_insecure(domain) is insecure


def test_mirrors_come_first_and_serve_pulls_only() -> None:
    configured = Endpoints(
        mirrors={"docker.io": ("mirror.example", "http://plain.example:5000/", "localhost:1")}
    )
    found = configured.for_pull("docker.io")
    assert urls(found) == [
        "https://mirror.example",
        "http://plain.example:5000",
        "https://localhost:1",
        "http://localhost:1",
        "https://registry-1.docker.io",
    ]
    assert [endpoint.mirror for endpoint in found] == [True, True, True, True, False]
    assert urls(configured.for_push("docker.io")) == ["https://registry-1.docker.io"]
    assert urls(configured.for_pull("example.org")) == ["https://example.org"]


def test_host() -> None:
    assert Endpoint(url="https://example.org:5000/prefix").host == "example.org:5000"


@pytest.mark.parametrize(
    ("url", "may"),
    [
        ("https://example.org/token", True),
        ("http://example.org/token", False),
        ("http://127.0.0.1:1/token", True),
        ("http://insecure.example:8080/token", True),
        ("ftp://127.0.0.1/token", False),
        ("", False),
    ],
)
def test_where_credentials_may_go(url: str, may: bool) -> None:
    configured = Endpoints(insecure=frozenset({"insecure.example"}))
    assert configured.may_send(url) is may


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://h/a", "https://h:443/b", True),
        ("http://h/a", "http://h:80/b", True),
        ("http://H/a", "http://h/b", True),
        ("https://h/a", "http://h/a", False),
        ("https://h/a", "https://h:444/a", False),
        ("https://h/a", "https://i/a", False),
    ],
)
def test_same_origin(one: str, other: str, same: bool) -> None:
    assert endpoints.same_origin(one, other) is same


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/x/blobs/uploads/1?_state=a%2Bb%3D%3D", "https://h/v2/x/blobs/uploads/1?_state=a%2Bb%3D%3D"),
        ("https://cdn.example/x?sig=a%2Fb", "https://cdn.example/x?sig=a%2Fb"),
        ("2?x", "https://h/v2/x/blobs/2?x"),
        # A registry behind a TLS proxy that it does not know of.
        ("http://h/v2/x", "https://h/v2/x"),
    ],
)  # fmt: skip
def test_follow(location: str, target: str) -> None:
    assert Endpoints().follow("https://h/v2/x/blobs/1", location, "test") == target


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("", "names no Location"),
        ("http://other.example/x?sig=secret", "redirects to http://other.example, which is not"),
        ("ftp://h/x", "redirects to ftp://h"),
        ("file:///etc/passwd", "redirects to file://"),
        ("https://[::1/x", "redirects nowhere: Invalid IPv6 URL"),
        ("https://other.example:99999/x", "redirects to https://other.example:99999"),
    ],
)
def test_follow_refuses(location: str, why: str) -> None:
    with pytest.raises(errors.System, match=why) as caught:
        Endpoints().follow("https://h/x", location, "fetch it")
    assert str(caught.value).startswith("cannot fetch it: ")
    assert "secret" not in str(caught.value)


def test_follow_from_http_goes_anywhere() -> None:
    target = Endpoints().follow("http://h/x", "http://storage.example/y", "test")
    assert target == "http://storage.example/y"


def test_add_query_leaves_what_is_there() -> None:
    assert endpoints.add_query("http://h/u", "digest=d") == "http://h/u?digest=d"
    assert endpoints.add_query("http://h/u?s=a%2B", "digest=d") == "http://h/u?s=a%2B&digest=d"


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://example.org/v2/", "http://proxy.example:3128"),
        ("http://example.org/v2/", "http://plain.example:80"),
        ("https://inside.example.net/v2/", None),
        ("http://127.0.0.1:5000/v2/", None),
        ("http://localhost/v2/", None),
    ],
)
def test_proxies_as_in_go(url: str, proxy: str | None) -> None:
    proxies = {
        "https": "proxy.example:3128",
        "http": "http://plain.example:80",
        "no": "example.net",
    }
    assert Endpoints().proxy_for(url, proxies) == proxy


def test_no_proxy() -> None:
    assert Endpoints().proxy_for("https://example.org/", {}) is None


@pytest.mark.parametrize("mirror", ["", "ftp://h", "http://", "[::1", "h:99999", "h:port"])
def test_what_is_no_mirror(mirror: str) -> None:
    with pytest.raises(errors.InvalidParameter, match="invalid registry mirror"):
        Endpoints(mirrors={"docker.io": (mirror,)})
