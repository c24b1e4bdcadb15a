# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Run a tool: the only place that does, besides runtime/conmon.py.

The environment is clean, standard input is closed unless given, output is bounded (the rest is
read and dropped, so that the tool never blocks), the argv is logged, a time limit is required. A
tool that fails raises ToolFailed, which carries argv, status and the end of its standard error.

`run` is for the event loop, `run_blocking` the same for blocking code.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from plugind import errors, log

P = ParamSpec("P")

#: What every tool gets, and nothing else: no proxy, no locale, no credentials of the agent's own.
ENVIRONMENT: Mapping[str, str] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
}
_LIMIT = 1 << 20
_TAIL = 2000
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """What a tool said. `stdout` and `stderr` hold at most the limit of the call."""

    argv: tuple[str, ...]
    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def complaint(self) -> str:
        """The end of standard error, or of standard output if there is none."""
        return (self.stderr or self.stdout)[-_TAIL:].decode(errors="replace").strip()


class ToolFailed(errors.System):
    """A tool could not be run, or ended with a status other than zero."""

    def __init__(self, message: str, *, argv: Sequence[str], status: int | None, tail: str) -> None:
        super().__init__(message)
        self.argv = tuple(argv)
        self.status = status
        self.tail = tail


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    input: bytes | None = None,
    env: Mapping[str, str] = ENVIRONMENT,
    cwd: Path | None = None,
    check: bool = True,
    limit: int = _LIMIT,
) -> Completed:
    """Run `argv` to its end; a cancelled or late call kills it."""
    log.debug("run", argv=" ".join(argv))
    stdin = asyncio.subprocess.DEVNULL if input is None else asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
        )
    except OSError as exc:
        raise _cannot_start(argv, exc) from exc
    try:
        async with asyncio.timeout(timeout):
            stdout, stderr, _, status = await asyncio.gather(
                _read(process.stdout, limit),
                _read(process.stderr, limit),
                _feed(process.stdin, input),
                process.wait(),
            )
    except TimeoutError:
        raise _too_late(argv, timeout) from None
    finally:
        await _end(process)
    done = Completed(argv=tuple(argv), returncode=status, stdout=stdout, stderr=stderr)
    return _checked(done, check)


def _blocking(function: Callable[P, Coroutine[Any, Any, Completed]]) -> Callable[P, Completed]:
    """Return the same function for code without an event loop: it has one for the length of a call."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Completed:
        return asyncio.run(function(*args, **kwargs))

    return call


run_blocking = _blocking(run)


async def _read(stream: asyncio.StreamReader | None, limit: int) -> bytes:
    """Return at most `limit` bytes of a stream, reading it to its end."""
    kept = bytearray()
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        kept += chunk[: limit - len(kept)]
    return bytes(kept)


async def _feed(stream: asyncio.StreamWriter | None, content: bytes | None) -> None:
    if stream is None:
        return
    try:
        stream.write(content or b"")
        await stream.drain()
        stream.close()
        await stream.wait_closed()
    except (BrokenPipeError, ConnectionResetError):
        return  # the tool ended before it had read everything; its status says whether that is bad


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        try:
            process.kill()
        except ProcessLookupError:
            log.debug("tool ended by itself", pid=process.pid)
        await process.wait()


def _checked(done: Completed, check: bool) -> Completed:
    if check and done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        name = os.path.basename(done.argv[0])
        raise ToolFailed(
            f"cannot run {name}: {' '.join(done.argv)} ended with {how}: {done.complaint}",
            argv=done.argv,
            status=done.returncode,
            tail=done.complaint,
        )
    return done


def _cannot_start(argv: Sequence[str], exc: OSError) -> ToolFailed:
    return ToolFailed(
        f"cannot run {argv[0]}: {exc.strerror or exc}", argv=argv, status=None, tail=""
    )


def _too_late(argv: Sequence[str], timeout: float) -> ToolFailed:
    return ToolFailed(
        f"cannot run {os.path.basename(argv[0])}: {' '.join(argv)} "
        f"did not end within {timeout:g} s and was killed",
        argv=argv,
        status=None,
        tail="",
    )
