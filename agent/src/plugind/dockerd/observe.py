# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""Reading a Docker Engine: its plugins and volumes, and what a registry offers through it.

What Docker does differently from what one would think, and what is done about it:

* `GET /plugins/privileges` answers `[]` when the registry could not be read, and null when the
  plugin asks for nothing; `GET /distribution/{ref}/json` tells why.
* `/info` lists legacy volume drivers only once they were used; those that are installed on this
  host are found where Docker looks for them.
* The volumes of a disabled plugin are not listed, so they are not there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from plugind import errors
from plugind.dockerd import client as client_
from plugind.model import privileges
from plugind.model.credentials import Credentials
from plugind.model.observed import Observation, Offer
from plugind.model.reference import Reference

DESCRIBE = "read the engine's description"
#: Where Docker finds legacy plugins: sockets, and files that name an address.
LEGACY = (
    (Path("/run/docker/plugins"), (".sock",)),
    (Path("/etc/docker/plugins"), (".spec", ".json")),
    (Path("/usr/lib/docker/plugins"), (".spec", ".json")),
)


def read_engine(client: Any) -> Observation:
    """Read plugins, volumes and legacy drivers."""
    with client_.mapped("read plugins"):
        plugins = client.plugins() or []
    with client_.mapped("read volumes"):
        listed = client_.require_object(client.volumes() or {}, "read volumes")
    with client_.mapped(DESCRIBE):
        info = client_.require_object(client.info(), DESCRIBE)
    drivers = (info.get("Plugins") or {}).get("Volume") or []
    return Observation(
        plugins=tuple(plugins),
        volumes=tuple(listed.get("Volumes") or ()),
        drivers=tuple(sorted({"local", *drivers, *find_legacy_drivers(LEGACY)})),
        warnings=tuple(listed.get("Warnings") or ()),
    )


def find_legacy_drivers(places: Iterable[tuple[Path, tuple[str, ...]]]) -> list[str]:
    """Return the names of legacy plugins on this host, as Docker would find them.

    `/run/docker/plugins/x.sock` and `x/x.sock` are both plugin x; managed plugins have their
    sockets under their id, with another name.
    """
    found = set()
    for directory, suffixes in places:
        for path in [*directory.glob("*"), *directory.glob("*/*")]:
            beside = path.parent == directory or path.parent.name == path.stem
            if beside and path.suffix in suffixes:
                found.add(path.stem)
    return sorted(found)


def read_offer(client: Any, ref: Reference, credentials: Credentials | None) -> Offer:
    """Ask which privileges `ref` wants; an unreadable registry is an error, not an empty list."""
    doing = f"read what {ref.familiar} asks for"
    require_digest_support(client, ref)
    with client_.authenticated(client, ref, credentials):
        with client_.mapped(doing):
            asked = client.plugin_privileges(str(ref))
        if asked == []:
            with client_.mapped(doing):
                client.inspect_distribution(str(ref))
            # The registry answers this, so it was a passing fault, or an engine that says [].
            with client_.mapped(doing):
                asked = client.plugin_privileges(str(ref))
    return Offer(privileges=privileges.parse_privileges(asked))


def require_digest_support(client: Any, ref: Reference) -> None:
    """Refuse a digest where it makes the engine panic, before it is called."""
    version = tuple(int(part) for part in str(client.api_version).split(".")[:2])
    if ref.digest is not None and version < (1, 45):
        raise errors.Unsupported(
            f"cannot use {ref.familiar}: this Docker Engine (API {client.api_version}) crashes "
            "when a plugin is named by digest (moby #47299, fixed in API 1.45); name it by tag"
        )
