# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""What to do next, after an error that a verb reports."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import re
from collections.abc import Iterable, Sequence

from plugind.ctl import http, verbs, wire

_UNKNOWN_PLUGIN = re.compile(r'plugin "[^"]*" not found')
_UNKNOWN_VOLUME = re.compile(r"no such volume")
_IN_USE = re.compile(r"in use")


def after(options: argparse.Namespace, error: wire.Refused) -> str:
    """Return what helps after the agent has refused, or nothing."""
    message, given = str(error), str(getattr(options, "name", "") or getattr(options, "volume", ""))
    if _UNKNOWN_PLUGIN.search(message):
        return _nearest(given, names(options.socket, verbs.PLUGIN), "plugind ls")
    if _UNKNOWN_VOLUME.search(message):
        return _nearest(given, names(options.socket, verbs.VOLUME), "plugind volumes")
    if _IN_USE.search(message) and getattr(options, "force", None) is False:
        return "`plugind volumes holders NAME` says who uses a volume; -f does it all the same"
    return ""


def names(socket: str | None, kind: str) -> list[str]:
    """Ask the agent for the names of plugins, volumes or host mounts; none if it cannot say."""
    path, key = {
        verbs.PLUGIN: ("/plugins", "Name"),
        verbs.VOLUME: ("/volumes", "Name"),
        verbs.MOUNT: ("/plugind/mounts", "Path"),
    }[kind]
    url = http.agent_url(http.agent_socket(socket))
    try:
        with contextlib.closing(http.connect(url)) as connection:
            found = http.request_json(connection, "GET", path)
    except (http.Unreachable, http.Refused):
        return []
    listed = found["Volumes"] if kind == verbs.VOLUME else found
    return [item[key] for item in listed]


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return at most three names that look like `word`, the best first."""
    spelled: dict[str, str] = {}
    for name in known:
        # People leave out where it comes from and its tag.
        spelled.setdefault(name, name)
        spelled.setdefault(name.rpartition("/")[2].partition(":")[0], name)
    close = difflib.get_close_matches(word, spelled, n=6, cutoff=0.5)
    return list(dict.fromkeys(spelled[name] for name in close))[:3]


def _nearest(word: str, known: Sequence[str], verb: str) -> str:
    close = nearest(word, known)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"`{verb}` lists what there is" if known else f"there is none (`{verb}`)"
