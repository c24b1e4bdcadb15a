# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The verbs about installed plugins, and about the agent itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys

from plugind import release
from plugind.ctl import agent, http, reader, screen


def list_plugins(options: argparse.Namespace) -> int:
    """List plugins with their state."""
    found = agent.get(options, "/plugind/plugins")
    if options.json:
        screen.print_json(found)
        return http.OK
    rows = [
        (
            plugin["Id"][:12],
            plugin["Name"],
            plugin["Status"]["State"],
            str(plugin["Status"]["Pid"] or "-"),
            str(plugin["Status"]["Restarts"]),
            plugin["Config"]["Description"],
        )
        for plugin in found
    ]
    titles = ("ID", "NAME", "STATE", "PID", "RESTARTS", "DESCRIPTION")
    screen.print_table(titles, rows, cut=("NAME", "DESCRIPTION"), state="STATE")
    return http.OK


def inspect(options: argparse.Namespace) -> int:
    """Show all that is known of a plugin."""
    query = "?secrets=1" if options.secrets else ""
    screen.print_json(agent.get(options, f"{_native(options.name)}{query}"))
    return http.OK


def logs(options: argparse.Namespace) -> int:
    """Print a plugin's output."""
    tail = "" if options.tail is None else f"&tail={options.tail}"
    path = f"{_native(options.name)}/logs?follow={int(options.follow)}{tail}"
    connection = agent.connect(options)
    with contextlib.closing(connection), reader.followed(connection):
        for line in http.stream_lines(connection, "GET", path):
            _print_line(line.decode("utf-8", "replace"), as_json=options.json)
    return http.OK


def _print_line(text: str, *, as_json: bool) -> None:
    parts = text.split(" ", 3)
    whole = len(parts) == 4
    if as_json:
        when, origin = (parts[0], parts[1]) if whole else ("", "stdout")
        record = {"time": when, "stream": origin, "text": parts[-1] if whole else text}
        print(json.dumps(record), flush=True)
        return
    target = sys.stderr if whole and parts[1] == "stderr" else sys.stdout
    print((parts[3] if whole else text).rstrip("\n"), file=target, flush=True)


def execute(options: argparse.Namespace) -> int:
    """Run a command in a plugin's container."""
    command = [word for word in options.command if word != "--"] or ["sh"]
    plugin = agent.get(options, _native(options.name))
    if plugin["Status"]["Pid"] is None:
        name, state = plugin["Name"], plugin["Status"]["State"]
        raise http.Refused(
            409, f"plugin {name} is {state}, nothing runs in it: `plugind enable {name}` starts it"
        )
    argv = [*plugin["Status"]["Runtime"], "exec", *(["-t"] if options.tty else [])]
    argv += [plugin["Id"], *command]
    os.execvp(argv[0], argv)


def rpc(options: argparse.Namespace) -> int:
    """Make one raw call of a plugin's socket."""
    try:
        body = json.loads(options.body)
    except ValueError as exc:
        print(f"plugind: the body is not JSON: {exc}", file=sys.stderr)
        return http.INVALID
    path = f"{_native(options.name)}/rpc?method={options.method}"
    screen.print_json(agent.call(options, "POST", path, body))
    return http.OK


def enable(options: argparse.Namespace) -> int:
    """Enable a plugin."""
    path = f"/plugins/{agent.quote(options.name)}/enable?timeout={options.timeout}"
    return _change(options, "POST", path)


def disable(options: argparse.Namespace) -> int:
    """Disable a plugin."""
    path = f"/plugins/{agent.quote(options.name)}/disable?force={int(options.force)}"
    return _change(options, "POST", path)


def remove(options: argparse.Namespace) -> int:
    """Remove a plugin."""
    path = f"/plugins/{agent.quote(options.name)}?force={int(options.force)}"
    return _change(options, "DELETE", path)


def ping(options: argparse.Namespace) -> int:
    """Say whether the agent answers."""
    found = agent.get(options, "/plugind/version")
    if options.json:
        screen.print_json(found)
    else:
        print("OK")
    return http.OK


def version(options: argparse.Namespace) -> int:
    """Print the version of the client and of the agent."""
    client = release.version()
    if not options.json:
        print(f"client {client}")
    answer = agent.get(options, "/plugind/version")
    if options.json:
        screen.print_json({"Client": client, **answer})
        return http.OK
    print(f"agent  {answer['Version']}")
    if answer.get("Degraded"):
        print(f"degraded: {answer['Degraded']}")
    return http.OK


def _change(options: argparse.Namespace, method: str, path: str) -> int:
    agent.call(options, method, path)
    if options.json:
        screen.print_json({"Name": options.name})
    else:
        print(options.name)
    return http.OK


def _native(name: str) -> str:
    return f"/plugind/plugins/{agent.quote(name)}"
