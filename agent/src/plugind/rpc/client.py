# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The client's side of a plugin's protocol: JSON over HTTP/1.1 on its unix socket.

A request looks as dockerd's does on the wire: `POST /VolumeDriver.Get`, `Host`, `Accept`, no
`Content-Type`, JSON and a newline. Both conventions for errors are understood: `Err` in an answer
of status 200 is the error itself, with any other status it is prefixed by the method.

Every call has a connection of its own. A kept one may be closed by the plugin just when a request
goes out, and nobody could tell whether the request was carried out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from plugind import errors, log
from plugind.rpc import dial

T = TypeVar("T")
HEADERS = {
    "Host": "plugin.moby.localhost",
    "Accept": "application/vnd.docker.plugins.v1.2+json",
}
#: What aiohttp would add on its own account.
_NOT_SENT = ("User-Agent", "Content-Type", "Accept-Encoding")
#: Asking twice does no harm. Create, Mount and the like are repeated only if nothing was sent.
_IDEMPOTENT = frozenset(
    ("Get", "List", "Path", "Capabilities", "GetCapabilities", "Activate", "EndpointOperInfo")
)
_MAX_ANSWER = 32 << 20
_TRIES = 3


class DriverError(errors.System):
    """The plugin answered, and its answer is an error.

    Fields: `text`, the driver's own words; `status`, of HTTP (200 with `Err` in the answer).
    """

    def __init__(self, message: str, *, text: str, status: int) -> None:
        super().__init__(message)
        self.text = text
        self.status = status


class PluginSocket:
    """Implements `engine.ports.PluginSocket` for the socket at `path`.

    A socket that does not answer may be that of a plugin which is just being started again, so a
    request that was not sent waits up to `patience` seconds for it.
    """

    def __init__(self, path: Path, *, patience: float = 2.0) -> None:
        self._path = path
        self._patience = patience

    async def call(
        self,
        method: str,
        body: dict[str, Any] | None,
        *,
        timeout: float,
    ) -> Any:
        """POST `/<Interface>.<Method>`; return the decoded answer, a JSON object."""
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode() + b"\n"
        status, _, answer = await self.forward(method, content, timeout=timeout)
        return decode_answer(method, status, answer)

    async def forward(
        self, method: str, content: bytes, *, timeout: float
    ) -> tuple[int, str, bytes]:
        """POST `content` as it is; return the answer's status, content type ("": none) and body.

        Whatever the plugin answers is an answer, errors too; only transport faults raise.
        """
        async with self.stream(method, content, timeout=timeout) as (status, content_type, chunks):
            return status, content_type, await _in_time(method, timeout, _read(method, chunks))

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, content: bytes, *, timeout: float
    ) -> AsyncIterator[tuple[int, str, AsyncIterator[bytes]]]:
        """POST `content`; give status, content type and the body as it comes, without a limit.

        `timeout` bounds the wait for the answer's head, in seconds. Leaving the context before the
        body has ended closes the connection.
        """
        async with contextlib.AsyncExitStack() as stack:
            response = await _in_time(method, timeout, self._exchange(method, content, stack))
            content_type = response.headers.get("Content-Type", "")
            yield response.status, content_type, _chunks(method, response)

    async def close(self) -> None:
        """Nothing is kept between calls."""

    async def _exchange(
        self, method: str, content: bytes, stack: contextlib.AsyncExitStack
    ) -> aiohttp.ClientResponse:
        """Send, and receive the head, again if that is known to be harmless."""
        for left in reversed(range(_TRIES)):
            try:
                with _mapped(method):
                    return await self._attempt(method, content, stack)
            except _Lost as exc:
                if not left or not (exc.harmless or _is_idempotent(method)):
                    raise
                log.info(f"{exc}, trying again", socket=self._path)
                await dial.wait_listening(self._path, self._patience, exited=_never())
        raise AssertionError("unreachable")

    async def _attempt(
        self, method: str, content: bytes, stack: contextlib.AsyncExitStack
    ) -> aiohttp.ClientResponse:
        with dial.address(self._path) as address:
            # Not force_close: that would send "Connection: close". The session closes it anyway.
            connector = aiohttp.UnixConnector(address)
            session = aiohttp.ClientSession(
                connector=connector,
                # Limits in time are the caller's; aiohttp's own would be five minutes in total.
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=_NOT_SENT,
            )
            await stack.enter_async_context(session)
            return await stack.enter_async_context(
                session.post(
                    f"http://plugin.moby.localhost/{method}",
                    data=content,
                    headers=HEADERS,
                    allow_redirects=False,
                )
            )


