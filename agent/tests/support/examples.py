# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The example plugins on a real agent, and their own sockets, as curl would use them.

plugin = examples.enable(agent, "localpool", directory)
plugin.call("IpamDriver.RequestPool", AddressSpace="local")
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugind.ctl import http
from support.daemon import Agent


@dataclass(frozen=True)
class Running:
    """An enabled plugin."""

    agent: Agent
    name: str
    id: str

    @property
    def socket(self) -> Path:
        """The plugin's own socket."""
        return self.agent.sockets / self.id / f"{self.name}.sock"

    @property
    def propagated(self) -> Path:
        """What the plugin keeps, on the host."""
        return self.agent.root / "plugins" / self.id / "propagated-mount"

    @property
    def rootfs(self) -> Path:
        """The plugin's root file system, on the host."""
        return self.agent.root / "plugins" / self.id / "rootfs"

    def call(self, method: str, **arguments: Any) -> Any:
        """One call of the plugin's own socket; plugind.ctl.http.Refused for an error status."""
        connection = http.connect(f"unix://{self.socket}")
        try:
            return http.request_json(connection, "POST", f"/{method}", arguments)
        finally:
            connection.close()

    def error(self, method: str, **arguments: Any) -> str:
        """The error that a call must end with."""
        try:
            answer = self.call(method, **arguments)
        except http.Refused as exc:
            return str(json.loads(str(exc))["Err"])
        raise AssertionError(f"{method} succeeded: {answer}")

    def disable(self) -> None:
        """Stop the plugin."""
        self.agent.request("POST", f"/plugins/{self.name}/disable?force=1")

    def enable(self) -> None:
        """Start the plugin."""
        self.agent.request("POST", f"/plugins/{self.name}/enable?timeout=30")

    def restart(self) -> None:
        """Stop the plugin and start it again."""
        self.disable()
        self.enable()


def enable(agent: Agent, name: str, directory: Path, *settings: str) -> Running:
    """Create the plugin from a built directory, set it, enable it."""
    agent.cli("plugin", "create", name, str(directory))
    if settings:
        agent.request("POST", f"/plugins/{name}/set", list(settings))
    agent.request("POST", f"/plugins/{name}/enable?timeout=30")
    return Running(agent, name, agent.request("GET", f"/plugins/{name}/json")["Id"])
