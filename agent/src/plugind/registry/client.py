# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The registry's client: carries out the calls of `operations` over HTTP.

    _open       the endpoints of a domain in order, the first that answers well
    _exchange   one endpoint: the Authorization known, 401 -> auth.authorize -> once more
    _send       one request and its redirects; Authorization stays at the registry's origin
    _fetch      one HTTP request

Which failures move on to the next endpoint: from a mirror every one; from https to http of an
insecure host only that no TLS connection comes about. A refusal is an answer, not a reason to
repeat the request in the clear. What answered is remembered, so a handshake fails once per host.

The proxies of the environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY) are used as by Docker, never
for loopback. aiohttp's own `trust_env` would also send the passwords of ~/.netrc.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping

import aiohttp
import yarl

from plugind import errors, log
from plugind.model.credentials import Credentials
from plugind.model.manifest import Platform
from plugind.registry import answers, auth, endpoints, operations, transfer
from plugind.registry.endpoints import Endpoint, Endpoints
from plugind.registry.operations import Call

_MAX_REDIRECTS = 5
_MAX_AUTHORIZATIONS = 256
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=60)
_REDIRECTS = (301, 302, 303, 307, 308)


class _Unreachable(errors.Unavailable):
    """No connection came about: the one failure after which another scheme is tried."""

    def __init__(self, server: str, cause: str) -> None:
        super().__init__(f"cannot reach {server}: {cause}")
        self.cause = cause


class _Answer:
    """transfer.Answer over aiohttp's response."""

    def __init__(self, response: aiohttp.ClientResponse, server: str) -> None:
        self._response = response
        self._server = server
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.url = str(response.url)

    def challenges(self) -> list[auth.Challenge]:
        """Return the challenges of a 401."""
        return auth.parse_challenges(self._response.headers.getall("WWW-Authenticate", []))

    async def read(self, size: int) -> bytes:
        """Return at most `size` bytes, none at the end."""
        with _mapped(self._server):
            return await self._response.content.read(size)

    def release(self) -> None:
        """Give the connection back, or close it if there is more to read."""
        self._response.release()


