# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""`plugind install` and `plugind upgrade`: privileges, pull with its progress, settings, enable.

What a plugin asks for is shown and asked about, unless the caller grants all of it beforehand; where
nobody can answer, that is refused.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugind.ctl import agent, http, progress, screen

Privileges = Sequence[Mapping[str, Any]] | None


def install(options: argparse.Namespace) -> int:
    """Install a plugin, set it, enable it."""
    headers = _authorization(options)
    privileges = _granted(options, options.source, headers)
    query = {"remote": options.source}
    if options.alias:
        query["name"] = options.alias
    path = f"/plugins/pull?{urllib.parse.urlencode(query)}"
    name = _pull(options, path, privileges, headers) or options.alias or options.source
    with _left_as_it_is(name):
        quoted = agent.quote(name)
        if options.settings:
            agent.call(options, "POST", f"/plugins/{quoted}/set", options.settings)
        if not options.disable:
            enabling = f"/plugins/{quoted}/enable?timeout={options.timeout}"
            agent.call(options, "POST", enabling)
    return _say(options, name)


def upgrade(options: argparse.Namespace) -> int:
    """Upgrade a plugin in place."""
    quoted = agent.quote(options.name)
    plugin = agent.get(options, f"/plugins/{quoted}/json")
    source = options.source or plugin.get("PluginReference", "")
    if not source:
        print(
            f"plugind: cannot upgrade {plugin['Name']}: it was created on this host; name a reference",
            file=sys.stderr,
        )
        return http.INVALID
    headers = _authorization(options)
    body = {"Privileges": _granted(options, source, headers), "Settings": options.settings}
    query = urllib.parse.urlencode({"remote": source, "timeout": options.timeout})
    _pull(options, f"/plugind/plugins/{quoted}/upgrade?{query}", body, headers)
    return _say(options, plugin["Name"])


def _granted(options: argparse.Namespace, source: str, headers: Mapping[str, str]) -> Privileges:
    """Return what the plugin asks for, once the caller has granted it."""
    path = f"/plugins/privileges?{urllib.parse.urlencode({'remote': source})}"
    with contextlib.closing(agent.connect(options)) as connection:
        asked: Privileges = http.request_json(connection, "GET", path, None, headers)
    if not asked or options.grant_all_permissions:
        return asked
    print(f'Plugin "{source}" asks for:', file=sys.stderr)
    for one in asked:
        print(f" - {one['Name']}: [{' '.join(one['Value'])}]", file=sys.stderr)
    if not sys.stdin.isatty() or options.password_stdin:
        raise http.Refused(
            400, "nothing is granted: --grant-all-permissions grants all that is listed above"
        )
    print("Do you grant the above? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise http.Refused(400, "nothing is granted, so nothing was done")
    return asked


def _pull(options: argparse.Namespace, path: str, body: Any, headers: Mapping[str, str]) -> str:
    """Post, show the progress that comes back, return what the plugin is called."""
    sent = {"Content-Type": "application/json", **headers}
    with contextlib.closing(agent.connect(options)) as connection:
        raw = json.dumps(body).encode()
        response = http.open_answer(connection, "POST", path, sent, raw)
        lines = http.progress_lines(response, "POST", path)
        progress.Progress().show(lines)
        return response.headers.get("Docker-Plugin-Name", "")


def _authorization(options: argparse.Namespace) -> dict[str, str]:
    password = sys.stdin.readline().rstrip("\n") if options.password_stdin else ""
    if not options.username:
        return {}
    return http.registry_auth({"username": options.username, "password": password})


@contextlib.contextmanager
def _left_as_it_is(name: str) -> Iterator[None]:
    """Say of an error after the pull what there is now."""
    try:
        yield
    except http.Refused as exc:
        left = f"{name} is installed and disabled: `plugind rm {name}`, or `plugind enable {name}`"
        raise http.Refused(exc.status, f"{exc}\nplugind: {left}") from exc


def _say(options: argparse.Namespace, name: str) -> int:
    if options.json:
        screen.print_json(agent.get(options, f"/plugind/plugins/{agent.quote(name)}"))
    else:
        print(name)
    return http.OK
