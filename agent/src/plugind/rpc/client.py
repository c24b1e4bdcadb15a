# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The client's side of a plugin's protocol: JSON over HTTP/1.1 on its unix socket.

What is sent is JSON and a newline; `http1` has the rest of the wire. Both conventions for errors are
understood: `Err` in an answer of status 200 is the error itself, with any other status it is
prefixed by the method. Connections are kept for a moment (`pool`); what fails on one is repeated on
a new one if the plugin cannot have seen it, or if seeing it twice does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from plugind import errors, log
from plugind.rpc import connection as connection_
from plugind.rpc import dial, http1, pool

T = TypeVar("T")
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
    request that was not sent waits up to `patience` seconds for it. Connections without a call are
    closed after `idle` seconds.
    """

    def __init__(self, path: Path, *, patience: float = 2.0, idle: float = pool.IDLE) -> None:
        self._path = path
        self.patience = patience
        self._pool = pool.Pool(path, idle=idle)
        self._calls = 0
        self._quiet = asyncio.Event()
        self._open_to_calls = asyncio.Event()
        self._open_to_calls.set()

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
        request = http1.render_request(method, content)
        async with _limit(method, timeout):
            await self._open_to_calls.wait()
            with self._counted():
                return await self._harmlessly(method, lambda: self._whole(method, request))

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, content: bytes, *, timeout: float
    ) -> AsyncIterator[tuple[int, str, AsyncIterator[bytes]]]:
        """POST `content`; give status, content type and the body as it comes, without a limit.

        `timeout` bounds the wait for the answer's head, in seconds. Leaving the context before the
        body has ended closes the connection.
        """
        request = http1.render_request(method, content)
        async with _limit(method, timeout):
            connection, head = await self._harmlessly(method, lambda: self._open(method, request))
        try:
            async with contextlib.aclosing(_chunks(method, connection)) as chunks:
                yield head.status, head.content_type, chunks
        finally:
            self._pool.give(connection)

    async def drain(self, timeout: float) -> bool:
        """Let the calls under way end, for `timeout` seconds at most; False if some have not.

        Those that come later wait for `resume`, and then for whoever listens at the path next.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._calls:
                    self._quiet.clear()
                    await self._quiet.wait()
        except TimeoutError:
            return False
        finally:
            self._open_to_calls.clear()
        return True

    def resume(self) -> None:
        """Let calls go on after `drain`: nobody listens any more, or somebody else does."""
        self._open_to_calls.set()

    async def close(self) -> None:
        """Close kept connections. A call that is made later has one of its own."""
        self._pool.close()

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        self._calls += 1
        try:
            yield
        finally:
            self._calls -= 1
            if not self._calls:
                self._quiet.set()

    async def _harmlessly(self, method: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Attempt it, again on a new connection if that is known to be harmless."""
        for left in reversed(range(_TRIES)):
            try:
                return await attempt()
            except _Lost as exc:
                if not left or not (exc.harmless or _is_idempotent(method)):
                    raise
                log.info(f"{exc}, trying again", socket=self._path)
                self._pool.drop_idle()
                try:
                    await dial.wait_listening(self._path, self.patience, exited=_never())
                except errors.Unavailable:
                    raise exc from None  # it says whether the request was sent
        raise AssertionError("unreachable")

    async def _open(self, method: str, request: bytes) -> tuple[connection_.Connection, http1.Head]:
        """Send the request and receive the answer's head."""
        with _mapped(method):
            connection = await self._pool.take()
            try:
                await connection.send(request)
                return connection, await connection.receive_head()
            except BaseException:
                self._pool.give(connection)  # which closes it
                raise

    async def _whole(self, method: str, request: bytes) -> tuple[int, str, bytes]:
        connection, head = await self._open(method, request)
        try:
            content = bytearray()
            async for chunk in _chunks(method, connection):
                content += chunk
                if len(content) > _MAX_ANSWER:
                    raise errors.System(
                        f"{method}: plugin answered with more than {_MAX_ANSWER >> 20} MiB"
                    )
        finally:
            self._pool.give(connection)
        return head.status, head.content_type, bytes(content)


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
    """The boundary: every fault of sockets and of HTTP becomes one of ours."""
    try:
        yield
    except connection_.NotSentError as exc:
        raise _Lost(f"cannot call {method}: {_words(exc.cause)}", harmless=True) from exc
    except connection_.ClosedError as exc:
        what = (
            "the plugin's answer ended too early"
            if exc.begun
            else "the plugin closed the connection without an answer"
        )
        raise _Lost(f"cannot call {method}: {what}", harmless=False) from exc
    except http1.Broken as exc:
        raise errors.System(f"{method}: plugin answered with broken HTTP: {exc}") from exc
    except OSError as exc:
        raise _Lost(f"cannot call {method}: {_words(exc)}", harmless=False) from exc


@contextlib.asynccontextmanager
async def _limit(method: str, timeout: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise errors.Unavailable(
            f"cannot call {method}: the plugin did not answer within {timeout:g} s"
        ) from None


async def _chunks(method: str, connection: connection_.Connection) -> AsyncGenerator[bytes, None]:
    with _mapped(method):
        async for chunk in connection.chunks():
            yield chunk


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


def _is_idempotent(method: str) -> bool:
    return method.rpartition(".")[2] in _IDEMPOTENT


def _words(exc: OSError) -> str:
    return (exc.strerror or str(exc)).lower()


async def _never() -> int | None:
    await asyncio.get_running_loop().create_future()
    return None
