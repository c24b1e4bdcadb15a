# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Five plugins and fifty volumes, declared twice: for `plugind.engine.apply`, and as tasks of community.docker."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from benchlib import engines, playbooks, plugins

PLUGINS = 5
VOLUMES = 50
TAG = "1"


def name(number: int) -> str:
    """A plugin's name."""
    return f"bench{number}"


def driver(volume: int) -> str:
    """Every plugin has as many volumes as the others."""
    return name(volume % PLUGINS)


def remote(registry: str, number: int) -> str:
    """A plugin's reference."""
    return f"{registry}/bench/{name(number)}:{TAG}"


@contextlib.contextmanager
def published(side: engines.Side, registry: str, megabytes: int) -> Iterator[None]:
    """Put the plugins, each with content of its own, into the registry."""
    with plugins.made(megabytes) as plugin:
        for number in range(PLUGINS):
            plugins.change(plugin, name(number))
            side.create(remote(registry, number), plugin)
            side.push(remote(registry, number))
            side.remove(remote(registry, number))
        yield


def ours(registry: str) -> dict[str, Any]:
    """What `plugind.engine.apply` takes."""
    grant = {"mount": plugins.privileges()[0]["Value"]}
    return {
        "plugins": [
            {"name": name(n), "source": remote(registry, n), "grant": grant} for n in range(PLUGINS)
        ],
        "volumes": [{"name": f"v{n}", "driver": driver(n)} for n in range(VOLUMES)],
    }


def peer(registry: str) -> list[playbooks.Task]:
    """The same as tasks of community.docker, which grants whatever is asked for."""
    named = [{"name": name(n), "remote": remote(registry, n)} for n in range(PLUGINS)]
    volumes = [{"name": f"v{n}", "driver": driver(n)} for n in range(VOLUMES)]
    return [
        {
            "name": "plugins",
            "community.docker.docker_plugin": {
                "plugin_name": "{{ item.remote }}", "alias": "{{ item.name }}", "state": "enable",
            },
            "loop": named,
        },
        {
            "name": "volumes",
            "community.docker.docker_volume": {
                "name": "{{ item.name }}", "driver": "{{ item.driver }}",
            },
            "loop": volumes,
        },
    ]  # fmt: skip