class RegistryClient(operations.Operations):
    """One client for every registry; connections and tokens are shared between operations."""

    def __init__(
        self,
        *,
        platform: Platform,
        insecure: frozenset[str] = frozenset(),
        mirrors: Mapping[str, tuple[str, ...]] | None = None,
        user_agent: str,
        ca_file: str | None = None,
    ) -> None:
        super().__init__(
            platform=platform, endpoints=Endpoints(insecure=insecure, mirrors=mirrors or {})
        )
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "identity"}
        self._ca_file = ca_file
        self._proxies = urllib.request.getproxies_environment()
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None
        self._answering: dict[str, str] = {}  # domain -> URL of the endpoint that answered last
        # (endpoint, scope, credentials) -> Authorization; the endpoint decides realm and service.
        # All of the credentials are in the key: a name alone would lend out another one's token.
        self._authorizations: dict[tuple[str, str, Credentials | None], str] = {}

    async def close(self) -> None:
        """Close connections, forget tokens."""
        self._authorizations.clear()
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open(self, call: Call) -> transfer.Answer:
        domain = call.ref.domain
        find = self._endpoints.for_push if call.push else self._endpoints.for_pull
        answering = self._answering.get(domain)
        causes = []
        if not endpoints.is_http(f"https://{domain}"):  # the grammar of references knows no limit
            raise errors.InvalidParameter(f'invalid registry "{domain}": no such port')
        for endpoint in sorted(find(domain), key=lambda e: not e.mirror and e.url != answering):
            try:
                answer = await self._exchange(endpoint, call)
            except errors.PlugindError as exc:
                if endpoint.mirror:
                    log.debug("mirror cannot serve", mirror=endpoint.url, cause=exc.message)
                    continue
                if isinstance(exc, _Unreachable):
                    scheme = endpoint.url.partition(":")[0]
                    causes.append(f"{scheme}: {exc.cause}")
                    continue
                raise
            if not endpoint.mirror:
                self._answering[domain] = endpoint.url
            return answer
        raise _Unreachable(f'registry "{domain}"', "; ".join(causes))

    async def _exchange(self, endpoint: Endpoint, call: Call) -> transfer.Answer:
        """Ask one endpoint; an answer that the call does not expect is an error."""
        credentials = None if endpoint.mirror else call.credentials
        key = (endpoint.url, call.scope, credentials)
        answer = await self._send(endpoint, call, self._authorizations.get(key))
        # A storage server that the registry redirected to gets no Authorization, asked or not.
        if answer.status == 401 and endpoints.same_origin(answer.url, endpoint.url):
            answer.release()
            self._authorizations.pop(key, None)
            flow = auth.authorize(
                answer.challenges(),
                call.scope,
                credentials,
                host=endpoint.host,
                may_send=self._endpoints.may_send,
            )
            authorization = await self._carry_out(flow)
            answer = await self._send(endpoint, call, authorization)
            # Who logs in wants to know whether the credentials are good now.
            if answer.status != 401 and call.scope:
                self._remember(key, authorization)
        # What a mirror lacks or refuses, the registry may have.
        if answer.status in call.expect and not (endpoint.mirror and answer.status >= 400):
            return answer
        try:
            body = await transfer.read_all(answer, answers.MAX_BODY, call.what)
        finally:
            answer.release()
        raise answers.compute_error(answer.status, body, call.what, endpoint.host)

    def _remember(self, key: tuple[str, str, Credentials | None], authorization: str) -> None:
        while len(self._authorizations) >= _MAX_AUTHORIZATIONS:
            self._authorizations.pop(next(iter(self._authorizations)))
        self._authorizations[key] = authorization

    async def _carry_out(self, flow: auth.Flow) -> str:
        """Do the I/O of an authorization."""
        try:
            request = next(flow)
            while True:
                server = f'token server "{urllib.parse.urlsplit(request.url).netloc}"'
                try:
                    answer = await self._fetch(
                        server, request.method, request.url, request.headers, request.body
                    )
                except _Unreachable as exc:
                    # The registry did answer: its scheme is right, another one is not tried.
                    raise errors.Unavailable(exc.message) from exc
                try:
                    body = await transfer.read_all(answer, answers.MAX_BODY, f"read {server}")
                finally:
                    answer.release()
                request = flow.send(auth.Response(status=answer.status, body=body))
        except StopIteration as done:
            return str(done.value)

    async def _send(self, endpoint: Endpoint, call: Call, authorization: str | None) -> _Answer:
        url = call.url(endpoint)
        for _ in range(_MAX_REDIRECTS + 1):
            headers = dict(call.headers)
            body = call.body() if call.body else None
            if endpoints.same_origin(url, endpoint.url):
                if authorization:
                    headers["Authorization"] = authorization
                server = f'registry "{endpoint.host}"'
                answer = await self._fetch(server, call.method, url, headers, body)
            else:
                server = f'storage server "{urllib.parse.urlsplit(url).netloc}"'
                try:
                    answer = await self._fetch(server, call.method, url, headers, body)
                except _Unreachable as exc:  # as above: the registry did answer
                    raise errors.Unavailable(exc.message) from exc
            if answer.status not in _REDIRECTS or call.method not in ("GET", "HEAD"):
                return answer
            answer.release()
            url = self._endpoints.follow(url, answer.headers.get("Location", ""), call.what)
        raise errors.System(f"cannot {call.what}: more than {_MAX_REDIRECTS} redirects")

    async def _fetch(
        self,
        server: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes] | None,
    ) -> _Answer:
        if self._session is None:
            # Layers are verified as they are, compressed: nothing may unpack them on the way.
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT,
                headers=self._headers,
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=transfer.CHUNK,
            )
        session, tls = self._session, await self._tls_for(url)
        with _mapped(server):
            response = await session.request(
                method,
                yarl.URL(url, encoded=True),
                headers=headers,
                data=body,
                allow_redirects=False,
                ssl=tls,
                proxy=self._endpoints.proxy_for(url, self._proxies),
            )
        return _Answer(response, server)

    async def _tls_for(self, url: str) -> ssl.SSLContext | bool:
        """Return how certificates are verified: not (False), as usual (True), or with our CA."""
        if self._endpoints.is_insecure(urllib.parse.urlsplit(url).netloc):
            return False
        if self._ca_file is None:
            return True
        if self._tls is None:
            self._tls = await asyncio.to_thread(_load_tls, self._ca_file)
        return self._tls


def _load_tls(ca_file: str) -> ssl.SSLContext:
    """Trust what the host trusts, and `ca_file`."""
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(ca_file)
    except OSError as exc:  # ssl.SSLError is one: the file is no certificate
        raise errors.System(f'cannot read CA file "{ca_file}": {exc}') from exc
    return context


@contextlib.contextmanager
def _mapped(server: str) -> Iterator[None]:
    """Map what aiohttp raises; the one place where that happens."""
    try:
        yield
    except (
        aiohttp.ClientConnectorError,  # refused, DNS, TLS
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientHttpProxyError,
    ) as exc:
        raise _Unreachable(server, _cause(exc)) from exc
    except (aiohttp.ClientError, OSError, ValueError) as exc:  # TimeoutError is an OSError
        # An upload's content that fails comes back wrapped; the cause is what happened.
        if isinstance(exc.__cause__, errors.PlugindError):
            raise exc.__cause__ from None
        if isinstance(exc, (aiohttp.InvalidURL, ValueError)) and not isinstance(exc, OSError):
            raise errors.System(f"cannot ask {server}: {_cause(exc)}") from exc
        raise errors.Unavailable(f"cannot reach {server}: {_cause(exc)}") from exc


def _cause(exc: Exception) -> str:
    inner = getattr(exc, "certificate_error", None) or getattr(exc, "os_error", None) or exc
    if isinstance(inner, ConnectionError) and inner.errno:
        return os.strerror(inner.errno).lower()
    return str(inner) or type(inner).__name__
