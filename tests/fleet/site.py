# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the tests declare on a fleet, and how a host is asked what became of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleet.controller import Play, Result
from fleet.fleet import Fleet
from fleet.hosts import Host

REPOSITORY = "examples/localdir"
PLAYBOOK = "plugind.engine.site"


class Site:
    """One plugin, `localdir`, and one volume of it, on every host. `tag` is the plugin's, and may be changed."""

    def __init__(self, fleet: Fleet, wheelhouse: Path) -> None:
        self.fleet = fleet
        self.tag = "1"
        self._base: dict[str, Any] = {
            "agent_wheelhouse": str(wheelhouse),
            "agent_options": {"registry": {"insecure": [fleet.registry.host]}},
        }

    def keep(self, **variables: object) -> None:
        """Set variables for all plays to come."""
        self._base |= variables

    def source(self, tag: str) -> str:
        """A reference to the plugin in the fleet's registry."""
        return f"{self.fleet.registry.host}/{REPOSITORY}:{tag}"

    def start(
        self,
        *arguments: str,
        playbook: str = PLAYBOOK,
        plugins: list[Mapping[str, Any]] | None = None,
        **variables: object,
    ) -> Play:
        """Start a playbook; `plugins` are more of them, `variables` Ansible's for this play."""
        declared = [{"name": "localdir", "source": self.source(self.tag)}, *(plugins or [])]
        volumes = [{"name": "data", "driver": "localdir"}]
        given = {**self._base, "plugins_plugins": declared, "plugins_volumes": volumes, **variables}
        return self.fleet.start_play(playbook, "--extra-vars", json.dumps(given), *arguments)

    def play(self, *arguments: str, **given: Any) -> Result:
        """Run it to its end."""
        return self.start(*arguments, **given).finish()


def read_plugins(host: Host) -> dict[str, dict[str, Any]]:
    """What the agent says of its plugins, by their names without the tag."""
    listed = json.loads(host.run("plugind", "ls", "--json"))
    return {plugin["Name"].removesuffix(":latest"): plugin for plugin in listed}


def tags(fleet: Fleet) -> dict[str, str]:
    """The tag of `localdir` on each host, if it is enabled and runs."""
    found = {}
    for host in fleet:
        plugin = read_plugins(host)["localdir"]
        state = plugin["Status"]["State"]
        tag = plugin["PluginReference"].rpartition(":")[2]
        found[host.name] = tag if plugin["Enabled"] and state == "running" else state
    return found


def assert_sound(host: Host) -> None:
    """The host lacks nothing, and nothing half-done lies about."""
    host.run("plugind", "doctor")
    litter = [
        path for name in ("ingest", "staging", "trash") for path in (host.data / name).iterdir()
    ]
    assert litter == [], f"{host.name}: {litter}"
