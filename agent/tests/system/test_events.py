# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind events` and `logs -f` on a real agent: they end with their readers, and begin where they are told to."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import daemon
from support.daemon import Agent

pytestmark = pytest.mark.root


@contextlib.contextmanager
def following(agent: Agent) -> Iterator[subprocess.Popen[str]]:
    """Run the verb; when this yields, its stream is open."""
    process = subprocess.Popen(
        # Who starts these tests in a shell's background has it ignore SIGINT.
        ["env", "--default-signal=INT", sys.executable, "-m", "plugind", "events", "--announce"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PLUGIND_SOCKET": str(agent.socket)},
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["Action"] == "subscribed"
            yield process
        finally:
            process.kill()


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    assert process.stderr is not None
    return process.wait(), process.stderr.read()


def test_it_ends_with_its_reader_although_nothing_happens(agent: Agent) -> None:
    with following(agent) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert end(process) == (0, "")


def test_output_that_is_followed_ends_with_its_reader_too(agent: Agent, localdir: Path) -> None:
    """localdir says that it listens, and nothing after that."""
    daemon.require("docker")
    agent.cli("plugin", "create", "toy", str(localdir))
    agent.cli("plugin", "enable", "toy")
    program = f"'{sys.executable}' -m plugind logs -f toy"
    done = subprocess.run(
        ["bash", "-c", f"{program} 2>&1 | head -n 1; echo ${{PIPESTATUS[0]}}"],
        env={**os.environ, "PLUGIND_SOCKET": str(agent.socket)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Listening on " in done.stdout.splitlines()[0]
    assert done.stdout.splitlines()[1:] == ["0"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, -signal.SIGTERM)]
)
def test_signals_end_it_without_a_word(agent: Agent, number: int, status: int) -> None:
    with following(agent) as process:
        process.send_signal(number)
        assert end(process) == (status, "")


def test_an_agent_that_goes_is_told(agent: Agent) -> None:
    with following(agent) as process:
        agent.kill()
        status, said = end(process)
    assert status == 3
    assert said.startswith("plugind: cannot GET /events: the connection broke")


def test_it_begins_at_the_last_event_that_was_seen(agent: Agent, localdir: Path) -> None:
    daemon.require("docker")
    agent.cli("plugin", "create", "toy", str(localdir))
    agent.cli("plugin", "enable", "toy")
    agent.cli("plugin", "disable", "toy")
    whole = daemon.parse_lines(agent.verb("events", "--since", "1d", "--until", "now"))
    assert [event["Action"] for event in whole] == ["create", "enable", "disable"]
    seen = whole[1]["timeNano"]
    since = f"{seen // 10**9}.{seen % 10**9:09d}"
    rest = agent.verb("events", "--since", since, "--until", "now", "--filter", "type=plugin")
    assert daemon.parse_lines(rest) == whole[1:]
    none = agent.verb("events", "--since", "1d", "--until", "now", "--filter", "type=image")
    assert none == ""
