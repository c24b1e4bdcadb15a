# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The agent as a service of systemd, as on most real hosts: one whose first process it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fleet import rootfs
from fleet.fleet import Fleet
from fleet.hosts import Host
from fleet.site import REPOSITORY, Site, assert_sound, read_plugins
from fleet.supplies import obtain_wheelhouse, publish

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]
# Waits until the agent listens, in its journal from a cursor on.
WAIT = """
import subprocess, sys
argv = ["journalctl", "--unit", "plugind", "--follow", "--after-cursor", sys.argv[1]]
with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as journal:
    next(line for line in journal.stdout if "API listen on" in line)
    journal.terminate()
"""


@pytest.fixture(scope="module")
def site(needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One host with systemd, and the agent and a plugin on it."""
    with Fleet(tmp_path_factory.mktemp("s"), 1, packages=rootfs.SYSTEMD) as fleet:
        fleet.registry.start()
        publish(fleet, "localdir", REPOSITORY, {"1": {"description": "Version 1"}})
        site = Site(fleet, obtain_wheelhouse(fleet.ground.lower))
        result = site.play()
        assert result.rc == 0, result.output
        yield site


@pytest.fixture
def host(site: Site) -> Host:
    return site.fleet["h1"]


def show(host: Host, *properties: str) -> dict[str, str]:
    """Properties of the unit."""
    said = host.run("systemctl", "show", "plugind", f"--property={','.join(properties)}")
    return dict(line.split("=", 1) for line in said.splitlines())


def cursor(host: Host) -> str:
    """Where the unit's journal ends now."""
    said = host.run("journalctl", "--unit", "plugind", "--lines", "1", "--show-cursor")
    return said.rpartition("-- cursor: ")[2].strip()


def wait(host: Host, since: str) -> None:
    """Return when the agent listens again."""
    host.run("python3", "-c", WAIT, since)


def test_a_service_of_systemd(site: Site, host: Host) -> None:
    assert host.run("ps", "-o", "comm=", "1") == "systemd\n"
    assert show(host, "Type", "ActiveState", "UnitFileState", "Delegate", "NRestarts") == {
        "Type": "notify", "ActiveState": "active", "UnitFileState": "enabled", "Delegate": "yes",
        "NRestarts": "0",
    }  # fmt: skip
    host.run("systemd-analyze", "verify", "plugind.service")
    assert_sound(host)
    result = site.play()
    assert (result.rc, result.changed) == (0, 0), result.output


def test_the_log_is_in_the_journal(host: Host) -> None:
    plugin = read_plugins(host)["localdir"]
    said = host.run("sh", "-c", "journalctl -u plugind | grep plugin=")
    assert f"plugin={plugin['Id']}" in said


def test_plugins_outlive_the_agent(host: Host) -> None:
    before = read_plugins(host)["localdir"]["Status"]
    host.run("systemctl", "restart", "plugind")
    assert read_plugins(host)["localdir"]["Status"]["Pid"] == before["Pid"]
    since, first = cursor(host), show(host, "MainPID")
    host.run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "plugind")
    wait(host, since)
    after = read_plugins(host)["localdir"]["Status"]
    assert (after["State"], after["Pid"]) == ("running", before["Pid"])
    assert show(host, "NRestarts") == {"NRestarts": "1"}
    assert show(host, "MainPID") != first
    assert_sound(host)


def test_a_boot_starts_it(site: Site, host: Host) -> None:
    host.kill()
    host.boot()
    host.run("systemctl", "start", "plugind")  # waits for the start that has begun
    result = site.play()
    assert (result.rc, result.changed) == (0, 0), result.output
    assert read_plugins(host)["localdir"]["Status"]["State"] == "running"
    assert "data" in host.run("plugind", "volumes", "ls")
    assert_sound(host)


def test_settings_that_are_wrong(site: Site, host: Host) -> None:
    pid = read_plugins(host)["localdir"]["Status"]["Pid"]
    result = site.play(agent_options={"daemon": {"log_level": "loud"}}, agent_wait=1)
    assert result.rc != 0
    said = " ".join(result.output.split())
    assert "the agent does not start: Unable to start service plugind" in said
    assert "log_level" in said
    # Who has mended them need not wait until systemd forgets how often it has tried.
    result = site.play()
    assert result.rc == 0, result.output
    assert read_plugins(host)["localdir"]["Status"]["Pid"] == pid
    assert_sound(host)


def test_removed(site: Site, host: Host) -> None:
    result = site.start(
        playbook="plugind.engine.remove", remove_volumes=True, remove_agent=True
    ).finish()
    assert result.rc == 0, result.output
    assert show(host, "LoadState", "ActiveState") == {
        "LoadState": "not-found", "ActiveState": "inactive",
    }  # fmt: skip
    assert host.call("test", "-e", "/run/plugind").returncode
    assert host.run("systemctl", "--failed", "--quiet", "--plain", "--no-legend") == ""
