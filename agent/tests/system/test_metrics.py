# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The gauges example collects a real agent's metrics, also those of an agent that was restarted."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.ctl import http
from support import daemon, examples
from support.daemon import Agent

pytestmark = pytest.mark.root


@pytest.fixture
def gauges(agent: Agent, tmp_path: Path) -> examples.Running:
    built = daemon.build_plugin("gauges", tmp_path / "gauges")
    return examples.enable(agent, "gauges", built, "INTERVAL=0.05")


def lines(agent: Agent, count: int) -> Iterator[str]:
    """The next lines of the plugin's output, from its last one on."""
    connection = http.connect(agent.url)
    try:
        connection.request("GET", "/plugind/plugins/gauges/logs?tail=0&follow=1")
        answer = connection.getresponse()
        for _ in range(count):
            yield answer.readline().decode()
    finally:
        connection.close()


def wait_for_line(agent: Agent, pattern: str) -> str:
    """Read what the plugin says from now on until a line matches."""
    return next(line for line in lines(agent, 1000) if re.search(pattern, line))


def test_a_collector_reads_the_metrics(agent: Agent, gauges: examples.Running) -> None:
    assert "Collected" in wait_for_line(agent, r"Collected \d+ samples of \d+ metrics")
    metrics = agent.run / "metrics.sock"
    argv = ["curl", "-sS", "--unix-socket", str(metrics), "http://localhost/metrics"]
    text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert 'plugind_plugin_up{plugin="gauges:latest"} 1\n' in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    counted = wait_for_line(agent, "Collected")
    assert f"Collected {len(samples)} samples" in counted


def test_a_collector_goes_on_with_an_agent_that_was_killed(
    agent: Agent, gauges: examples.Running
) -> None:
    pid = agent.plugin("gauges")["Status"]["Pid"]
    for _ in range(2):
        wait_for_line(agent, "Collected")
        agent.kill()
        agent.start()
    wait_for_line(agent, "Collected")
    assert agent.plugin("gauges")["Status"]["Pid"] == pid


def test_a_collector_that_was_killed_collects_again(agent: Agent, gauges: examples.Running) -> None:
    wait_for_line(agent, "Collected")
    agent.runc("kill", gauges.id, "KILL")
    wait_for_line(agent, "Listening on")
    wait_for_line(agent, "Collected")
    gauges.disable()
    assert "StopMetrics called... ok" in agent.verb("logs", "gauges")
    agent.cli("plugin", "rm", "gauges")
    assert list((agent.root / "plugins").iterdir()) == []
