# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The event source for ansible-rulebook on a real agent, by its socket and over ssh, and the repair."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import eda, ssh_login
from support.daemon import Agent
from support.eda import ROOT, Queue, source

pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]
BIN = Path(sys.executable).parent
DECLARATION = {"plugins": [{"name": "toy", "state": "enabled"}]}


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    with eda.toy(tmp_path) as running:
        yield running


def kill(agent: Agent) -> None:
    os.kill(agent.plugin("toy")["Status"]["Pid"], signal.SIGKILL)


@contextlib.asynccontextmanager
async def events(**args: Any) -> AsyncIterator[Queue]:
    """Run the source as ansible-rulebook does, for the length of the block."""
    queue: Queue = asyncio.Queue()
    task = asyncio.create_task(source.main(queue, args))
    try:
        yield queue
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(queue: Queue, action: str) -> list[str]:
    """Take events up to this one; return what they were, without those of volumes."""
    seen = []
    while not seen or seen[-1] != action:
        event = await queue.get()
        assert event["host"] == "web1"
        if event["type"] == "plugin":
            assert (event["plugin"], len(event["id"])) == ("toy:latest", 64)
        if event["type"] != "volume":
            seen.append(event["action"])
    return seen


def repair(agent: Agent, *arguments: str) -> str:
    """Run the playbook that the rulebook runs."""
    done = subprocess.run(
        [str(BIN / "ansible-playbook"), "-i", "web1,", "-c", "local", *arguments,
         "-e", "ansible_become=false", "-e", f"ansible_python_interpreter={sys.executable}",
         "plugind.engine.repair"],
        capture_output=True, text=True, check=False,
        env={
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".build/collections"),
            "ANSIBLE_HOME": str(agent.root.parent / "ansible"),
            "ANSIBLE_NOCOLOR": "1",
            "PLUGIND": str(BIN / "plugind"),
            "PLUGIND_SOCKET": str(agent.socket),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def test_a_plugin_dies_is_given_up_and_repaired(agent: Agent) -> None:
    options = {"socket": str(agent.socket), "name": "web1", "declaration": DECLARATION}
    async with events(**options, settle=0, every=3600) as queue:
        await until(queue, "connected")
        kill(agent)
        assert await until(queue, "restarted") == ["died", "restarted"]
        kill(agent)
        # Whether a host differs is looked at beside the events: either may come first.
        seen = await until(queue, "drifted")
        if "gave up" not in seen:
            seen += await until(queue, "gave up")
        assert [action for action in seen if action != "drifted"] == ["died", "gave up"]
        printed = await asyncio.to_thread(repair, agent, "-e", "repair_plugin=toy:latest")
        assert "changed=1" in printed
        seen = await until(queue, "in sync")
        assert "enable" in seen
        assert agent.plugin("toy")["Status"]["State"] == "running"


async def test_drift_is_found_and_declared_away(agent: Agent) -> None:
    options = {"socket": str(agent.socket), "name": "web1", "declaration": DECLARATION}
    async with events(**options, settle=0, every=3600) as queue:
        await until(queue, "connected")
        agent.cli("plugin", "disable", "toy")
        assert await until(queue, "drifted") == ["disable", "drifted"]
        declared = '{"plugins_plugins": [{"name": "toy", "state": "enabled"}]}'
        assert "changed=1" in await asyncio.to_thread(repair, agent, "-e", declared)
        assert await until(queue, "in sync") == ["enable", "in sync"]


async def test_an_agent_that_is_killed_is_followed_again(agent: Agent) -> None:
    async with events(socket=str(agent.socket), name="web1") as queue:
        await until(queue, "connected")
        kill(agent)
        await until(queue, "restarted")
        await asyncio.to_thread(agent.kill)
        assert await until(queue, "disconnected") == ["disconnected"]
        await asyncio.to_thread(agent.start)
        assert await until(queue, "connected") == ["connected"]
        kill(agent)
        # The history went with the agent, and that is said.
        assert await until(queue, "died") == ["gap", "died"]


async def test_hosts_are_followed_over_ssh(agent: Agent, tmp_path: Path) -> None:
    with ssh_login.run(tmp_path) as login:
        options = {
            "hosts": [{"name": "web1", "address": "127.0.0.1"}],
            "ssh_args": login.arguments,
            "executable": str(BIN / "plugind"),
            "socket": str(agent.socket),
            "declaration": DECLARATION,
        }
        async with events(**options, settle=0, every=3600) as queue:
            await until(queue, "connected")
            kill(agent)
            assert await until(queue, "restarted") == ["died", "restarted"]
            agent.cli("plugin", "disable", "toy")
            assert await until(queue, "drifted") == ["disable", "drifted"]
            await asyncio.to_thread(agent.kill)
            assert await until(queue, "disconnected") == ["disconnected"]
            await asyncio.to_thread(agent.start)
            assert await until(queue, "connected") == ["connected"]
