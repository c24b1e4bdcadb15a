# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Under which names and in which files plugins are made known to Podman and to a real dockerd.

    <fronts>/acme/nfs:latest.sock          the front socket, by the plugin's name
    <fronts>/_<16 hex digits>.sock         where that is longer than a socket's path may be
    <docker>/acme/nfs:latest.spec          one URL: how dockerd finds a plugin that it does not manage
    <docker>/acme/nfs.spec                 the same, as legacy names get no `:latest` of themselves
    <podman>                               a drop-in for containers.conf

What is ours is recognised by its content, which points into our directory of fronts: several agents
may share a host, and one that publishes nothing must not take away what another one has written.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

SUFFIX = ".sock"
SPEC = ".spec"
#: sun_path holds 108 bytes with the final NUL.
LONGEST_PATH = 107
DOCKER_PLACE = PurePath("/etc/docker/plugins")
PODMAN_PLACE = PurePath("/etc/containers/containers.conf.d/50-plugind.conf")
MARK = "# Written by plugind. Changes are lost; see [publish] in plugind.toml."


@dataclass(frozen=True, slots=True, kw_only=True)
class Publishing:
    """Who is told of plugins. None: nobody, and what we wrote at `*_place` earlier is removed.

    `docker` is a directory of .spec files, `podman` a drop-in of containers.conf, whose
    `podman_timeout` (seconds, whole) bounds every call of a volume plugin.
    """

    docker: bool = False
    docker_place: PurePath = DOCKER_PLACE
    podman: bool = False
    podman_place: PurePath = PODMAN_PLACE
    podman_timeout: int = 120


def front_path(fronts: PurePath, name: str) -> PurePath:
    """Return where the front of plugin `name` (tagged) is; the same at all times."""
    # No directory on the way can have the name of a socket: a socket's has a colon, or begins
    # with `_`, which no component of a name does.
    path = fronts / f"{name}{SUFFIX}"
    if len(bytes(str(path), "utf-8")) <= LONGEST_PATH:
        return path
    return fronts / f"_{hashlib.sha256(name.encode()).hexdigest()[:16]}{SUFFIX}"


def spellings(name: str) -> tuple[str, ...]:
    """Return the names under which consumers may look for plugin `name`."""
    bare = name.removesuffix(":latest")
    return (name,) if bare == name else (name, bare)


def spec_content(path: PurePath) -> str:
    """Return the content of a .spec file: the URL of a front."""
    return f"unix://{path}\n"


def is_our_spec(content: str, fronts: PurePath) -> bool:
    """True if a .spec file names one of our fronts."""
    return content.startswith(f"unix://{fronts}/")


def podman_content(fronts: Mapping[str, PurePath], timeout: int) -> str:
    """Return the drop-in for the volume plugins of that name, each at its front's path."""
    lines = [
        f"{json.dumps(spelling)} = {json.dumps(str(path))}"
        for name, path in sorted(fronts.items())
        for spelling in spellings(name)
    ]
    head = [MARK, "[engine]", f"volume_plugin_timeout = {timeout}", "", "[engine.volume_plugins]"]
    return "\n".join([*head, *lines]) + "\n"


def is_our_drop_in(content: str, fronts: PurePath) -> bool:
    """True if a drop-in was written by an agent, with our fronts in it."""
    return content.startswith(MARK) and f' = "{fronts}/' in content


def holder(process: str, mount_id: str) -> str:
    """Return how a mount made through a front is called: the process, and its ID in short."""
    plain = "".join(c for c in process if c.isascii() and (c.isalnum() or c in "._-"))
    short = mount_id[:12]
    if len(mount_id) != 64 or not all(c in "0123456789abcdef" for c in mount_id):
        short = hashlib.sha256(mount_id.encode("utf-8", "surrogateescape")).hexdigest()[:12]
    return f"{plain or 'unknown'}:{short}"


def holder_process(holder: str) -> str | None:
    """Return the process in a holder that `holder` made, None for one of another kind."""
    process, colon, short = holder.rpartition(":")
    is_ours = colon and len(short) == 12 and all(c in "0123456789abcdef" for c in short)
    return process if is_ours else None
