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
import json
import re
import socket
import sys
import time
import urllib.parse
from collections.abc import Sequence

from plugind.ctl import http as ctl_http
from plugind.ctl import reader

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
    with contextlib.closing(connection), reader.followed(connection):
        response = ctl_http.open_answer(connection, "GET", path)
        if options.announce:
            print(announcement(now), flush=True)
        for line in ctl_http.answer_lines(response, "GET", path):
            print(line.decode("utf-8", "replace").strip(), flush=True)
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
