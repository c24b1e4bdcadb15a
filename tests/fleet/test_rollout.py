# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""playbooks/rollout.yml and remove.yml on real hosts over ssh: batches, gates, the way back, going on after trouble."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.conftest import mend
from fleet.controller import Play, Result
from fleet.fleet import Fleet
from fleet.hosts import Host
from fleet.site import Site, assert_sound, read_plugins, tags

pytestmark = [pytest.mark.root, pytest.mark.timeout(1200)]
ROLLOUT = "plugind.engine.rollout"
# A user's check: it asks for a word that a host has or has not.
CHECK = """
- name: Ask the host
  ansible.builtin.command: test ! -e /run/fleet/trouble
  changed_when: false
"""
# One that an operator uses to hold the roll-out after the first batch.
HOLD = """
- name: Hold
  ansible.builtin.copy: {content: "", dest: "{{ rollout_control }}/pause", mode: "0600"}
  delegate_to: localhost
"""
# One that ends when it is told to.
WAIT = """
- name: Wait for a word
  ansible.builtin.wait_for: {path: /run/fleet/go, timeout: 60}
"""


class Rollout:
    """Roll-outs to a site, each with a report."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.fleet: Fleet = site.fleet
        self.names = [host.name for host in site.fleet]
        self.control = site.fleet.directory / "control"
        self.reports = site.fleet.directory / "reports"
        self.control.mkdir()

    def start(self, *, check: str | None = CHECK, **variables: Any) -> Play:
        """Start one: the first host alone, the second alone, then the rest."""
        if check is not None:
            file = self.fleet.directory / "check.yml"
            file.write_text(check)
            variables["rollout_check"] = str(file)
        given = {
            "rollout_batches": [1, 1, "100%"],
            "rollout_control": str(self.control),
            "rollout_report_dir": str(self.reports),
            "plugins_verify_default": {"volume": {}, "timeout": 2},
            **variables,
        }
        return self.site.start(playbook=ROLLOUT, **given)

    def play(self, **variables: Any) -> Result:
        """Run one to its end."""
        return self.start(**variables).finish()

    def tags(self, *first: str) -> dict[str, str]:
        """What the hosts have: the first ones these tags, the others the last of them."""
        return {name: first[min(number, len(first) - 1)] for number, name in enumerate(self.names)}

    def report(self) -> dict[str, Any]:
        """What the last one has reported."""
        found: dict[str, Any] = json.loads((self.reports / "plugind-rollout.json").read_text())
        assert found["rollout"]["message"] in (self.reports / "plugind-rollout.html").read_text()
        return found

    def outcomes(self) -> list[str]:
        """What became of each host, by the report."""
        return [host["rollout"]["outcome"] for host in self.report()["hosts"]]

    def rest(self, outcome: str) -> list[str]:
        """That outcome for each host but the first two."""
        return [outcome] * (len(self.names) - 2)


@pytest.fixture(scope="module")
def prepared(site: Site) -> Rollout:
    """The agent everywhere, and nothing declared yet."""
    result = site.play("--tags", "agent")
    assert result.rc == 0, result.output
    site.tag = "1"
    return Rollout(site)


@pytest.fixture
def rollout(prepared: Rollout) -> Iterator[Rollout]:
    yield prepared
    mend(prepared.fleet)
    for host in prepared.fleet:
        host.run("rm", "-f", "/run/fleet/trouble", "/run/fleet/go")


def file_of(rollout: Rollout, name: str) -> Path:
    """A file in the volume, as this machine sees it."""
    id_ = read_plugins(rollout.fleet[name])["localdir"]["Id"]
    return rollout.fleet[name].data / "plugins" / id_ / "propagated-mount" / "data" / "file"


def test_first_rollout_in_two_runs(rollout: Rollout) -> None:
    # Nobody can answer here, so it ends after the batch in which something changed.
    result = rollout.play(rollout_pause="prompt")
    assert result.rc != 0
    assert "stopped after batch 1, because nobody answered yes" in result.output
    assert rollout.outcomes() == ["updated", "not_reached", *rollout.rest("not_reached")]
    result = rollout.play(rollout_pause=1)
    assert result.rc == 0, result.output
    assert tags(rollout.fleet) == rollout.tags("1")
    assert rollout.outcomes() == ["unchanged", "updated", *rollout.rest("updated")]
    for host in rollout.fleet:
        assert host.run("plugind", "volumes", "ls").count("plugind-verify-") == 0
        assert_sound(host)


def test_held_after_the_first_batch_then_stopped_then_resumed(rollout: Rollout) -> None:
    before = {name: read_plugins(rollout.fleet[name])["localdir"]["Id"] for name in rollout.names}
    for name in rollout.names:
        file_of(rollout, name).write_text("kept")
    rollout.site.tag = "2"
    play = rollout.start(check=HOLD)
    play.until("held before batch 2")
    assert tags(rollout.fleet) == rollout.tags("2", "1")
    (rollout.control / "stop").touch()
    (rollout.control / "pause").unlink()
    result = play.finish()
    assert result.rc != 0
    assert "stopped before batch 2 by the file" in " ".join(result.output.split())
    assert tags(rollout.fleet) == rollout.tags("2", "1")
    assert rollout.outcomes() == ["updated", "not_reached", *rollout.rest("not_reached")]
    (rollout.control / "stop").unlink()
    result = rollout.play(rollout_batches="1,100%")
    assert result.rc == 0, result.output
    assert tags(rollout.fleet) == rollout.tags("2")
    assert rollout.outcomes() == ["unchanged", "updated", *rollout.rest("updated")]
    for name in rollout.names:
        assert read_plugins(rollout.fleet[name])["localdir"]["Id"] == before[name]
        assert file_of(rollout, name).read_text() == "kept"


def test_a_version_that_does_not_serve_stops_at_the_canary(rollout: Rollout) -> None:
    before = read_plugins(rollout.fleet["h1"])["localdir"]
    tag, rollout.site.tag = rollout.site.tag, "deaf"
    result = rollout.play()
    rollout.site.tag = tag
    assert result.rc != 0
    assert "stopped at batch 1: 1 of 1 host failed: h1: cannot verify" in result.output
    assert tags(rollout.fleet) == rollout.tags(tag)
    assert read_plugins(rollout.fleet["h1"])["localdir"]["Id"] == before["Id"]
    assert file_of(rollout, "h1").read_text() == "kept"
    assert rollout.outcomes() == ["rolled_back", "not_reached", *rollout.rest("not_reached")]
    assert_sound(rollout.fleet["h1"])
    # What is as declared is not changed, and not waited for.
    result = rollout.play(check=None, rollout_pause="prompt", rollout_batches="1,100%")
    assert (result.rc, result.changed) == (0, 0), result.output
    assert set(rollout.outcomes()) == {"unchanged"}


def test_a_check_that_fails_takes_its_batch_back(rollout: Rollout) -> None:
    rollout.fleet["h2"].run("touch", "/run/fleet/trouble")
    old, rollout.site.tag = rollout.site.tag, "3"
    result = rollout.play()
    assert result.rc != 0
    assert "stopped at batch 2: 1 of 1 host failed: h2: check failed: Ask the host" in result.output
    assert tags(rollout.fleet) == rollout.tags("3", old)
    assert rollout.outcomes() == ["updated", "rolled_back", *rollout.rest("not_reached")]
    # All that can still be made good of it, in one batch, and its neighbours go back with the one that fails.
    result = rollout.play(rollout_batches="1,100%")
    assert result.rc != 0
    assert tags(rollout.fleet) == rollout.tags("3", old)
    assert rollout.outcomes() == ["unchanged", "rolled_back", *rollout.rest("rolled_back")]
    assert file_of(rollout, "h2").read_text() == "kept"
    for host in rollout.fleet:
        assert_sound(host)


def test_a_host_cut_off_in_its_batch(rollout: Rollout) -> None:
    fleet, last = rollout.fleet, rollout.fleet[rollout.names[-1]]
    fleet["h1"].run("touch", "/run/fleet/go")
    rollout.site.tag = "3"
    play = rollout.start(check=WAIT, rollout_batches="1,100%")
    play.until("TASK [Go back to what was before]")  # the canary's
    # The others', in whichever order they got there.
    play.until(f"included: {fleet.directory}/check.yml for h", times=2)
    last.cut()
    for name in rollout.names[1:-1]:
        fleet[name].run("touch", "/run/fleet/go")
    result = play.finish()
    assert result.rc != 0
    assert rollout.outcomes()[-1] == "unreachable"
    assert set(rollout.outcomes()[1:-1]) == {"updated"}, result.output
    last.join()
    result = rollout.play()
    assert result.rc == 0, result.output
    assert tags(fleet) == rollout.tags("3")


# Slow: the kill matrices of the agent prove as much of one machine.
@pytest.mark.slow
def test_power_cut_while_a_plugin_is_upgraded(rollout: Rollout) -> None:
    host = rollout.fleet["h1"]
    host.run("env", "PLUGIND_CRASH_AT=replace:after-start", "/etc/init.d/plugind", "restart")
    agent = host.find("plugind serve")
    old, rollout.site.tag = rollout.site.tag, "4"
    play = rollout.start()
    agent.wait(timeout=120)
    host.kill()
    result = play.finish()
    assert result.rc != 0
    assert "stopped at batch 1" in result.output
    host.boot()
    # What the run had begun is undone at the boot.
    assert tags(rollout.fleet) == rollout.tags(old)
    assert_sound(host)
    assert file_of(rollout, "h1").read_text() == "kept"
    result = rollout.play()
    assert result.rc == 0, result.output
    assert tags(rollout.fleet) == rollout.tags("4")


def test_removed_again(rollout: Rollout) -> None:
    site, remove = rollout.site, "plugind.engine.remove"
    result = site.start(playbook=remove).finish()
    assert result.rc != 0
    assert set(result.recap) == {"h1"}, "the first batch is the last one"
    assert "unless remove_volumes=true" in " ".join(result.output.split())
    assert tags(rollout.fleet) == rollout.tags(site.tag)
    result = site.start(playbook=remove, remove_volumes=True).finish()
    assert result.rc == 0, result.output
    for host in rollout.fleet:
        assert read_plugins(host) == {}
        assert_sound(host)


def volumes(host: Host) -> set[str]:
    """The names of a host's volumes."""
    answer = json.loads(host.run("plugind", "volumes", "ls", "--json"))
    return {volume["Name"] for volume in answer["Volumes"]}


