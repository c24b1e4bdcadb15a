# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind run -`: run a one-off container to its end; JSON in (see model/run.py), JSON out.

Agent and Docker Engine speak the same API, so this is one client for both:

    pull -> create (AutoRemove) -> attach -> wait for the removal -> start -> output, exit code

Attach and wait come before the start, so that nothing of a short command is lost. The container is
removed in every case: by the engine when the command ends, by us when there is a time limit, a
signal, or anything else in the way.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

from plugind.ctl import apply, attach, http, parser
from plugind.model import reference
from plugind.model.run import ALWAYS, NEVER, RunOrder, create_body, parse_run

#: How much a command may write on each of its two streams, in bytes.
OUTPUT_LIMIT = 16 << 20
#: How much of it is shown when it is too much, in bytes.
_SHOWN = 4096
#: How long an engine may take to end what was killed, in seconds.
_GRACE = 60.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main_run(argv: list[str]) -> int:
    """Run `plugind run`; return the exit code."""
    return run_verb(parser.parse("run", argv))


def run_verb(options: argparse.Namespace) -> int:
    """Run the container that the document says."""
    try:
        with _Interrupts() as interrupts:
            return apply.run(
                options,
                lambda options, document: run(
                    parse_run(document),
                    options.engine or http.agent_url(http.agent_socket(options.socket)),
                    interrupts,
                ),
                _render,
            )
    except _Interrupted as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        return 128 + exc.number


def run(order: RunOrder, url: str, interrupts: _Interrupts) -> dict[str, Any]:
    """Run the container unless there is no need to; return the result."""
    result = {
        "changed": False, "failed": False, "msg": "", "rc": 0, "stdout": "", "stderr": "",
        "image": order.image, "image_id": "", "container": "", "warnings": [], "engine": url,
    }  # fmt: skip
    if reason := _is_done(order):
        # The words of ansible.builtin.command.
        message = f"Did not run command since {reason}"
        return {**result, "msg": message, "stdout": f"skipped, since {reason}"}
    if order.dry_run:
        _require_possible(order, url)
        message = f"Would run {order.describe()}"
        if order.creates or order.removes:
            return {**result, "changed": True, "msg": message}
        return {**result, "skipped": True, "msg": message}
    result["image_id"] = _ensure_image(order, url)
    return {**result, "changed": True, **_Run(order, url, interrupts).carry_out()}


class _Run:
    """One container from its creation to its end."""

    def __init__(self, order: RunOrder, url: str, interrupts: _Interrupts) -> None:
        self._order = order
        self._url = url
        self._interrupts = interrupts
        self._container = ""
        self._removed = False

    def carry_out(self) -> dict[str, Any]:
        """Create, follow, and leave nothing behind."""
        try:
            # Until its id is known nobody could remove it, so a signal has to wait.
            with self._interrupts.held():
                warnings = self._create()
            with contextlib.ExitStack() as stack:
                found = self._follow(stack)
        except BaseException as exc:
            if left := self._clean_up():
                raise http.Unreachable(f"{exc}; {left}") from exc
            raise
        if left := self._clean_up():
            warnings.append(left)
        return {**found, "container": self._container, "warnings": warnings}

    def _create(self) -> list[str]:
        name = f"?name={http.quote(self._order.name)}" if self._order.name else ""
        what = f"create a container of {self._order.image}"
        made = _call(self._url, "POST", f"/containers/create{name}", what, create_body(self._order))
        self._container = made["Id"]
        return list(made.get("Warnings") or ())

    def _follow(self, stack: contextlib.ExitStack) -> dict[str, Any]:
        stdin = None if self._order.stdin is None else self._order.stdin.encode()
        with _meaning(f"run {self._order.image}"):
            attached = attach.Attached(self._url, self._container, stdin=stdin, limit=OUTPUT_LIMIT)
            stack.callback(attached.close)
            ending = attach.Ending(self._url, self._container)
            stack.callback(ending.close)
        _call(self._url, "POST", f"/containers/{self._container}/start", f"run {self._order.image}")
        complaint = ""
        try:
            complaint, shown = self._wait(attached, ending)
            if complaint:
                # Output that nobody reads any more would keep a Docker Engine from ending the container.
                if not attached.reading.is_alive():
                    attached.close()
                self._kill()
            end = ending.waiting.outcome(_GRACE if complaint else None)
            # What it wrote before it was killed may still be on its way.
            with contextlib.suppress(TimeoutError, attach.TooMuch, attach.BrokenOff):
                attached.reading.outcome(_GRACE)
        except (TimeoutError, attach.Lost) as exc:
            what = complaint or "cannot tell how the command ended"
            raise http.Unreachable(f"{what}: {str(exc) or type(exc).__name__}") from exc
        self._removed = not (end.get("Error") or {}).get("Message")
        status: int = end["StatusCode"]
        return {
            "failed": bool(complaint or status),
            "msg": complaint or ("non-zero return code" if status else ""),
            "rc": status,
            "stdout": bytes(attached.stdout[:shown]).decode(errors="replace"),
            "stderr": bytes(attached.stderr[:shown]).decode(errors="replace"),
        }

    def _wait(self, attached: attach.Attached, ending: attach.Ending) -> tuple[str, int | None]:
        """Wait until the command has ended; return why it has to be killed, and what to show."""
        limit = self._order.timeout
        deadline = None if limit is None else time.monotonic() + limit
        try:
            attached.reading.outcome(_left(deadline))
            # It may have closed its output, and still run.
            ending.waiting.outcome(_left(deadline))
        except TimeoutError:
            return f"the command did not end within {limit:g} s and was killed", None
        except attach.TooMuch as exc:
            return f"the command was killed: {exc}", _SHOWN
        except attach.BrokenOff as exc:
            return f"the command was killed: its output was lost: {exc}", None
        return "", None

    def _kill(self) -> None:
        with contextlib.suppress(http.Refused):  # it has ended by itself meanwhile
            _call(self._url, "POST", f"/containers/{self._container}/kill", "kill it")

    def _clean_up(self) -> str:
        """Remove the container if it may be there; return what is wrong if that fails."""
        if not self._container or self._removed:
            return ""
        path = f"/containers/{self._container}?force=1&v=1"
        try:
            with self._interrupts.held():
                _call(self._url, "DELETE", path, "remove it", seconds=_GRACE)
        except http.Refused as exc:
            # That it is gone, or about to go, is what is wanted.
            return "" if exc.status in (404, 409) else self._left_behind(exc)
        except http.Unreachable as exc:
            return self._left_behind(exc)
        return ""

    def _left_behind(self, exc: Exception) -> str:
        return f"container {self._container[:12]} may still be there: {exc}"


