# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: plugind.engine contributors
"""The operator's client. Standard library only, so that a verb answers in 60 ms.

    plugind ls                         plugins, their state, restarts
    plugind inspect NAME               all that is known of one, as JSON; --secrets for root
    plugind logs [-f] [-n N] NAME      its output
    plugind exec [-t] NAME CMD...      run a command in its container, through runc
    plugind rpc NAME METHOD [JSON]     one raw call of its socket
    plugind volumes [VERB]             ls, mount, unmount, holders, rm
    plugind mounts [VERB]              volumes at paths of the host: ls, mount, unmount
    plugind enable | disable | rm NAME
    plugind events [--since WHEN]      what happens, a line each
    plugind doctor                     what this host lacks
    plugind apply | query | build      declarations, see `plugind apply --help`
    plugind rollback [ID]              go back from the last declaration
    plugind run                        a one-off container, JSON in and out
    plugind serve                      the daemon

Exit codes: 0 done, 1 failed, 2 usage, 3 the agent does not answer.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from plugind import ctl_http

Verb = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str]) -> int:
    """Run one verb; return the exit status."""
    whole = _whole_verb(arguments)
    if whole is not None:
        return whole(list(arguments[1:]))
    parser = _parser()
    options = parser.parse_args(list(arguments))
    verb: Verb | None = getattr(options, "verb", None)
    if verb is None:
        parser.print_help()
        return ctl_http.INVALID
    try:
        return verb(options)
    except ctl_http.Unreachable as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        return ctl_http.UNREACHABLE
    except ctl_http.Refused as exc:
        print(f"plugind: {exc}", file=sys.stderr)
        return ctl_http.FAILED
    except (KeyboardInterrupt, BrokenPipeError):
        return 130


def _whole_verb(arguments: Sequence[str]) -> Callable[[list[str]], int] | None:
    """Return a verb that parses its own arguments; imported only when it is the one."""
    name = arguments[0] if arguments else ""
    if name == "rollback":
        from plugind import ctl_rollback

        return ctl_rollback.main
    if name == "build":
        from plugind import ctl_build

        return ctl_build.main_build
    if name == "run":
        from plugind import ctl_run

        return ctl_run.main_run
    if name == "mounts":
        from plugind import ctl_mounts

        return ctl_mounts.main
    if name == "doctor":
        from plugind import ctl_doctor

        return ctl_doctor.main
    return None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plugind",
        description=(__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--socket", help="the agent's socket")
    verbs = parser.add_subparsers(metavar="VERB")

    def add(name: str, verb: Verb, *names: str, json_too: bool = False) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=(verb.__doc__ or "").partition(".")[0].lower())
        for argument in names:
            sub.add_argument(argument)
        if json_too:
            sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(verb=verb)
        return sub

    add("ls", list_plugins, json_too=True)
    inspect_verb = add("inspect", inspect, "name")
    inspect_verb.add_argument("--secrets", action="store_true", help="for root: in clear")
    logs_verb = add("logs", logs, "name")
    logs_verb.add_argument("-f", "--follow", action="store_true", help="go on as it is written")
    logs_verb.add_argument("-n", "--tail", type=int, help="start with the last N lines")
    exec_verb = add("exec", execute, "name")
    exec_verb.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    exec_verb.add_argument("command", nargs=argparse.REMAINDER)
    rpc_verb = add("rpc", rpc, "name", "method")
    rpc_verb.add_argument("body", nargs="?", default="{}", metavar="JSON")
    volumes_verb = add("volumes", volumes, json_too=True)
    volumes_verb.set_defaults(action="ls", holder="operator", force=False)
    actions = volumes_verb.add_subparsers(metavar="ACTION")
    for action in ("ls", "mount", "unmount", "holders", "rm"):
        action_verb = actions.add_parser(action, argument_default=argparse.SUPPRESS)
        action_verb.set_defaults(action=action)
        if action == "ls":
            action_verb.add_argument("--json", action="store_true", help="print JSON")
            continue
        action_verb.add_argument("name")
        if action in ("mount", "unmount"):
            action_verb.add_argument("--holder", help="who mounts it")
        if action == "rm":
            action_verb.add_argument("-f", "--force", action="store_true", help="the record goes")
    enable_verb = add("enable", enable, "name")
    enable_verb.add_argument("--timeout", type=int, default=30, help="seconds to answer in")
    add("disable", disable, "name").add_argument("-f", "--force", action="store_true")
    add("rm", remove, "name").add_argument("-f", "--force", action="store_true")
    _add_event_options(add("events", events))
    add("ping", ping)
    add("version", version)
    return parser


def _add_event_options(parser: argparse.ArgumentParser) -> None:
    moment = "Unix time, 2026-11-24T12:00:00Z, or how long ago: 90s, 10m, 2h, 1d"
    parser.add_argument("--since", default="", metavar="WHEN", help=f"first what was: {moment}")
    parser.add_argument("--until", default="", metavar="WHEN", help="end then; now: what was")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="KEY=VALUE", help="as `docker events`"
    )
    parser.add_argument(
        "--announce", action="store_true", help="a first line that says that the stream is open"
    )


def list_plugins(options: argparse.Namespace) -> int:
    """List plugins with their state."""
    found = _get(options, "/plugind/plugins")
    if options.json:
        return _print_json(found)
    rows = [("ID", "NAME", "STATE", "PID", "RESTARTS", "DESCRIPTION")]
    for plugin in found:
        state = plugin["Status"]
        rows.append(
            (
                plugin["Id"][:12],
                plugin["Name"],
                state["State"],
                str(state["Pid"] or "-"),
                str(state["Restarts"]),
                plugin["Config"]["Description"],
            )
        )
    _print_table(rows)
    return ctl_http.OK


def inspect(options: argparse.Namespace) -> int:
    """Show all that is known of a plugin."""
    query = "?secrets=1" if options.secrets else ""
    return _print_json(_get(options, f"/plugind/plugins/{ctl_http.quote(options.name)}{query}"))


def logs(options: argparse.Namespace) -> int:
    """Print a plugin's output."""
    tail = "" if options.tail is None else f"&tail={options.tail}"
    path = (
        f"/plugind/plugins/{ctl_http.quote(options.name)}/logs?follow={int(options.follow)}{tail}"
    )
    for line in _stream(options, path):
        parts = line.decode("utf-8", "replace").split(" ", 3)
        text = parts[3] if len(parts) == 4 else line.decode("utf-8", "replace")
        target = sys.stderr if len(parts) == 4 and parts[1] == "stderr" else sys.stdout
        print(text.rstrip("\n"), file=target, flush=True)
    return ctl_http.OK


