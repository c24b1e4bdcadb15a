# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What the engine says of itself: /info, and a plugin's running state."""

from __future__ import annotations

from typing import Any

from plugind.engine import lookup
from plugind.engine.container import containers
from plugind.engine.context import Engine
from plugind.model.plugin import Plugin
from plugind.model.volume import LOCAL


def info(engine: Engine) -> dict[str, Any]:
    """Return the fields of `GET /info` that this engine knows."""
    enabled = lookup.list_plugins(engine, enabled=True)
    log_drivers = [plugin.name for plugin in enabled if plugin.serves("logdriver")]
    networks = [plugin.name for plugin in enabled if plugin.serves("networkdriver")]
    authz = [plugin.name for plugin in enabled if plugin.serves("authz")]
    volumes = [plugin.name for plugin in enabled if plugin.serves("volumedriver")]
    warnings = [f"plugind is degraded: {engine.degraded}"] if engine.degraded else []
    return {
        **containers.counts(engine),
        "DockerRootDir": str(engine.layout.root),
        "Images": len(engine.images),
        "Plugins": {
            "Volume": [LOCAL, *volumes],
            "Network": networks,
            "Authorization": authz or None,
            "Log": log_drivers,
        },
        "Warnings": warnings or None,
    }


def status(engine: Engine, plugin: Plugin) -> dict[str, Any]:
    """Return the running state of a plugin, beside what `docker plugin inspect` shows."""
    entry = engine.entries[plugin.id]
    running = entry.container is not None
    front = engine.fronts.get(plugin.name)
    return {
        "State": entry.state.value,
        "Pid": entry.container.pid if entry.container is not None else None,
        "UptimeSeconds": round(engine.clock.monotonic() - entry.started_at, 3) if running else None,
        "Restarts": entry.restarts,
        "Failures": entry.failures,
        "LastExit": entry.last_exit,
        "LastError": engine.redact(entry.last_error) or None,
        "Socket": str(engine.socket_path(plugin)) if plugin.config.interface.socket else None,
        "Front": str(front.path) if front is not None else None,
        "Log": str(engine.log_path(plugin.id)),
        "ManifestDigest": str(plugin.manifest_digest),
        "Confinement": engine.options.confinement.of(plugin.name).to_json(),
        "Runtime": list(engine.options.runtime_argv),
    }
