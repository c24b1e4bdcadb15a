# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""conmon, the container's parent: it outlives the agent, keeps the output and the exit status.

    agent ---fork---> conmon ---fork, setsid---> conmon ---> runc create ---> the plugin
      |                 `- exits at once           |  stdout, stderr -> log file (CRI format)
      |<--- sync pipe: {"data": PID} or {"data": -1, "message": WHY} ---'
      `---> start pipe: one byte, "go on"

`conmon_argv` is pure; `launch` carries it out. conmon keeps only the two pipes and standard
streams that it soon drops, and leads a session of its own, so nothing ties it to the agent.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from plugind import errors, log
from plugind.host import proc
from plugind.runtime import bundle as bundle_
from plugind.runtime import oci as oci_
from plugind.runtime.console import Streams

#: What to write into conmon's control fifo so that it opens its log anew.
REOPEN_LOG = b"2 0 0\n"
_MAX_ANSWER = 1 << 16
_MAX_STDERR = 1 << 13


@dataclass(frozen=True, slots=True, kw_only=True)
class Launched:
    """A created container: it waits for the runtime's `start`."""

    pid: int
    conmon_pid: int


class CreateFailed(errors.System):
    """The runtime would not create the container; the message is its reason alone."""


def conmon_argv(
    conmon: str,
    oci: oci_.Oci,
    bundle: bundle_.Bundle,
    log_path: Path,
    log_size_max: int,
    streams: Streams | None = None,
) -> list[str]:
    """Return conmon's command line. `log_size_max` <= 0 means no limit.

    Without `streams` the program has no terminal and its standard input is /dev/null.
    """
    # fmt: off
    argv = [
        conmon,
        "--api-version", "1",
        "--cid", bundle.id,
        "--cuuid", bundle.id,
        "--name", bundle.id,
        "--runtime", oci.binary,
        "--runtime-arg", "--root",
        "--runtime-arg", str(oci.root),
        "--bundle", str(bundle.path),
        "--container-pidfile", str(bundle.pidfile),
        "--conmon-pidfile", str(bundle.conmon_pidfile),
        "--exit-dir", str(bundle.exits),
        "--full-attach",  # the attach socket stays in the bundle, and goes with it
        "--no-sync-log",  # or every exit would wait for the whole file system's dirty pages
        "--log-level", "error",
        "--log-path", f"k8s-file:{log_path}",
    ]
    # fmt: on
    if log_size_max > 0:
        argv += ["--log-size-max", str(log_size_max)]
    if streams is not None:
        argv += streams.conmon_options()
    return argv


async def launch(argv: Sequence[str], bundle: bundle_.Bundle, *, deadline: float) -> Launched:
    """Run conmon until the container is created; CreateFailed tells the runtime's reason."""
    log.debug("run", argv=" ".join(argv))
    loop = asyncio.get_running_loop()
    (sync_read, sync_write), (start_read, start_write), (error_read, error_write) = _pipes(3)
    mine = [sync_read, error_read]
    try:
        # conmon waits for this byte so that a caller can first move it to another cgroup.
        os.write(start_write, b"\0")
        try:
            # A thread waits for fork and exec, and for the first conmon to end: milliseconds.
            # Shielded, because the descriptors must stay open for as long as it runs.
            starting = loop.run_in_executor(
                None, _spawn, list(argv), sync_write, start_read, error_write
            )
            try:
                status = await asyncio.shield(starting)
            except asyncio.CancelledError:
                await starting
                raise
        finally:
            for fd in (sync_write, start_read, start_write, error_write):
                os.close(fd)
        async with asyncio.timeout_at(deadline):
            complaint = await _read_to_end(error_read, _MAX_STDERR)
            answer = await _read_to_end(sync_read, _MAX_ANSWER, line=True)
    except TimeoutError:
        raise CreateFailed("the runtime did not create the container in time") from None
    finally:
        for fd in mine:
            os.close(fd)
    return _parse_answer(answer, complaint, status, bundle)


def _pipes(count: int) -> list[tuple[int, int]]:
    """Open so many pipes, or none."""
    made: list[tuple[int, int]] = []
    try:
        while len(made) < count:
            made.append(os.pipe2(os.O_CLOEXEC))
    except OSError as exc:
        for fd in itertools.chain(*made):
            os.close(fd)
        raise errors.System(f"cannot run conmon: {exc.strerror}") from exc
    return made


def _spawn(argv: list[str], sync_write: int, start_read: int, error_write: int) -> int:
    """Start conmon and return the status of its first process, which ends at once."""
    environment = {
        **proc.ENVIRONMENT,
        "_OCI_SYNCPIPE": str(sync_write),
        "_OCI_STARTPIPE": str(start_read),
    }
    try:
        first = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=error_write,
            env=environment,
            cwd="/",
            pass_fds=(sync_write, start_read),
            start_new_session=True,
        )
    except OSError as exc:
        raise errors.System(f"cannot run {argv[0]}: {exc.strerror or exc}") from exc
    return first.wait()


async def _read_to_end(fd: int, limit: int, *, line: bool = False) -> bytes:
    """Read a pipe until its writers are gone (or one line is complete)."""
    loop = asyncio.get_running_loop()
    os.set_blocking(fd, False)
    content = bytearray()
    done: asyncio.Future[None] = loop.create_future()

    def take() -> None:
        if done.done():
            return
        try:
            chunk = os.read(fd, 4096)
        except BlockingIOError:
            return
        except OSError as exc:
            done.set_exception(exc)
            return
        content.extend(chunk[: limit - len(content)])
        if not chunk or (line and b"\n" in chunk):
            done.set_result(None)

    loop.add_reader(fd, take)
    try:
        await done
    finally:
        loop.remove_reader(fd)
    return bytes(content)


def _parse_answer(answer: bytes, complaint: bytes, status: int, bundle: bundle_.Bundle) -> Launched:
    if not answer:
        text = complaint.decode(errors="replace").strip() or f"it ended with status {status}"
        raise errors.System(f"cannot run conmon: {text}")
    try:
        document = json.loads(answer)
        pid, message = int(document["data"]), str(document.get("message") or "")
    except (ValueError, TypeError, KeyError) as exc:
        raise errors.System(f"cannot run conmon: it answered {answer[:200]!r}") from exc
    if pid <= 0:
        raise CreateFailed(oci_.complaint(message))
    try:
        conmon_pid = int(bundle.conmon_pidfile.read_text(encoding="ascii"))
    except (OSError, ValueError) as exc:
        raise errors.System(f"cannot run conmon: its pid file is unusable: {exc}") from exc
    return Launched(pid=pid, conmon_pid=conmon_pid)