def execute(options: argparse.Namespace) -> int:
    """Run a command in a plugin's container."""
    command = [word for word in options.command if word != "--"] or ["sh"]
    plugin = _get(options, f"/plugind/plugins/{ctl_http.quote(options.name)}")
    if plugin["Status"]["Pid"] is None:
        state = plugin["Status"]["State"]
        raise ctl_http.Refused(409, f"plugin {plugin['Name']} is {state}, nothing runs in it")
    argv = [*plugin["Status"]["Runtime"], "exec", *(["-t"] if options.tty else [])]
    argv += [plugin["Id"], *command]
    os.execvp(argv[0], argv)


def rpc(options: argparse.Namespace) -> int:
    """Make one raw call of a plugin's socket."""
    try:
        body = json.loads(options.body)
    except ValueError as exc:
        print(f"plugind: the body is not JSON: {exc}", file=sys.stderr)
        return ctl_http.INVALID
    path = f"/plugind/plugins/{ctl_http.quote(options.name)}/rpc?method={options.method}"
    return _print_json(_call(options, "POST", path, body))


def volumes(options: argparse.Namespace) -> int:
    """List volumes, or mount and unmount one for a holder."""
    if options.action == "ls":
        return _list_volumes(options)
    path = f"/plugind/volumes/{ctl_http.quote(options.name)}/{options.action}"
    if options.action == "holders":
        return _print_json(_get(options, path))
    if options.action == "rm":
        path = f"/plugind/volumes/{ctl_http.quote(options.name)}?force={int(options.force)}"
        for warning in _call(options, "DELETE", path, None)["Warnings"]:
            print(f"warning: {warning}", file=sys.stderr)
        return ctl_http.OK
    answer = _call(options, "POST", path, {"Holder": options.holder})
    if answer:
        print(answer["Mountpoint"])
    return ctl_http.OK


def _list_volumes(options: argparse.Namespace) -> int:
    answer = _get(options, "/volumes")
    if options.json:
        return _print_json(answer)
    rows = [("DRIVER", "NAME", "SCOPE", "MOUNTPOINT")]
    rows += [(v["Driver"], v["Name"], v["Scope"], v["Mountpoint"]) for v in answer["Volumes"]]
    _print_table(rows)
    for warning in answer["Warnings"] or ():
        print(f"warning: {warning}", file=sys.stderr)
    return ctl_http.OK


def enable(options: argparse.Namespace) -> int:
    """Enable a plugin."""
    name = ctl_http.quote(options.name)
    _call(options, "POST", f"/plugins/{name}/enable?timeout={options.timeout}", None)
    print(options.name)
    return ctl_http.OK


def disable(options: argparse.Namespace) -> int:
    """Disable a plugin."""
    name = ctl_http.quote(options.name)
    _call(options, "POST", f"/plugins/{name}/disable?force={int(options.force)}", None)
    print(options.name)
    return ctl_http.OK


def remove(options: argparse.Namespace) -> int:
    """Remove a plugin."""
    name = ctl_http.quote(options.name)
    _call(options, "DELETE", f"/plugins/{name}?force={int(options.force)}", None)
    print(options.name)
    return ctl_http.OK


def events(options: argparse.Namespace) -> int:
    """Print events as they happen, as JSON lines."""
    from plugind import ctl_events

    return ctl_events.run(options)


def ping(options: argparse.Namespace) -> int:
    """Say whether the agent answers."""
    _get(options, "/plugind/version")
    print("OK")
    return ctl_http.OK


def version(options: argparse.Namespace) -> int:
    """Print the version of the client and of the agent."""
    from importlib import metadata

    print(f"client {metadata.version('plugind')}")
    answer = _get(options, "/plugind/version")
    print(f"agent  {answer['Version']}")
    if answer.get("Degraded"):
        print(f"degraded: {answer['Degraded']}")
    return ctl_http.OK


def _connect(options: argparse.Namespace) -> http.client.HTTPConnection:
    return ctl_http.connect(ctl_http.agent_url(ctl_http.agent_socket(options.socket)))


def _call(options: argparse.Namespace, method: str, path: str, body: Any) -> Any:
    connection = _connect(options)
    try:
        return ctl_http.request_json(connection, method, path, body)
    finally:
        connection.close()


def _get(options: argparse.Namespace, path: str) -> Any:
    return _call(options, "GET", path, None)


def _stream(options: argparse.Namespace, path: str) -> Iterable[bytes]:
    """Yield the lines of an answer as they come; a refusal and an end too early raise."""
    connection = _connect(options)
    try:
        yield from ctl_http.stream_lines(connection, "GET", path)
    finally:
        connection.close()


def _print_json(document: Any) -> int:
    print(json.dumps(document, indent=2))
    return ctl_http.OK


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print(
            "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
