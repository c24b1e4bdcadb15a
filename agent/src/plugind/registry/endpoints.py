# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Where a registry is reached: the base URLs of a reference's domain, in the order to try them.

    docker.io        -> its mirrors, then https://registry-1.docker.io
    example.org      -> its mirrors, then https://example.org
    127.0.0.1:5000   -> https://127.0.0.1:5000 (any certificate), http://127.0.0.1:5000
    insecure host    -> the same

This is Docker's order, for loopback too. Plain http first would save a failing handshake on
loopback (under a millisecond, no certificates are loaded for it, and the client remembers what
worked), but its failure is ambiguous: a TLS server answers a plain request with some 400, or with
garbage. A TLS handshake with a plain server fails at once and in one way. No credentials are at
stake in either order: they are sent only after a challenge.

A host is insecure if it is loopback, or configured: as `host:port`, as `host` (every port), or
as a network in CIDR form that contains its literal address. The loopback interface leaves nobody
on the wire; a configured host is the administrator's decision, and docker.io is never insecure.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from plugind import errors
from plugind.model import reference

DOCKER_REGISTRY = "registry-1.docker.io"
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One base URL (`scheme://host[:port][/prefix]`, no trailing slash) of a registry.

    A mirror only serves pulls, and never sees the credentials of the registry that it mirrors.
    """

    url: str
    mirror: bool = False

    @property
    def host(self) -> str:
        """`host[:port]`, as references spell it."""
        return urllib.parse.urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """The configuration: which hosts may be insecure, and which have mirrors."""

    insecure: frozenset[str] = frozenset()
    mirrors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for mirror in (mirror for mirrors in self.mirrors.values() for mirror in mirrors):
            if not is_http(mirror if "://" in mirror else f"https://{mirror}"):
                raise errors.InvalidParameter(
                    f'invalid registry mirror "{mirror}": want [http[s]://]host[:port]'
                )

    def for_pull(self, domain: str) -> tuple[Endpoint, ...]:
        """Return the endpoints that serve pulls from `domain`: mirrors, then the registry."""
        mirrors: list[Endpoint] = []
        for mirror in self.mirrors.get(domain, ()):
            if "://" in mirror:
                mirrors.append(Endpoint(url=mirror.rstrip("/"), mirror=True))
            else:
                mirrors += [Endpoint(url=url, mirror=True) for url in self._urls(mirror)]
        return (*mirrors, *self.for_push(domain))

    def for_push(self, domain: str) -> tuple[Endpoint, ...]:
        """Return the endpoints that serve pushes to `domain`."""
        if domain == reference.DEFAULT_DOMAIN:
            return (Endpoint(url="https://" + DOCKER_REGISTRY),)
        return tuple(Endpoint(url=url) for url in self._urls(domain))

    def _urls(self, domain: str) -> list[str]:
        domain = domain.rstrip("/")
        schemes = ("https", "http") if self.is_insecure(domain) else ("https",)
        return [f"{scheme}://{domain}" for scheme in schemes]

    def is_insecure(self, netloc: str) -> bool:
        """True if plain http and unverified certificates are acceptable for `host[:port]`."""
        host = split_host(netloc)
        if is_loopback(netloc) or netloc in self.insecure or host in self.insecure:
            return True
        address = _address(host)
        return address is not None and any(
            address in network for network in map(_network, self.insecure) if network is not None
        )

    def may_send(self, url: str) -> bool:
        """True if something confidential may go to `url`: https, or an insecure host."""
        parts = urllib.parse.urlsplit(url)
        return parts.scheme == "https" or (
            parts.scheme == "http" and self.is_insecure(parts.netloc)
        )

    def follow(self, url: str, location: str, what: str) -> str:
        """Return where an answer's Location leads; System if nowhere, or from https to the clear.

        The error does not show the whole URL: a storage server's query is a credential.
        """
        if not location:
            raise errors.System(f"cannot {what}: the registry's answer names no Location")
        try:
            target = join_location(url, location)
        except ValueError as exc:  # brackets that are no IPv6 address
            raise errors.System(f"cannot {what}: the registry redirects nowhere: {exc}") from exc
        if is_http(target) and (url.startswith("http:") or self.may_send(target)):
            return target
        parts = urllib.parse.urlsplit(target)
        where = f"{parts.scheme}://{parts.netloc}"
        raise errors.System(f"cannot {what}: the registry redirects to {where}, which is not https")

    def proxy_for(self, url: str, proxies: Mapping[str, str]) -> str | None:
        """Return the proxy to use for `url`, of the environment's `proxies`, as Go does."""
        parts = urllib.parse.urlsplit(url)
        if is_loopback(parts.netloc) or urllib.request.proxy_bypass(parts.netloc, proxies):
            return None
        proxy = proxies.get(parts.scheme)
        return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def is_http(url: str) -> bool:
    """True if `url` is a well-formed URL of http or https. Others come from registries too."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are no address, a port that is no number
        return False


def is_loopback(netloc: str) -> bool:
    """True for localhost and loopback addresses, with or without a port."""
    host = split_host(netloc)
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def split_host(netloc: str) -> str:
    """Return the host of `host[:port]`, without the brackets of an IPv6 address."""
    return urllib.parse.urlsplit("//" + netloc).hostname or ""


def same_origin(one: str, other: str) -> bool:
    """True if both URLs have the same scheme, host and port."""
    return _origin(one) == _origin(other)


def join_location(url: str, location: str) -> str:
    """Return the absolute URL that the Location header of an answer from `url` means.

    A registry behind a TLS proxy that it does not know of spells its own address with http; on the
    same host and port the scheme of the request stands.
    """
    joined = urllib.parse.urljoin(url, location)
    before, after = urllib.parse.urlsplit(url), urllib.parse.urlsplit(joined)
    if (before.scheme, after.scheme) == ("https", "http") and before.netloc == after.netloc:
        return after._replace(scheme="https").geturl()
    return joined


def add_query(url: str, query: str) -> str:
    """Append `query` to `url`, leaving what is there (an upload's state) byte for byte."""
    return url + ("&" if "?" in url else "?") + query


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS.get(parts.scheme)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:  # a name, not an address
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False) if "/" in text else None
    except ValueError:  # `host/path` is no network; it names no host either
        return None