class _Interrupted(BaseException):
    """A signal came."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


class _Interrupts:
    """For the length of a `with`, a signal to end is an exception, except where it is held."""

    def __init__(self) -> None:
        self._held = False
        self._pending: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Interrupts:
        self._before = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep a signal until the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._pending is not None:
            raise _Interrupted(self._pending)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._held:
            self._pending = number
        else:
            raise _Interrupted(number)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _is_done(order: RunOrder) -> str:
    """Return why there is no need to run, or nothing; patterns as in ansible.builtin.command."""
    if order.creates and glob.glob(order.creates):
        return f"'{order.creates}' exists"
    if order.removes and not glob.glob(order.removes):
        return f"'{order.removes}' does not exist"
    return ""


def _require_possible(order: RunOrder, url: str) -> None:
    """Fail in a dry run, too, if the engine does not answer or cannot get the image."""
    if order.pull == NEVER:
        _ensure_image(order, url)
    else:
        reference.parse(order.image)
        _call(url, "GET", "/version", f"run {order.image}")


def _ensure_image(order: RunOrder, url: str) -> str:
    """Return the image's id, after a pull if that is wanted and needed."""
    found = None if order.pull == ALWAYS else _image_id(order.image, url)
    if found is None and order.pull == NEVER:
        raise http.Refused(404, f"cannot run {order.image}: no such image, and pull is never")
    if found is None:
        _pull(order, url)
        found = _image_id(order.image, url)
    if found is None:
        raise http.Refused(404, f"cannot run {order.image}: no such image after its pull")
    return found


def _image_id(image: str, url: str) -> str | None:
    try:
        found = _call(url, "GET", f"/images/{http.quote(image)}/json", f"run {image}")
    except http.Refused as exc:
        if exc.status == 404:
            return None
        raise
    return str(found["Id"])


def _pull(order: RunOrder, url: str) -> None:
    wanted = reference.parse(order.image).with_default_tag()
    name = http.quote(wanted.repository)
    path = f"/images/create?fromImage={name}&tag={http.quote(wanted.registry_name)}"
    headers = http.registry_auth(order.credentials)
    with contextlib.closing(http.connect(url)) as connection, _meaning(f"pull {order.image}"):
        for _ in http.read_lines(connection, "POST", path, headers):
            pass  # progress, or an error, which raises


def _call(
    url: str,
    method: str,
    path: str,
    what: str,
    document: Any = None,
    *,
    seconds: float | None = None,
) -> Any:
    """Make one request; `seconds` bounds it in time."""
    with contextlib.closing(http.connect(url)) as connection, _meaning(what):
        connection.sock.settimeout(seconds)
        return http.request_json(connection, method, path, document)


@contextlib.contextmanager
def _meaning(what: str) -> Iterator[None]:
    """Make of what the engine refuses "cannot WHAT: its words"."""
    try:
        yield
    except http.Refused as exc:
        # 400 stays for what is wrong with the order itself.
        status = 500 if exc.status == 400 else exc.status
        raise http.Refused(status, f"cannot {what}: {exc}") from exc


def _render(result: dict[str, Any]) -> Iterator[str]:
    """Show a person what the command wrote, each stream where it belongs."""
    print(result["stderr"], file=sys.stderr, end="")
    for warning in result["warnings"]:
        print(f"warning: {warning}", file=sys.stderr)
    if result["stdout"]:
        yield result["stdout"].removesuffix("\n")
    if not result["changed"]:
        yield str(result["msg"])
