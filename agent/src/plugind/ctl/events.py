# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind events`: what happens, as JSON lines, in the words of `GET /events`.

    plugind events [--since WHEN] [--until WHEN] [--filter KEY=VALUE]... [--announce]

The agent keeps its last 256 events while it runs; --since gives those of them that are not older.
Without --until the stream goes on until the reader of standard output has gone, also when nothing
happens: what an ssh client left behind on a host ends by itself.

--announce prints a first line of type `daemon`, action `subscribed`, once the stream is open. Its
`timeNano` is the host's clock before that, so that --since with it misses nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import http.client
import json
import os
import re
import select
import socket
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Sequence

from plugind.ctl import http as ctl_http

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_NANO = 1_000_000_000


def run(options: argparse.Namespace) -> int:
    """Print events until the stream or its reader ends; return the exit status."""
    now = time.time_ns()
    try:
        path = events_path(options.since, options.until, options.filter, now)
    except ValueError as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        return ctl_http.INVALID
    connection = ctl_http.connect(ctl_http.agent_url(ctl_http.agent_socket(options.socket)))
    with contextlib.closing(connection), _ended_by_reader(connection) as reader_gone:
        try:
            response = ctl_http.open_answer(connection, "GET", path)
            if options.announce:
                print(announcement(now), flush=True)
            for line in ctl_http.answer_lines(response, "GET", path):
                print(line.decode("utf-8", "replace").strip(), flush=True)
        except BrokenPipeError:
            # What is still buffered must not be an error again when Python ends.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except ctl_http.Unreachable:
            if not reader_gone.is_set():
                raise
    return ctl_http.OK


def events_path(since: str, until: str, filters: Sequence[str], now_ns: int) -> str:
    """Return the path and query to ask for; ValueError says which argument is wrong."""
    query = {
        name: format_moment(parse_when(text, now_ns))
        for name, text in (("since", since), ("until", until))
        if text
    }
    wanted: dict[str, list[str]] = {}
    for one in filters:
        key, equals, value = one.partition("=")
        if not equals:
            raise ValueError(f'bad format of filter "{one}" (expected name=value)')
        wanted.setdefault(key, []).append(value)
    if wanted:
        query["filters"] = json.dumps(wanted)
    return "/events" + ("?" + urllib.parse.urlencode(query) if query else "")


def parse_when(text: str, now_ns: int) -> int:
    """Return Unix time in nanoseconds: of a time, `now`, or a duration before `now_ns`."""
    if text == "now":
        return now_ns
    if found := re.fullmatch(r"(\d+)(?:\.(\d{1,9}))?", text):
        return int(found[1]) * _NANO + int((found[2] or "").ljust(9, "0"))
    if found := re.fullmatch(r"(\d+)([smhd])", text):
        return max(0, now_ns - int(found[1]) * _UNITS[found[2]] * _NANO)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as exc:
        raise ValueError(f'cannot read the time "{text}": {exc}') from exc
    # Without a zone it is the host's own time, as with every client of Docker.
    since_epoch = moment.astimezone(dt.UTC) - dt.datetime.fromtimestamp(0, dt.UTC)
    return since_epoch // dt.timedelta(microseconds=1) * 1000


def format_moment(time_ns: int) -> str:
    """Return nanoseconds as the API takes them: seconds, a dot, nine digits."""
    return f"{time_ns // _NANO}.{time_ns % _NANO:09d}"


def announcement(time_ns: int) -> str:
    """Return the line that says that the stream is open."""
    return json.dumps(
        {
            "Type": "daemon",
            "Action": "subscribed",
            "Actor": {"ID": "", "Attributes": {"name": socket.gethostname()}},
            "scope": "local",
            "time": time_ns // _NANO,
            "timeNano": time_ns,
        }
    )


@contextlib.contextmanager
def _ended_by_reader(connection: http.client.HTTPConnection) -> Iterator[threading.Event]:
    """Shut the connection down when nobody can read standard output any more; tell so.

    A write would find out, but there may be nothing to write for months.
    """
    gone = threading.Event()
    opened: socket.socket = connection.sock
    over, over_too = os.pipe()
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # an error and a hang-up are always reported
    poll.register(over, 0)

    def watch() -> None:
        if any(fd != over for fd, _ in poll.poll()):
            gone.set()
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=watch, name="reader of standard output", daemon=True)
    thread.start()
    try:
        yield gone
    finally:
        os.close(over_too)
        thread.join()
        os.close(over)
