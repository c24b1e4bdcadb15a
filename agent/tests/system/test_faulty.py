# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""A real plugin that misbehaves: what the client is told, and that nothing of it stays behind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plugind.ctl import http
from plugind.host import mounts
from support import daemon, invariants
from support.daemon import Agent

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, faulty: Path) -> Iterator[Agent]:
    """A daemon with the faulty plugin, disabled."""
    with daemon.run(tmp_path_factory.mktemp("faulty") / "d") as running:
        running.cli("plugin", "create", "faulty", str(faulty))
        yield running


@pytest.fixture(autouse=True)
def disabled(agent: Agent) -> Iterator[None]:
    """After each test the plugin is disabled and its volumes are gone."""
    yield
    if agent.request("GET", "/plugins/faulty/json")["Enabled"]:
        agent.request("POST", "/plugins/faulty/disable?force=1")
    for name in invariants.load_volumes(agent.root):
        agent.request("DELETE", f"/volumes/{name}?force=1")


def set_fault(agent: Agent, fault: str) -> None:
    agent.request("POST", "/plugins/faulty/set", [f"FAULT={fault}"])


def enable(agent: Agent, timeout: int = 10) -> None:
    agent.request("POST", f"/plugins/faulty/enable?timeout={timeout}")


def assert_nothing_is_left(agent: Agent) -> None:
    assert not agent.request("GET", "/plugins/faulty/json")["Enabled"]
    assert agent.plugin("faulty")["Status"]["Pid"] is None
    assert agent.running() == []
    assert list(agent.sockets.iterdir()) == []
    assert mounts.mounts_under(agent.root) == []
    invariants.check(agent.root)
    assert invariants.load_volumes(agent.root) == {}


@pytest.mark.parametrize(
    ("fault", "timeout", "messages"),
    [
        ("exit:3", 10, ("exited with status 3 before it listened", "exiting with status 3 on")),
        ("hang", 1, ("nothing listens on faulty.sock after 1 s", "faulty: hang")),
        ("no-such-fault", 10, ("exited with status 2", "no such fault")),
    ],
)
def test_one_that_does_not_start_says_its_last_words(
    agent: Agent, fault: str, timeout: int, messages: tuple[str, ...]
) -> None:
    set_fault(agent, fault)
    with pytest.raises(http.Refused) as caught:
        enable(agent, timeout)
    assert caught.value.status == 500
    for message in messages:
        assert message in str(caught.value)
    assert_nothing_is_left(agent)


def test_one_that_takes_its_time_is_waited_for(agent: Agent) -> None:
    set_fault(agent, "slow:0.5")
    enable(agent)
    assert agent.request("GET", "/plugins/faulty/json")["Enabled"]


def test_one_that_answers_garbage_creates_nothing(agent: Agent) -> None:
    set_fault(agent, "garbage")
    enable(agent)
    with pytest.raises(http.Refused, match="something that is not JSON") as caught:
        agent.request("POST", "/volumes/create", {"Name": "garbage", "Driver": "faulty"})
    assert caught.value.status == 500
    assert invariants.load_volumes(agent.root) == {}
    agent.request("POST", "/plugins/faulty/disable")
    assert_nothing_is_left(agent)


@pytest.mark.parametrize("fault", ["create-error", "err-200,create-error"])
def test_errors_of_the_driver_come_in_its_own_words(agent: Agent, fault: str) -> None:
    set_fault(agent, fault)
    enable(agent)
    with pytest.raises(http.Refused, match="create failed on purpose") as caught:
        agent.request("POST", "/volumes/create", {"Name": "v", "Driver": "faulty"})
    assert caught.value.status == 500
    assert invariants.load_volumes(agent.root) == {}


def test_one_that_dies_in_a_call_comes_back_and_the_call_is_not_repeated(agent: Agent) -> None:
    set_fault(agent, "crash-once:mount")
    enable(agent)
    agent.request("POST", "/volumes/create", {"Name": "v", "Driver": "faulty"})
    with pytest.raises(http.Refused, match="cannot mount volume v") as caught:
        agent.request("POST", "/plugind/volumes/v/mount", {"Holder": "web"})
    assert caught.value.status in (500, 503)
    assert agent.request("GET", "/plugind/volumes/v/holders") == []
    # The next call waits for the restart.
    path = agent.request("POST", "/plugind/volumes/v/mount", {"Holder": "web"})["Mountpoint"]
    assert Path(path).is_dir()
    status = agent.plugin("faulty")["Status"]
    assert (status["Restarts"], status["LastExit"]) == (1, 13)
    assert "crashing on purpose in mount" in agent.verb("logs", "faulty")
    agent.request("POST", "/plugind/volumes/v/unmount", {"Holder": "web"})


def test_one_that_ignores_sigterm_is_killed(agent: Agent) -> None:
    set_fault(agent, "deaf")
    enable(agent)
    agent.request("POST", "/plugins/faulty/disable")
    assert agent.plugin("faulty")["Status"]["LastExit"] == 137
    assert_nothing_is_left(agent)
