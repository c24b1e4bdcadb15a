# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""playbooks/site.yml on real hosts over ssh, in good days and bad ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleet.fleet import Fleet
from fleet.site import Site, assert_sound, read_plugins, tags
from fleet.supplies import build_wheel

pytestmark = [pytest.mark.root, pytest.mark.timeout(1800)]


def everywhere(fleet: Fleet, tag: str) -> dict[str, str]:
    return {host.name: tag for host in fleet}


def test_first_rollout_and_a_second_that_changes_nothing(deployed: Site) -> None:
    fleet = deployed.fleet
    assert tags(fleet) == everywhere(fleet, deployed.tag)
    for host in fleet:
        assert "localdir:latest   data" in host.run("plugind", "volumes", "ls")
        assert_sound(host)
    result = deployed.play()
    assert (result.rc, result.changed) == (0, 0), result.output
    assert set(result.recap) == {host.name for host in fleet}


def test_upgrade_under_two_operators(deployed: Site) -> None:
    fleet = deployed.fleet
    before = {host.name: read_plugins(host)["localdir"]["Id"] for host in fleet}
    deployed.tag = "2"
    plays = [deployed.start(), deployed.start()]
    for result in [play.finish() for play in plays]:
        assert result.rc == 0, result.output
    assert tags(fleet) == everywhere(fleet, "2")
    assert {host.name: read_plugins(host)["localdir"]["Id"] for host in fleet} == before
    for host in fleet:
        assert_sound(host)


def test_registry_down(deployed: Site) -> None:
    fleet = deployed.fleet
    before = {host.name: read_plugins(host)["localdir"]["Status"]["Pid"] for host in fleet}
    fleet.registry.stop()
    try:
        tag, deployed.tag = deployed.tag, "3"
        result = deployed.play()
    finally:
        fleet.registry.start()
    assert result.broken() == {host.name for host in fleet}, result.output
    assert result.changed == 0
    assert f'cannot reach registry "{fleet.registry.host}"' in " ".join(result.output.split())
    assert tags(fleet) == everywhere(fleet, tag)
    assert {host.name: read_plugins(host)["localdir"]["Status"]["Pid"] for host in fleet} == before
    result = deployed.play("--limit", "h1")
    assert result.rc == 0, result.output
    assert tags(fleet) == {**everywhere(fleet, tag), "h1": "3"}


def test_a_host_cut_off(deployed: Site) -> None:
    fleet = deployed.fleet
    last = list(fleet)[-1]
    before, deployed.tag = tags(fleet), "4"
    play = deployed.start()
    play.until("TASK [plugind.engine.agent : Write the settings]")
    last.cut()
    result = play.finish()
    assert result.broken() == {last.name}, result.output
    assert result.recap[last.name]["unreachable"] == 1
    assert tags(fleet) == {**everywhere(fleet, "4"), last.name: before[last.name]}
    last.join()
    result = deployed.play("--limit", last.name)
    assert result.rc == 0, result.output
    assert tags(fleet) == everywhere(fleet, "4")


# Slow: single machines prove as much of these three in `make test` (test_role_agent, the kill matrices of the agent).
@pytest.mark.slow
@pytest.mark.parametrize(
    "point", ["pull:after-layer", "install:before-commit", "enable:after-start"]
)
def test_power_cut_while_a_plugin_is_installed(deployed: Site, point: str) -> None:
    fleet = deployed.fleet
    host = fleet["h1"]
    name = point.partition(":")[0]
    more = {"plugins": [{"name": name, "source": deployed.source("5")}]}
    # The agent dies at this point, and then the whole host does.
    host.run("env", f"PLUGIND_CRASH_AT={point}", "/etc/init.d/plugind", "restart")
    agent = host.find("plugind serve")
    play = deployed.start(**more)
    agent.wait(timeout=300)
    host.kill()
    assert play.finish().broken() == {host.name}
    host.boot()
    assert_sound(host)
    result = deployed.play(**more)
    assert result.rc == 0, result.output
    for each in fleet:
        assert read_plugins(each)[name]["Enabled"]
        assert_sound(each)


@pytest.mark.slow
def test_power_cut_while_the_agent_is_installed(deployed: Site) -> None:
    fleet = deployed.fleet
    host = fleet["h1"]
    host.kill()
    host.wipe()
    host.boot()
    # pip's log is a pipe: what is read from it, pip has just written.
    pipe = host.directory / "state" / "pip"
    os.mkfifo(pipe)
    play = deployed.start(agent_pip_args=["--log", "/run/fleet/pip"])
    with pipe.open(encoding="utf-8") as log:
        assert log.readline()
        host.kill()
    result = play.finish()
    assert result.broken() == {"h1"}, result.output
    pipe.unlink()
    host.boot()
    # Two operators want it back.
    plays = [deployed.start(), deployed.start()]
    for result in [play.finish() for play in plays]:
        assert result.rc == 0, result.output
    assert tags(fleet) == everywhere(fleet, deployed.tag)
    assert_sound(host)
    assert host.run("find", "/tmp", "-name", "plugind-*") == ""
    assert deployed.play().changed == 0


@pytest.mark.slow
def test_agent_upgrade_under_running_plugins(deployed: Site, place: Path) -> None:
    fleet = deployed.fleet
    before = {host.name: read_plugins(host)["localdir"]["Status"] for host in fleet}
    deployed.keep(agent_wheel=str(build_wheel(place, "99.0.0")))
    result = deployed.play()
    assert result.rc == 0, result.output
    for host in fleet:
        assert host.run("plugind", "version").split() == ["client", "99.0.0", "agent", "99.0.0"]
        status = read_plugins(host)["localdir"]["Status"]
        assert (status["State"], status["Pid"]) == ("running", before[host.name]["Pid"])
        assert len(host.run("ls", "/opt/plugind/versions").split()) == 1
    result = deployed.play()
    assert (result.rc, result.changed) == (0, 0), result.output