class SocketDialer:
    """Implements `engine.ports.Dialer` on real sockets."""

    async def wait_listening(
        self, path: Path, deadline: float, *, exited: Awaitable[int | None]
    ) -> None:
        """Return once `path` accepts a connection; see `dial.wait_listening`."""
        await dial.wait_listening(path, deadline, exited=exited)

    def connect(self, path: Path) -> PluginSocket:
        """Return a client of the socket at `path`; nothing is sent yet."""
        return PluginSocket(path)


class _Lost(errors.Unavailable):
    """A transport fault. `harmless` if the plugin cannot have seen the request."""

    def __init__(self, message: str, *, harmless: bool) -> None:
        super().__init__(message)
        self.harmless = harmless


@contextlib.contextmanager
def _mapped(method: str) -> Iterator[None]:
    """The boundary: every fault of sockets, HTTP and aiohttp becomes one of ours."""
    try:
        yield
    except aiohttp.ClientConnectorError as exc:
        raise _Lost(f"cannot call {method}: {_words(exc.os_error)}", harmless=True) from exc
    except aiohttp.ClientOSError as exc:
        raise _Lost(f"cannot call {method}: {_words(exc)}", harmless=False) from exc
    except aiohttp.ServerDisconnectedError as exc:
        raise _Lost(
            f"cannot call {method}: the plugin closed the connection without an answer",
            harmless=False,
        ) from exc
    except aiohttp.ClientPayloadError as exc:
        raise _Lost(
            f"cannot call {method}: the plugin's answer ended too early", harmless=False
        ) from exc
    except aiohttp.ClientResponseError as exc:
        raise errors.System(f"{method}: plugin answered with broken HTTP: {exc.message}") from exc
    except OSError as exc:
        # From opening the socket's name: nothing has been sent.
        raise _Lost(f"cannot call {method}: {_words(exc)}", harmless=True) from exc


def decode_answer(method: str, status: int, content: bytes) -> dict[str, Any]:
    """Return the JSON object of an answer; DriverError if it carries an error."""
    text = content.decode("utf-8", "replace")
    answer = _parse(text)
    error = _error_of(method, answer) if isinstance(answer, dict) else ""
    if status != 200:
        error = error or text.strip()[:2000] or f"status {status}"
        raise DriverError(f"{method}: {error}", text=error, status=status)
    if answer is None:
        shown = f": {text[:80]}" if text.strip() else ": an empty answer"
        raise errors.System(f"{method}: plugin answered with something that is not JSON{shown}")
    if not isinstance(answer, dict):
        raise errors.System(f"{method}: plugin answered with JSON that is no object: {text[:80]}")
    if error:
        raise DriverError(error, text=error, status=status)
    return answer


def field(answer: dict[str, Any], name: str) -> Any:
    """Return a member by its name in any case, as Go's decoder finds it; None if absent."""
    if name in answer:
        return answer[name]
    folded = name.lower()
    return next((value for key, value in answer.items() if key.lower() == folded), None)


def _parse(text: str) -> Any:
    """Return the first JSON value in `text`, as Go's decoder does; None if there is none."""
    try:
        return json.JSONDecoder().raw_decode(text.lstrip())[0]
    except (ValueError, RecursionError):
        return None


def _error_of(method: str, answer: dict[str, Any]) -> str:
    error = field(answer, "Err")
    if not error and method.startswith("IpamDriver."):
        error = field(answer, "Error")  # the IPAM protocol's own word, with status 200
    return "" if error is None else str(error)


async def _in_time(method: str, timeout: float, work: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(timeout):
            return await work
    except TimeoutError:
        raise errors.Unavailable(
            f"cannot call {method}: the plugin did not answer within {timeout:g} s"
        ) from None


async def _chunks(method: str, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with _mapped(method):
        async for chunk in response.content.iter_any():
            yield chunk


async def _read(method: str, chunks: AsyncIterator[bytes]) -> bytes:
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > _MAX_ANSWER:
            raise errors.System(f"{method}: plugin answered with more than {_MAX_ANSWER >> 20} MiB")
    return bytes(content)


def _is_idempotent(method: str) -> bool:
    return method.rpartition(".")[2] in _IDEMPOTENT


def _words(exc: OSError) -> str:
    return (exc.strerror or str(exc)).lower()


async def _never() -> int | None:
    await asyncio.get_running_loop().create_future()
    return None
