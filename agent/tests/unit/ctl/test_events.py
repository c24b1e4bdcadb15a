# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind events`: what it asks the agent, what it prints, how it ends."""

from __future__ import annotations

import json
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

from fakes import unixhttp
from plugind.ctl import events, main

NOW = 1_764_000_000_123_456_789
LINES = b'{"Action":"died"}\n{"Action":"restarted"}\n'
Out = pytest.CaptureFixture[str]


def run(path: Path, answer: tuple[int, Any], *arguments: str) -> tuple[int, Any]:
    """Return the exit status and the requests."""
    with unixhttp.serve(path / "s", {("GET", "/events"): answer}) as requests:
        status = main.main(["--socket", str(path / "s"), "events", *arguments])
    return status, requests


def test_events_are_printed_as_the_agent_sends_them(tmp_path: Path, capfd: Out) -> None:
    status, [request] = run(tmp_path, (200, LINES))
    assert (status, request.path) == (0, "/events")
    assert capfd.readouterr().out == LINES.decode()


def test_times_and_filters_are_asked_for(tmp_path: Path) -> None:
    arguments = ["--since", "5.25", "--until", "7", "--filter", "type=plugin"]
    arguments += ["--filter", "event=gave up", "--filter", "type=volume"]
    status, [request] = run(tmp_path, (200, b""), *arguments)
    assert status == 0
    assert dict(urllib.parse.parse_qsl(request.path.partition("?")[2])) == {
        "since": "5.250000000",
        "until": "7.000000000",
        "filters": '{"type": ["plugin", "volume"], "event": ["gave up"]}',
    }


def test_the_open_stream_is_announced_by_the_hosts_clock(tmp_path: Path, capfd: Out) -> None:
    status, _ = run(tmp_path, (200, LINES), "--announce")
    first, *rest = capfd.readouterr().out.splitlines()
    announced = json.loads(first)
    assert status == 0
    assert (announced["Type"], announced["Action"]) == ("daemon", "subscribed")
    assert announced["time"] == announced["timeNano"] // 1_000_000_000
    assert rest == LINES.decode().splitlines()


def test_a_refused_stream_is_not_announced(tmp_path: Path, capfd: Out) -> None:
    status, _ = run(tmp_path, (400, {"message": "invalid filter 'x'"}), "--announce")
    assert status == 1
    assert capfd.readouterr() == ("", "plugind: invalid filter 'x'\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--filter", "type"), 'bad format of filter "type" (expected name=value)'),
        (("--since", "yesterday"), 'cannot read the time "yesterday"'),
        (("--until", "5 m"), 'cannot read the time "5 m"'),
    ],
)
def test_bad_usage_is_status_2(
    tmp_path: Path, capfd: Out, arguments: tuple[str, ...], message: str
) -> None:
    assert main.main(["--socket", str(tmp_path / "absent"), "events", *arguments]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("now", NOW),
        ("0", 0),
        ("1764000000", 1_764_000_000_000_000_000),
        ("1764000000.123456789", NOW),
        ("1764000000.5", 1_764_000_000_500_000_000),
        ("90s", NOW - 90 * 10**9),
        ("10m", NOW - 600 * 10**9),
        ("2h", NOW - 7200 * 10**9),
        ("1d", NOW - 86400 * 10**9),
        ("99999d", 0),
        ("2025-11-24T16:00:00Z", 1_764_000_000_000_000_000),
        ("2025-11-24T17:00:00.000001+01:00", 1_764_000_000_000_001_000),
    ],
)
def test_a_moment_is_read_to_the_nanosecond(text: str, time_ns: int) -> None:
    assert events.parse_when(text, NOW) == time_ns
    seconds, _, fraction = events.format_moment(time_ns).partition(".")
    assert (int(seconds), int(fraction), len(fraction)) == (*divmod(time_ns, 10**9), 9)