def test_removed_with_what_nobody_declares(rollout: Rollout) -> None:
    site, names = rollout.site, set(rollout.names)
    remove = {"playbook": "plugind.engine.remove", "remove_batches": "100%"}
    stray = {
        "plugins": [{"name": "stray", "source": site.source("1")}],
        "volumes": [{"name": "kept", "driver": "stray"}],
    }
    for host in rollout.fleet:
        host.run("sh", "-c", f"echo '{json.dumps(stray)}' | plugind apply -")
    # What is not declared is nobody's business, unless all is to go, and its volumes have to be spoken of as well.
    result = site.start(**remove, remove_volumes=True).finish()
    assert (result.rc, result.changed) == (0, 0), result.output
    result = site.start(**remove, remove_all=True).finish()
    assert result.broken() == names, result.output
    assert "unless remove_volumes=true" in " ".join(result.output.split())
    for host in rollout.fleet:
        assert set(read_plugins(host)) == {"stray"}
        assert volumes(host) == {"kept"}
    everything = {**remove, "remove_all": True, "remove_volumes": True}
    result = site.start(**everything).finish()
    assert {name for name in names if result.recap[name]["changed"]} == names, result.output
    for host in rollout.fleet:
        assert read_plugins(host) == {}
        assert volumes(host) == set()
        assert_sound(host)
    result = site.start(**everything).finish()
    assert (result.rc, result.changed) == (0, 0), result.output


# Slow: test_role_agent proves as much of one machine.
@pytest.mark.slow
def test_removed_with_the_agent(rollout: Rollout) -> None:
    remove = {"playbook": "plugind.engine.remove", "remove_volumes": True, "remove_agent": True}
    result = rollout.site.start(**remove).finish()
    assert result.rc == 0, result.output
    for host in rollout.fleet:
        assert host.call("ls", "/usr/local/bin/plugind").returncode != 0
        assert list(host.data.iterdir()) == []
    result = rollout.site.start(**remove).finish()
    assert (result.rc, result.changed) == (0, 0), result.output
