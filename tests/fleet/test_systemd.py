# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The agent as a service of systemd, as on most real hosts: one whose first process it is."""

from __future__ import annotations

import json
from collections.abc import Iterator

import docs.pages as pages
import pytest

from fleet import rootfs, typed
from fleet.controller import Terminal
from fleet.fleet import Fleet
from fleet.hosts import Host
from fleet.rootfs import REPOSITORY as ROOT
from fleet.site import REPOSITORY, Site, assert_sound, read_plugins
from fleet.supplies import obtain_wheelhouse, publish

pytestmark = [pytest.mark.root, pytest.mark.timeout(600)]
COMMANDS = pages.left_to("tests/fleet/test_systemd.py", ROOT)
REGISTRY, PODMAN = (f"docs/docsite/howto/{name}.md" for name in ("registry", "podman"))
(RESTART_OVER_SSH,) = COMMANDS["docs/docsite/howto/upgrade.md"]
(RESTART_FOR_REGISTRY,) = COMMANDS[REGISTRY]
(RESTART_FOR_PODMAN,) = COMMANDS[PODMAN]
(JOURNAL,) = COMMANDS["docs/operations.md"]
(JOURNAL_OF_PLUGINS,) = COMMANDS["docs/developing-a-plugin.md"]
SETTINGS = "/etc/plugind/plugind.toml"
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


@pytest.fixture
def operator(site: Site, host: Host) -> Iterator[Terminal]:
    """At a terminal in the fleet's network, where every name is this host's."""
    directory = site.fleet.directory
    terminal = site.fleet.controller.open_terminal(directory)
    options = f"-F {directory}/ssh_config -o HostName={host.address}"
    terminal.type(f'ssh() {{ command ssh {options} "$@"; }}')
    yield terminal
    terminal.close()


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
    said = typed.on_host(host, JOURNAL).output
    assert "API listen on" in said
    of_plugins = [line for line in said.splitlines() if "plugin=" in line]
    assert any(f"plugin={plugin['Id']}" in line for line in of_plugins)
    filtered = typed.on_host(host, JOURNAL_OF_PLUGINS).output.splitlines()
    assert filtered[: len(of_plugins)] == of_plugins


def write_settings(host: Host, page: str) -> None:
    """Write the settings that a page shows."""
    files = [step for step in pages.read(ROOT / page).steps if isinstance(step, pages.File)]
    (content,) = (file.content for file in files if file.name == SETTINGS)
    host.run("sh", "-c", f"cat >{SETTINGS}", input=content)


def test_a_restart_takes_settings_by_hand(site: Site, host: Host) -> None:
    pid = read_plugins(host)["localdir"]["Status"]["Pid"]
    write_settings(host, REGISTRY)
    typed.on_host(host, RESTART_FOR_REGISTRY)
    # The authority's certificate is not there, and missed as soon as a registry is asked.
    wanted = {"plugins": [{"name": "more", "source": "registry.example.com/plugins/localdir:1"}]}
    refused = host.call("plugind", "apply", "-", input=json.dumps(wanted))
    assert 'cannot read CA file "/etc/ssl/registry.example.com.pem"' in refused.stderr
    write_settings(host, PODMAN)
    typed.on_host(host, RESTART_FOR_PODMAN)
    told = host.run("cat", "/etc/containers/containers.conf.d/50-plugind.conf")
    assert '"localdir" = "/run/plugind/fronts/localdir:latest.sock"' in told
    # The role has the last word.
    result = site.play()
    assert result.rc == 0, result.output
    assert host.call("ls", "/etc/containers/containers.conf.d/50-plugind.conf").returncode
    assert read_plugins(host)["localdir"]["Status"]["Pid"] == pid
    assert_sound(host)


def test_plugins_outlive_the_agent(host: Host, operator: Terminal) -> None:
    before, first = read_plugins(host)["localdir"]["Status"], show(host, "MainPID")
    typed.at(operator, RESTART_OVER_SSH, {})
    assert show(host, "MainPID") != first
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
